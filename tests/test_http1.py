"""Requests that do not end, and replies with trailers: answered or closed, and the worker serves the next."""

from __future__ import annotations

import http.server
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from mitmproxy.connection import Client

from addons.connections import Connections
from addons.edge.authority import Authority
from addons.http1 import MAX_HEAD_BYTES
from addons.perimeter import Perimeter
from addons.tls import Tls
from tests.support.proxy import HOST, Upstream, Worker, everything, get, upstream, worker

LIMIT = 1 << 20  # of a body


def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
    return [Perimeter(connections, lambda: None, time.time, LIMIT), Tls(connections, authority, time.time, http2=False)]


def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A reply with a trailer, one that does not come for a while, or a plain one."""
    handler.send_response(200)
    if handler.path == "/trailers":
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"2\r\n{}\r\n0\r\nX-A: b\r\n\r\n")
        return
    if handler.path == "/slow":
        time.sleep(2)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"{}")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, Upstream]]:
    folder = tmp_path_factory.mktemp("http1")
    with upstream(folder, answer) as server, worker(folder, [server.connection()], stack) as gateway:
        yield gateway, server


@pytest.fixture(autouse=True)
def lives_on(behind: tuple[Worker, Upstream]) -> Iterator[None]:
    behind[1].requests.clear()
    yield
    assert behind[0].ask(get("/version")).startswith(b"HTTP/1.1 200")


def pour(connection: socket.socket, piece: bytes, most: int) -> int:
    """How much of an endless stream was taken before the connection was closed."""
    sent = 0
    try:
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    return sent


def code_of(received: bytes) -> int:
    """Of the one Status in it."""
    assert received.count(b"HTTP/1.1 ") == 1, received
    status = json.loads(received.partition(b"\r\n\r\n")[2])
    assert status["kind"] == "Status"
    return int(status["code"])


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\n", f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX: ".encode()])
def test_a_head_that_does_not_end_is_431(start: bytes, behind: tuple[Worker, Upstream]) -> None:
    with behind[0].tls() as tls:
        tls.sendall(start + b"a" * (MAX_HEAD_BYTES + 1))
        assert code_of(everything(tls)) == 431
    assert behind[1].requests == []


def test_even_outside_of_a_tunnel(behind: tuple[Worker, Upstream]) -> None:
    with socket.create_connection(("127.0.0.1", behind[0].port), timeout=10) as raw:
        raw.sendall(b"CONNECT a:443 HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD_BYTES + 1))
        assert code_of(everything(raw)) == 431


@pytest.mark.parametrize("host", [HOST, "somebody.else"])
def test_a_body_that_does_not_end_is_413_while_it_comes(host: str, behind: tuple[Worker, Upstream]) -> None:
    """Whether it would be refused in any case or not: nobody's bytes are kept beyond what is inspected."""
    head = f"POST /api HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with behind[0].tls() as tls:
        tls.sendall(head.encode())
        pour(tls, b"10000\r\n" + b"x" * 65536 + b"\r\n", LIMIT + 65536)
        assert code_of(everything(tls)) == 413


def test_one_that_was_told_to_go_on_is_told_so_too(behind: tuple[Worker, Upstream]) -> None:
    head = f"POST /api HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    with behind[0].tls() as tls:
        tls.sendall(head.encode())
        assert tls.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        pour(tls, b"10000\r\n" + b"x" * 65536 + b"\r\n", LIMIT + 65536)
        assert code_of(everything(tls)) == 413
    assert behind[1].requests == []


UNREADABLE = {
    "trailers": b"0\r\nX-A: b\r\n\r\n",
    "trailers without end": b"0\r\n" + b"a" * (MAX_HEAD_BYTES + 1024),
    "size": b"g\r\n",
    "more than its size": b"1\r\nab\r\n",
    "huge size": b"ffffffff\r\n",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read_is_400(body: bytes, behind: tuple[Worker, Upstream]) -> None:
    with behind[0].tls() as tls:
        tls.sendall(f"POST /api HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body)
        assert code_of(everything(tls)) == 400
    assert behind[1].requests == []


def test_what_is_sent_behind_a_request_that_is_not_over_is_not_kept(behind: tuple[Worker, Upstream]) -> None:
    with behind[0].tls() as tls:
        tls.sendall(get("/slow"))
        assert pour(tls, b"a" * 65536, 64 * MAX_HEAD_BYTES) < 64 * MAX_HEAD_BYTES
        assert everything(tls) == b""


def test_a_reply_with_trailers_is_no_reply(behind: tuple[Worker, Upstream]) -> None:
    assert code_of(behind[0].ask(get("/trailers"))) == 502
