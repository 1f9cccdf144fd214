"""How long clients may take: who dawdles is cut off, who waits for us is not, and there is room for so many."""

from __future__ import annotations

import http.server
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from mitmproxy.connection import Client

from addons import limits
from addons.connections import Connections
from addons.edge.authority import Authority
from addons.limits import Limits
from addons.perimeter import Perimeter
from addons.tls import Tls
from tests.support.proxy import HOST, Upstream, Worker, everything, get, upstream, worker

pytestmark = pytest.mark.alone

SHORT = 0.3
CLIENTS = 3


def stack(connections: Connections, authority: Authority, disconnect: Callable[[Client], None]) -> Sequence[object]:
    return [
        Limits(CLIENTS, time.monotonic, disconnect),
        Perimeter(connections, lambda: None, time.time, 1 << 20),
        Tls(connections, authority, time.time, http2=False),
    ]


def slowly(handler: http.server.BaseHTTPRequestHandler) -> None:
    time.sleep(4 * SHORT if handler.path == "/slow" else 0)
    handler.send_response(200)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"{}")


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Worker, Upstream]]:
    for name in ("FIRST_SECONDS", "REQUEST_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(limits, name, SHORT)
    monkeypatch.setattr(limits, "LOOK_SECONDS", 0.05)
    with upstream(tmp_path, slowly) as server, worker(tmp_path, [server.connection()], stack) as gateway:
        yield gateway, server


def cut_off_after(connection: socket.socket) -> float:
    """Seconds until the connection is closed without a word."""
    began = time.monotonic()
    assert everything(connection, 5) == b""
    return time.monotonic() - began


HEAD = f"POST /api HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize("start", ["", "GET / HTT", HEAD, f"{HEAD}1234"], ids=["nothing", "line", "head", "body"])
def test_b82_who_dawdles_is_cut_off(start: str, behind: tuple[Worker, Upstream]) -> None:
    with behind[0].tls() as tls:
        tls.sendall(start.encode())
        assert cut_off_after(tls) < 4 * SHORT
    assert behind[1].requests == []


@pytest.mark.parametrize("start", [b"", b"CONNECT"])
def test_b82_outside_of_a_tunnel_too(start: bytes, behind: tuple[Worker, Upstream]) -> None:
    with socket.create_connection(("127.0.0.1", behind[0].port)) as raw:
        raw.sendall(start)
        assert cut_off_after(raw) < 4 * SHORT


def test_b82_who_drips_is_cut_off_all_the_same(behind: tuple[Worker, Upstream]) -> None:
    began = time.monotonic()
    with behind[0].tls() as tls, pytest.raises(OSError):
        for byte in b"GET /" + b"a" * 1000:
            tls.sendall(bytes([byte]))
            time.sleep(0.03)
    assert time.monotonic() - began < 8 * SHORT


def test_b82_between_two_requests_there_is_a_limit_but_not_for_a_reply(behind: tuple[Worker, Upstream]) -> None:
    with behind[0].tls() as tls:
        tls.sendall(get("/slow").replace(b"Connection: close\r\n", b""))
        assert tls.recv(4096).startswith(b"HTTP/1.1 200"), "the reply took longer than any limit"
        tls.settimeout(5)
        everything(tls, 5)
    assert len(behind[1].requests) == 1


def test_b82_there_is_room_for_so_many(behind: tuple[Worker, Upstream]) -> None:
    crowd = [socket.create_connection(("127.0.0.1", behind[0].port)) for _ in range(CLIENTS)]
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", behind[0].port)) as one_more:
        assert everything(one_more, SHORT / 3) == b""
        one_more.settimeout(SHORT)
        assert one_more.recv(1) == b"", "closed at once"
    for each in crowd:
        each.close()
    time.sleep(0.1)
    assert behind[0].ask(get("/api")).startswith(b"HTTP/1.1 200"), "when they are gone, there is room again"
