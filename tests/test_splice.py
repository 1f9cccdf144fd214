"""Inside a tunnel, events and commands are the same with and without the proxy's own HTTP around each piece."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.commands import Command
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer, NextLayerHook
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode
from mitmproxy.proxy.layers.http._hooks import HttpConnectHook
from mitmproxy.proxy.layers.http._http1 import Http1Connection
from mitmproxy.proxy.layers.modes import HttpProxy
from mitmproxy.test import tflow

from addons import splice

ASKED = b"CONNECT cluster:443 HTTP/1.1\r\nHost: cluster:443\r\n\r\n"
DOES = [
    "send client", "send server", "close client", "half-close client", "close server", "half-close server",
    "hook", "open", "log", "wake",
]  # fmt: skip
HAPPENS = ["client data", "server data", "client closes", "server closes", "reply", "client is deaf"]


class Inside(Layer):
    """Does as the script says, an entry for each event; notes what it sees."""

    def __init__(self, context: Context, script: Iterator[list[str]], told: list[str]) -> None:
        super().__init__(context)
        self.script, self.told = script, told

    def _handle_event(self, event: events.Event) -> Iterator[Command]:  # type: ignore[override]
        self.told.append(f"sees {_spoken(event)}")
        for step in next(self.script, ()):
            reply = yield self._command(step)
            if reply is not None:
                self.told.append(f"got {reply}")

    def _command(self, step: str) -> Command:
        what, _, whom = step.partition(" ")
        peer = self.context.client if whom == "client" else self.context.server
        made: dict[str, Any] = {
            "send": lambda: commands.SendData(peer, b"bytes"),
            "close": lambda: commands.CloseConnection(peer),
            "half-close": lambda: commands.CloseTcpConnection(peer, half_close=True),
            "hook": lambda: HttpConnectHook(tflow.tflow()),
            "open": lambda: commands.OpenConnection(Server(address=("other", 1))),
            "log": lambda: commands.Log("x"),
            "wake": lambda: commands.RequestWakeup(1.0),
        }
        return made[what]()  # type: ignore[no-any-return]


def _spoken(subject: Any) -> str:
    connection = getattr(subject, "connection", None)
    who = "" if connection is None else ("client" if connection.peername == ("127.0.0.1", 1) else "server")
    return f"{type(subject).__name__} {who} {getattr(subject, 'data', b'')!r} {getattr(subject, 'half_close', '')}"


@given(
    st.lists(st.lists(st.sampled_from(DOES), max_size=4), max_size=8),
    st.lists(st.sampled_from(HAPPENS), max_size=10),
    st.booleans(),
)
@example([[]] * 2 + [["close client"]] * 2, ["client is deaf", "client data", "client data"], False)
@example([[]] * 2 + [["half-close client"], ["half-close server"]], ["client data", "server data"], False)
@example([[]] * 2 + [["hook", "send client"], ["wake"]], ["client data", "reply", "server closes", "reply"], True)
def test_nobody_can_tell(script: list[list[str]], happens: list[str], early: bool) -> None:
    assert tunnel(splice._pipe, script, happens, early) == tunnel(splice._make_pipe, script, happens, early)


def tunnel(make_pipe: Any, script: list[list[str]], happens: list[str], early: bool) -> list[str]:
    """All that went in and out of a tunnel and of what is inside; with `early`, the client does not wait for 200."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Http1Connection, "make_pipe", make_pipe)
        driven = Driven(script)
        driven.open(b"early" * early)
        for what in happens:
            driven.happens(what)
        return driven.told


class Driven:
    """The layer of the proxy's own HTTP, and what is around it."""

    def __init__(self, script: list[list[str]]) -> None:
        self.told: list[str] = []
        self.waiting: list[Command] = []
        self.client = tflow.tclient_conn()
        self.client.peername, self.client.state, self.client.alpn = ("127.0.0.1", 1), ConnectionState.OPEN, None
        options: Any = SimpleNamespace(
            validate_inbound_headers=True, stream_large_bodies=None, body_size_limit=None, connection_strategy="lazy",
            proxy_debug=False, mode=["regular"], http_connect_send_host_header=True, upstream_auth=None,
        )  # fmt: skip
        self.context = Context(self.client, options)
        self.server, self.answers = self.context.server, iter(script)
        self.outer = HttpProxy(self.context)

    def open(self, early: bytes) -> None:
        """Until the tunnel is open and has seen its first piece."""
        self.feed(events.Start())
        self.feed(events.DataReceived(self.client, ASKED + early))
        while self.waiting:
            self.reply()
        self.feed(events.DataReceived(self.client, b"first"))
        while not any(line.startswith("sees") for line in self.told):
            self.reply()
        self.server.state = ConnectionState.OPEN
        # The server's connection is the stream's, as it is when what is inside has opened it.
        self.http.connections.setdefault(self.server, self.http.streams[1])

    def feed(self, event: events.Event) -> None:
        for command in self.outer.handle_event(event):
            if isinstance(command, NextLayerHook) and command.data.context.layers == [self.outer]:
                command.data.layer = self.http = HttpLayer(command.data.context, HTTPMode.regular)
            elif isinstance(command, NextLayerHook):
                command.data.layer = Inside(command.data.context, self.answers, self.told)
            else:
                self.told.append(_spoken(command))
            if command.blocking or isinstance(command, commands.RequestWakeup):
                self.waiting.append(command)

    def reply(self) -> None:
        command = self.waiting.pop(0)
        if isinstance(command, commands.OpenConnection):
            self.feed(events.OpenConnectionCompleted(command, "no"))
        elif isinstance(command, commands.StartHook):
            self.feed(events.HookCompleted(command))
        elif isinstance(command, commands.RequestWakeup):
            self.feed(events.Wakeup(command))

    def happens(self, what: str) -> None:
        """Something of HAPPENS."""
        if what == "reply":
            return self.reply() if self.waiting else None
        peer = self.client if what.startswith("client") else self.server
        if what.endswith("data"):
            self.feed(events.DataReceived(peer, b"more"))
        elif what.endswith("closes"):
            peer.state &= ~ConnectionState.CAN_READ
            self.feed(events.ConnectionClosed(peer))
        else:
            peer.state &= ~ConnectionState.CAN_WRITE
        return None


def test_a_tunnel_is_spliced() -> None:
    driven = Driven([["send client"]] * 4)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Http1Connection, "make_pipe", splice._pipe)
        driven.open(b"")
    for straight in (driven.outer.handle_event, driven.http._handle_event):
        assert isinstance(straight, partial) and straight.func is splice.through
    driven.told.clear()
    driven.happens("client data")
    assert driven.told == ["sees DataReceived client b'more' ", "SendData client b'bytes' "]
