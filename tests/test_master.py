"""The master's own parts: hooks found once, connections ended for good, an orderly stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import tflow

from addons.connections import Connections
from addons.edge.authority import Authority
from addons.master import drain, make_master
from addons.perimeter import Perimeter
from addons.tls import Tls
from tests.support.proxy import OPTIONS, everything, get, upstream, worker


class Notes:
    """Notes which hooks ran, for whom."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def requestheaders(self, _: http.HTTPFlow) -> None:
        self.seen.append("requestheaders")

    def error(self, _: http.HTTPFlow) -> None:
        self.seen.append("error")

    def client_disconnected(self, _: Client) -> None:
        self.seen.append("client_disconnected")


async def test_hooks_are_found_once() -> None:
    notes = Notes()
    master = make_master(lambda _: [notes], OPTIONS, 1 << 20)
    manager = master.addons
    for _ in range(2):
        await manager.handle_lifecycle(HttpRequestHook(tflow.tflow()))
    assert notes.seen == []
    assert manager._functions["request"] == ()  # type: ignore[attr-defined]


async def test_an_unknown_option_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        make_master(lambda _: [], {**OPTIONS, "rawtpc": True}, 1 << 20)


def test_drain_ends_open_exchanges_and_says_so(tmp_path: Path) -> None:
    notes = Notes()

    def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
        perimeter = Perimeter(connections, lambda: None, time.time, 1 << 20)
        return [perimeter, Tls(connections, authority, time.time, http2=False), notes]

    with (
        upstream(tmp_path, lambda _: time.sleep(2)) as server,
        worker(tmp_path, [server.connection()], stack) as gateway,
    ):
        with gateway.tls() as tls:
            tls.sendall(get("/api"))
            deadline = time.monotonic() + 5
            while not server.requests and time.monotonic() < deadline:
                time.sleep(0.01)
            loop = gateway.master.event_loop
            started = time.monotonic()
            asyncio.run_coroutine_threadsafe(drain(gateway.master, 3.0), loop).result(5)
            assert time.monotonic() - started < 2
            assert everything(tls) == b""
        assert notes.seen == ["requestheaders", "error", "client_disconnected"]
        disconnect = gateway.master.addons.disconnect  # type: ignore[attr-defined]
        disconnect(tflow.tclient_conn())  # nobody's connection: nothing happens
