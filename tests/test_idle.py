"""Only a connection that is as good as new goes on."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from addons import idle
from tests.support.going_on import Answer, answer_with, request, running, until, wait_for

DONE = threading.Event()
"""What happens later has happened."""


def later(act: Callable[[], object]) -> None:
    def do() -> None:
        act()
        DONE.set()

    threading.Timer(0.2, do).start()


def closing(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A reply that ends the connection."""
    answer_with(handler, b"{}", ("Connection", "close"))


def saying_more(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Bytes behind the reply, that would be the start of the next one."""
    answer_with(handler, b"{}")
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")


def saying_more_later(handler: http.server.BaseHTTPRequestHandler) -> None:
    """The same, when everybody has left."""
    answer_with(handler, b"{}")
    later(lambda: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"))


def leaving_later(handler: http.server.BaseHTTPRequestHandler) -> None:
    """The cluster closes a connection that nobody uses."""
    answer_with(handler, b"{}")
    later(lambda: handler.connection.shutdown(socket.SHUT_RDWR))


def until_the_end(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A reply that lasts as long as its connection."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"{}")
    handler.close_connection = True


@pytest.mark.parametrize("answer", [closing, saying_more, saying_more_later, leaving_later, until_the_end])
def test_b07_what_did_not_end_as_it_should_is_not_used_again(tmp_path: Path, answer: Answer) -> None:
    with running(tmp_path, answer) as gateway:
        for number in (1, 2):
            DONE.clear()
            with gateway.worker.tls() as tls:
                tls.sendall(request(f"/{number}"))
                assert b"stolen" not in until(tls, b"{}")
            gateway.settle()
            assert "later" not in answer.__name__ or DONE.wait(10)
            time.sleep(0.2)
        assert gateway.paths == ["/1", "/2"]
        assert gateway.server.connections == 2


def test_what_comes_in_the_moment_of_use_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes or an end that the loop has not told of yet."""
    with running(tmp_path) as gateway:
        gateway.client("/1")
        monkeypatch.setattr(idle, "has_news", lambda _: True)
        gateway.client("/2")
        assert gateway.server.connections == 2


LEFT: dict[str, tuple[bytes, int]] = {
    "half a head": (b"GET /1 HTTP/1.1\r\n", 1),  # the cluster has not heard of it
    "half a body": (b"POST /1 HTTP/1.1\r\nHost: api.cluster.test\r\nContent-Length: 9\r\n\r\nhalf", 1),
    "without its reply": (request("/1"), 2),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_a_client_has_left_in_the_middle_is_not_used_again(tmp_path: Path, name: str) -> None:
    go_on, (sent, expected) = threading.Event(), LEFT[name]

    def slow(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path == "/1":
            go_on.wait(5)
        answer_with(handler, b"{}")

    with running(tmp_path, slow) as gateway:
        with gateway.worker.tls() as tls:
            gateway.asks(tls, "/0")
            tls.sendall(sent)
            wait_for(lambda: expected == 1 or "/1" in gateway.paths)
        gateway.settle()
        go_on.set()
        gateway.client("/2")
        assert gateway.server.connections == expected


@pytest.mark.parametrize(("limit", "value"), [("IDLE_SECONDS", 0.1), ("MAX_AGE_SECONDS", 0.0)])
def test_it_is_not_kept_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: float) -> None:
    monkeypatch.setattr(idle, limit, value)
    with running(tmp_path) as gateway:
        gateway.client("/1")
        time.sleep(0.3)
        gateway.client("/2")
        assert gateway.server.connections == 2


def test_the_oldest_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "MOST", 2)
    with running(tmp_path) as gateway:
        for session in ("one", "two", "three", "two", "three", "one"):
            gateway.client("/", session=session)
        assert gateway.server.connections == 4


async def test_what_was_left_is_closed_to_whoever_left_it() -> None:
    left = idle.Left()
    await left.drain()
    left.close()
    assert left.is_closing() and left.transport.get_write_buffer_size() == 0
