"""What a client leaves open towards a cluster goes on for the same session, and for nobody else."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow

from addons import idle
from addons.connections import Connections
from addons.core.session import Session
from addons.edge.authority import Authority
from addons.exchange import exchange_of
from addons.perimeter import Perimeter
from addons.reuse import Reuse
from addons.tls import Tls
from tests.edge.test_store import ALICE
from tests.support.proxy import HOST, Upstream, Worker, everything, upstream, worker

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Sessions:
    """Stands for authentication: the session is what the request says it is."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Write it."""
        name = flow.request.headers.get("x-session", "one")
        exchange_of(flow).session = Session(id=name, identity=ALICE, connection="test", started_at=0, intent="")

    def response(self, flow: HTTPFlow) -> None:
        """Keep what the record would say of the cluster's end."""
        self.servers.append(flow.server_conn)


class Running:
    """A gateway and a cluster that counts."""

    def __init__(self, worker: Worker, server: Upstream, registered: Connections, sessions: Sessions) -> None:
        self.worker, self.server, self.registered, self.sessions = worker, server, registered, sessions

    def client(self, *paths: str, session: str = "one") -> None:
        """One that asks for these, one after the other, and leaves."""
        with self.worker.tls() as tls:
            for path in paths:
                assert self.asks(tls, path, session).endswith(b"{}")
        self.settle()

    def asks(self, tls: ssl.SSLSocket, path: str, session: str = "one") -> bytes:
        """A request and its reply."""
        tls.sendall(request(path, session))
        return until(tls, b"{}")

    def settle(self) -> None:
        """Wait until the gateway knows that its clients have left."""
        connections = self.worker.master.addons.get("proxyserver").connections
        wait_for(lambda: not connections)

    @property
    def paths(self) -> list[str]:
        """What has arrived."""
        return [path for _, path, *_ in self.server.requests]


def request(path: str, session: str = "one") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-Session: {session}\r\n\r\n".encode()


def until(tls: ssl.SSLSocket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end) and (chunk := tls.recv(65536)):
        received += chunk
    return received


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


@contextmanager
def running(folder: Path, answer: Answer | None = None, http2: bool = False) -> Iterator[Running]:
    kept: list[Connections] = []
    sessions = Sessions()

    def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
        kept.append(connections)
        perimeter = Perimeter(connections, lambda: None, time.time, 1 << 20)
        return [perimeter, Tls(connections, authority, time.time, http2), sessions, Reuse(connections)]

    with upstream(folder, answer) as server, worker(folder, [server.connection()], stack) as started:
        yield Running(started, server, kept[0], sessions)


def test_the_next_client_of_a_session_goes_on_where_the_last_one_left(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.client("/1", "/2")
        gateway.client("/3")
        gateway.client("/4", "/5")
        assert gateway.paths == ["/1", "/2", "/3", "/4", "/5"]
        assert gateway.server.connections == 1
        first, *_, last = gateway.sessions.servers
    assert first.id != last.id
    assert last.certificate_list
    for name in ("peername", "sockname", "tls_version", "cipher", "alpn", "sni", "timestamp_start", "certificate_list"):
        assert getattr(first, name) == getattr(last, name), name


def test_another_session_never_does(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for number, session in enumerate(("one", "two", "one", "two"), 1):
            gateway.client(f"/{number}", session=session)
        assert gateway.server.connections == 2


def test_nobody_goes_on_with_what_two_sessions_have_used(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        with gateway.worker.tls() as tls:
            gateway.asks(tls, "/1", "one")
            gateway.asks(tls, "/2", "two")
        gateway.settle()
        gateway.client("/3", session="one")
        gateway.client("/4", session="two")
        assert gateway.server.connections == 3


def test_clients_at_the_same_time_have_one_each(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        for _ in range(2):
            with gateway.worker.tls() as one, gateway.worker.tls() as other:
                for tls in (one, other, one, other):
                    gateway.asks(tls, "/")
            gateway.settle()
        assert (len(gateway.paths), gateway.server.connections) == (8, 2)


def test_what_is_registered_anew_is_dialled_anew(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        gateway.client("/1")
        changed = gateway.server.connection(sts_endpoint_url="https://sts.test")
        gateway.registered.replace({(changed.host, changed.port): changed})
        gateway.client("/2")
        gateway.client("/3")
        assert gateway.server.connections == 2


def test_a_connection_of_a_cluster_that_changed_meanwhile_is_left_to_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        with gateway.worker.tls() as tls:
            gateway.asks(tls, "/1")
            registered = gateway.server.connection()
            changed = replace(registered, server_name="another.test")
            gateway.registered.replace({(changed.host, changed.port): changed})
        gateway.settle()
        gateway.registered.replace({(registered.host, registered.port): registered})
        gateway.client("/2")
        assert gateway.server.connections == 2


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
    threading.Timer(0.2, lambda: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")).start()


def leaving_later(handler: http.server.BaseHTTPRequestHandler) -> None:
    """The cluster closes a connection that nobody uses."""
    answer_with(handler, b"{}")
    threading.Timer(0.2, handler.connection.shutdown, (socket.SHUT_RDWR,)).start()


def until_the_end(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A reply that lasts as long as its connection."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"{}")
    handler.close_connection = True


def answer_with(handler: http.server.BaseHTTPRequestHandler, body: bytes, *headers: tuple[str, str]) -> None:
    handler.send_response(200)
    for name, value in (("Content-Length", str(len(body))), *headers):
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("answer", [closing, saying_more, saying_more_later, leaving_later, until_the_end])
def test_what_did_not_end_as_it_should_is_not_used_again(tmp_path: Path, answer: Answer) -> None:
    with running(tmp_path, answer) as gateway:
        for number in (1, 2):
            with gateway.worker.tls() as tls:
                tls.sendall(request(f"/{number}"))
                assert b"stolen" not in until(tls, b"{}")
            gateway.settle()
            time.sleep(0.4)
        assert gateway.paths == ["/1", "/2"]
        assert gateway.server.connections == 2


def test_what_comes_in_the_moment_of_use_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes or an end that the loop has not told of yet."""
    with running(tmp_path) as gateway:
        gateway.client("/1")
        monkeypatch.setattr(idle, "_has_news", lambda _: True)
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


def test_whoever_speaks_http2_has_its_own(tmp_path: Path) -> None:
    import hpack

    from tests.test_endings import PREFACE, asked

    with running(tmp_path, http2=True) as gateway:
        gateway.client("/1")
        raw, _ = gateway.worker.connect()
        with gateway.worker.trust("h2").wrap_socket(raw, server_hostname=HOST) as tls:
            tls.sendall(PREFACE + asked(hpack.Encoder(), 1))
            wait_for(lambda: len(gateway.paths) == 2)
            everything(tls, 0.3)
        gateway.settle()
        gateway.client("/3")
        assert gateway.server.connections == 2, "the third goes on with the first"
