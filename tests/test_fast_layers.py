"""The replacements of mitmproxy's layers do as the originals, which are run beside them on the same events."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.commands import Command, SendData
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import http
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.proxy.tunnel import TunnelLayer, TunnelState
from mitmproxy.test import tflow
from OpenSSL import SSL

from addons.fast_layers import (
    handle_event,
    http_event_to_child,
    http_handle_event,
    tls_handle_event,
    tls_interact,
    tunnel_event_to_child,
)
from tests.support.pristine import pristine

LAYER, TUNNEL, HTTP = (pristine(f"mitmproxy.proxy.{name}") for name in ("layer", "tunnel", "layers.http"))
PEERS: dict[str, Connection] = {"client": tflow.tclient_conn(), "server": tflow.tserver_conn()}


def test_nothing_inherits_from_what_is_told_by_its_type() -> None:
    assert [kind.__subclasses__() for kind in (SendData, ReceiveHttp, http.SendHttp)] == [[], [], []]


def test_nothing_that_http1_does_waits() -> None:
    source = inspect.getsource(_http1)
    assert [name for name in re.findall(r"commands\.(\w+)", source) if getattr(commands, name).blocking] == []
    assert "Hook" not in source
    assert not ReceiveHttp.blocking


# A layer: what it does at each event is a list of steps; "ask" blocks until a reply comes and gives it away again.

STEPS = st.lists(st.lists(st.sampled_from(["send", "ask", "log", "wake"]), max_size=4), max_size=5)
EVENTS = st.lists(st.sampled_from(["data", "reply", "other"]), max_size=8)


@given(STEPS, EVENTS)
def test_a_layer_that_asks_waits_for_the_reply_and_keeps_what_comes_meanwhile(
    script: list[list[str]], happens: list[str]
) -> None:
    assert conversation(handle_event, script, happens) == conversation(LAYER.Layer.handle_event, script, happens)


def conversation(handle: Any, script: list[list[str]], happens: list[str]) -> list[str]:
    told: list[str] = []
    asked: list[commands.OpenConnection] = []
    steps = iter(script)

    class Scripted(LAYER.Layer):  # type: ignore[name-defined, misc]
        def _handle_event(self, event: events.Event) -> Iterator[Command]:
            told.append(f"sees {type(event).__name__}")
            for step in next(steps, ()):
                if step == "send":
                    yield SendData(PEERS["client"], b"x")
                elif step == "ask":
                    reply = yield commands.OpenConnection(Server(address=("a", 1)))
                    told.append(f"got {reply}")
                else:
                    yield commands.Log(step)

    layer = Scripted(SimpleNamespace(layers=[], options=None))
    for number, name in enumerate(happens):
        event: events.Event = events.DataReceived(PEERS["client"], b"")
        if name == "other" or (name == "reply" and not asked):
            event = events.OpenConnectionCompleted(commands.OpenConnection(Server(address=("b", 1))), None)
        elif name == "reply":
            event = events.OpenConnectionCompleted(asked.pop(), f"reply {number}")
        for command in handle(layer, event):
            told.append(f"{type(command).__name__} blocked by {type(command.blocking).__name__}")
            if isinstance(command, commands.OpenConnection):
                assert command.blocking is layer
                asked.append(command)
        told.append(f"paused {layer._paused is not None} queue {len(layer._paused_event_queue)}")
    return told


# TLS, and HTTP in it: whom an event is for, and what comes of it. Whoever is inside may ask, and is answered later.

INSIDE = st.lists(st.lists(st.sampled_from(["send", "ask", "log"]), max_size=3), max_size=6)
HAPPENS = st.lists(
    st.sampled_from(["client data", "server data", "client closes", "server closes", "reply"]), max_size=8
)


class Inside(Layer):
    """Does as the script says, an entry for each event; notes what it sees."""

    def __init__(self, context: Any, name: str, script: Iterator[list[str]], told: list[str]) -> None:
        super().__init__(context)
        self.name, self.script, self.told = name, script, told

    def _handle_event(self, event: events.Event) -> Iterator[Command]:  # type: ignore[override]
        self.told.append(f"{self.name} sees {type(event).__name__} {getattr(event, 'data', b'')!r}")
        for step in next(self.script, ()):
            reply = yield COMMAND[step]()
            self.told.append(f"{self.name} got {reply}" if step == "ask" else step)


COMMAND: dict[str, Callable[[], Command]] = {
    "send": lambda: SendData(PEERS["client"], b"x"),
    "ask": lambda: commands.OpenConnection(Server(address=("a", 1))),
    "log": lambda: commands.Log("x"),
}


def fed(handle: Callable[[events.Event], Iterator[Command]], happens: list[str], told: list[str]) -> list[str]:
    """All that comes of what happens."""
    asked: list[commands.OpenConnection] = []
    for what in happens:
        peer = PEERS[what.split()[0]] if what != "reply" else None
        if peer is not None:
            event: events.Event = events.DataReceived(peer, b"d") if "data" in what else events.ConnectionClosed(peer)
        elif asked:
            event = events.OpenConnectionCompleted(asked.pop(0), "no")
        else:
            continue
        for command in handle(event):
            told.append(f"{type(command).__name__} {getattr(command, 'data', '')!r} {type(command.blocking).__name__}")
            asked += [command] if isinstance(command, commands.OpenConnection) else []
    return told


@given(INSIDE, HAPPENS, st.sampled_from([*TunnelState]))
def test_what_is_in_tls_sees_the_same(script: list[list[str]], happens: list[str], state: TunnelState) -> None:
    before = in_tls(LAYER.Layer.handle_event, script, happens, state)
    assert in_tls(tls_handle_event, script, happens, state) == before


def in_tls(handle: Any, script: list[list[str]], happens: list[str], state: TunnelState) -> list[str]:
    told: list[str] = []
    context: Any = SimpleNamespace(layers=[], options=None)
    layer: Any = TunnelLayer(context, PEERS["client"], PEERS["client"])
    layer.tunnel_state, layer.child_layer = state, Inside(context, "child", iter(script), told)
    layer.event_to_child = partial(tunnel_event_to_child, layer)
    fed(lambda event: handle(layer, event), happens, told)
    return [*told, layer.tunnel_state.name, str(len(layer._event_queue))]


@given(INSIDE, HAPPENS)
def test_whom_an_event_is_for_is_found(script: list[list[str]], happens: list[str]) -> None:
    before = in_http(HTTP, LAYER.Layer.handle_event, script, happens)
    assert in_http(http, http_handle_event, script, happens) == before


def in_http(module: Any, handle: Any, script: list[list[str]], happens: list[str]) -> list[str]:
    told: list[str] = []
    context = SimpleNamespace(layers=[], options=None, client=PEERS["client"], server=Server(address=("b", 1)))
    layer = module.HttpLayer(context, module.HTTPMode.transparent)
    answers = iter(script)
    layer.connections = {peer: Inside(context, name, answers, told) for name, peer in PEERS.items()}
    return [*fed(lambda event: handle(layer, event), happens, told), str(len(layer.command_sources))]


@pytest.mark.parametrize("event", [events.Start(), events.DataReceived(PEERS["server"], b"early")])
def test_what_http_does_not_know_is_for_mitmproxy(event: events.Event) -> None:
    """Its beginning, and a cluster that speaks first."""
    told: list[Any] = []

    def sees(event: events.Event) -> Iterator[Command]:
        told.append(event)
        yield from ()

    layer: Any = SimpleNamespace(_paused=None, connections={}, _handle_event=sees)
    assert list(http_handle_event(layer, event)) == []
    assert told == [event]


# HTTP: children are streams and connections; each answers an event with the commands of the script.

KINDS = ["send", "log", "receive", "receive headers", "receive unknown", "pass on", "drop", "get", "register", "open"]
COMMANDS = st.lists(st.sampled_from([*KINDS, "wake", "hook"]), max_size=6)


@given(st.lists(COMMANDS, max_size=8))
def test_streams_and_connections_are_found(script: list[list[str]]) -> None:
    assert exchange(http, http_event_to_child, script) == exchange(HTTP, HTTP.HttpLayer.event_to_child, script)


def exchange(module: Any, event_to_child: Any, script: list[list[str]]) -> list[Any]:
    told: list[Any] = []
    answers = iter(script)

    class Child:
        def __init__(self, name: str) -> None:
            self.name = name

        def handle_event(self, event: Any) -> Iterator[Command]:
            told.append(f"{self.name} sees {type(event).__name__}")
            for kind in next(answers, ()):
                yield _command(module, kind)

    def noted(name: str) -> Any:
        def method(command: Any) -> Iterator[Command]:
            told.append(f"{name} {type(command).__name__}")
            yield commands.Log(name)

        return method

    def make_stream(stream_id: int) -> Iterator[Command]:
        layer.streams[stream_id] = Child(f"stream {stream_id}")
        yield commands.Log("made")

    layer = SimpleNamespace(
        streams={1: Child("stream 1")}, connections={PEERS["server"]: Child("server")}, command_sources={},
        make_stream=make_stream, get_connection=noted("get"), register_connection=noted("register"),
    )  # fmt: skip
    layer.event_to_child = lambda child, event: event_to_child(layer, child, event)
    for command in event_to_child(layer, Child("first"), events.Start()):
        told.append(type(command).__name__)
    sources = [(type(command).__name__, child.name) for command, child in layer.command_sources.items()]
    connections = [(connection.address, child.name) for connection, child in layer.connections.items()]
    return [*told, sources, sorted(layer.streams), connections]


def _command(module: Any, kind: str) -> Command:
    made: dict[str, Any] = {
        "send": lambda: SendData(PEERS["client"], b"x"),
        "receive": lambda: ReceiveHttp(http_events.RequestData(1, b"x")),
        "receive headers": lambda: ReceiveHttp(http_events.RequestHeaders(3, tflow.tflow().request, True)),
        "receive unknown": lambda: ReceiveHttp(http_events.RequestData(7, b"x")),
        "pass on": lambda: module.SendHttp(http_events.RequestData(1, b"x"), PEERS["server"]),
        "drop": lambda: module.DropStream(1),
        "get": lambda: module.GetHttpConnection(("a", 1), True, None),
        "register": lambda: module.RegisterHttpConnection(PEERS["server"], None),
        "open": lambda: commands.OpenConnection(Server(address=("a", 1))),
        "wake": lambda: commands.RequestWakeup(1.0),
        "hook": lambda: HttpRequestHook(tflow.tflow()),
        "log": lambda: commands.Log("x"),
    }
    return made[kind]()  # type: ignore[no-any-return]


# A tunnel: what its child sends in a row is one piece; everything else keeps its place.

SENT = st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=20_000)) | st.none(), max_size=8)


@given(SENT, st.sampled_from([*TunnelState]), st.booleans())
def test_a_tunnel_carries_the_same_bytes_in_the_same_order(
    sent: list[tuple[str, bytes] | None], state: TunnelState, asked: bool
) -> None:
    before, queued = tunnelled(TUNNEL.TunnelLayer.event_to_child, sent, TUNNEL.TunnelState[state.name], asked)
    after, queued_after = tunnelled(tunnel_event_to_child, sent, state, asked)
    assert queued == queued_after
    assert _joined(after) == _joined(before)
    assert len(after) <= len(before)


def tunnelled(
    event_to_child: Any, sent: Sequence[tuple[str, bytes] | None], state: Any, asked: bool
) -> tuple[list[tuple[str, bytes]], int]:
    def handle_command(command: Any) -> Iterator[Command]:
        yield command

    given_commands = [commands.Log("x") if piece is None else SendData(PEERS[piece[0]], piece[1]) for piece in sent]
    tunnel = SimpleNamespace(
        tunnel_state=state, command_to_reply_to=object() if asked else None, conn=PEERS["client"], _event_queue=[],
        child_layer=SimpleNamespace(handle_event=lambda _: iter(given_commands)), _handle_command=handle_command,
    )  # fmt: skip
    told = [
        (command.connection.id, command.data) if isinstance(command, SendData) else ("log", b"")
        for command in event_to_child(tunnel, events.Start())
    ]
    return told, len(tunnel._event_queue)


def _joined(told: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    joined: list[tuple[str, bytes]] = []
    for who, data in told:
        if joined and who != "log" and joined[-1][0] == who:
            joined[-1] = (who, joined[-1][1] + data)
        else:
            joined.append((who, data))
    return joined


@pytest.mark.parametrize("size", [0, 1, 16_384, 70_000])
def test_all_that_tls_has_to_say_is_sent(size: int) -> None:
    tls = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
    tls.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        tls.do_handshake()  # its first words
    raw: Any = tls
    SSL._lib.BIO_write(raw._from_ssl, b"x" * size, size)  # type: ignore[attr-defined]
    layer: Any = SimpleNamespace(tls=tls, conn=PEERS["client"])
    sent = list(tls_interact(layer))
    assert all(isinstance(command, SendData) and len(command.data) <= 65535 for command in sent)
    assert b"".join(command.data for command in sent if isinstance(command, SendData)).endswith(b"x" * size)
    with pytest.raises(SSL.WantReadError):
        tls.bio_read(1)
    assert list(tls_interact(layer)) == []
