"""Every exchange has an end, whenever its client leaves: asked in HTTP/2, of which one connection has many."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hpack
import pytest
from hyperframe.frame import Frame, HeadersFrame, RstStreamFrame, SettingsFrame
from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.commands import OpenConnection
from mitmproxy.proxy.events import OpenConnectionCompleted
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.test import tflow

from addons.connections import Connections
from addons.edge.authority import Authority
from addons.endings import end_all
from addons.perimeter import Perimeter
from addons.tls import Tls
from tests.support.proxy import HOST, Upstream, Worker, upstream, worker

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
AT_ONCE = 5
"""Connections to one cluster that mitmproxy opens for a client; further requests wait."""


class Ends:
    """What began, what was asked, and how each exchange ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.asked: list[str] = []
        self.ended: dict[str, str] = {}

    def requestheaders(self, flow: HTTPFlow) -> None:
        self.begun.append(flow.id)

    def request(self, flow: HTTPFlow) -> None:
        self.asked.append(flow.id)

    def response(self, flow: HTTPFlow) -> None:
        self.ended[flow.id] = ""

    def error(self, flow: HTTPFlow) -> None:
        assert flow.error is not None
        assert flow.id not in self.ended
        self.ended[flow.id] = flow.error.msg

    def wait_for(self, count: int) -> None:
        """Returns once so many have begun and ended."""
        until(lambda: len(self.begun) == len(self.ended) == count)


@contextmanager
def gateway(server: Upstream, folder: Path, ends: Ends) -> Iterator[Worker]:
    def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
        perimeter = Perimeter(connections, lambda: None, time.time, 1 << 20)
        return [perimeter, Tls(connections, authority, time.time, True), ends]

    with worker(folder, [server.connection()], stack) as running:
        yield running


def asked(encoder: hpack.Encoder, stream: int) -> bytes:
    """A whole request."""
    fields = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", f"/{stream}")]
    frame: Frame = HeadersFrame(stream, encoder.encode(fields))
    frame.flags.add("END_HEADERS")
    frame.flags.add("END_STREAM")
    return bytes(frame.serialize())


@contextmanager
def client(running: Worker) -> Iterator[ssl.SSLSocket]:
    """A connection that speaks HTTP/2."""
    raw, _ = running.connect()
    context = ssl.create_default_context(cafile=str(running.authority.certificate_file))
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(raw, server_hostname=HOST) as tls:
        tls.sendall(PREFACE)
        yield tls


def test_b82_what_is_taken_back_at_once_is_not_run_and_has_an_end(tmp_path: Path) -> None:
    ends, encoder = Ends(), hpack.Encoder()
    with upstream(tmp_path) as server, gateway(server, tmp_path, ends) as running, client(running) as tls:
        kept = asked(encoder, 1)
        taken = [asked(encoder, stream) + RstStreamFrame(stream, error_code=8).serialize() for stream in (3, 5, 7)]
        tls.sendall(kept + b"".join(taken))
        ends.wait_for(4)
    assert ends.asked == ends.begun[:1]
    assert [path for _, path, *_ in server.requests] == ["/1"]
    assert sorted(ends.ended.values()) == ["", *["stream reset by client (CANCEL)"] * 3]


def test_b82_who_waits_to_connect_has_an_end_when_the_client_leaves(tmp_path: Path) -> None:
    ends, encoder, leave = Ends(), hpack.Encoder(), threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        leave.wait(10)
        handler.send_error(500)

    with upstream(tmp_path, answer) as server, gateway(server, tmp_path, ends) as running:
        with client(running) as tls:
            tls.sendall(b"".join(asked(encoder, stream) for stream in range(1, 2 * (AT_ONCE + 3), 2)))
            until(lambda: len(server.requests) == AT_ONCE)
        ends.wait_for(AT_ONCE + 3)
        leave.set()
    assert len(server.requests) == AT_ONCE
    left = {"the client left before its turn to connect", "client disconnected"}  # it may be its turn by then
    assert sum(error in left for error in ends.ended.values()) == 3


async def test_b82_who_is_cancelled_before_its_turn_to_connect_is_told_so() -> None:
    told: list[tuple[object, str | None]] = []

    class Handler:
        client, max_conns = tflow.tclient_conn(), {("cluster", 443): asyncio.Semaphore(0)}

        async def handle_hook(self, _: object) -> None: ...

        async def server_event(self, event: OpenConnectionCompleted) -> None:
            told.append((event.command, event.reply))

    end_all()
    command = OpenConnection(Server(address=("cluster", 443)))
    opening: Any = ConnectionHandler.open_connection
    task = asyncio.ensure_future(opening(Handler(), command))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == [(command, "the client left before its turn to connect")]


def until(true: Callable[[], bool]) -> None:
    """Waits for it."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
