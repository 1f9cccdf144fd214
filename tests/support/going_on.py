"""A gateway whose connections to the cluster go on, and a cluster that counts them."""

from __future__ import annotations

import http.server
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mitmproxy.connection import Client, Server
from mitmproxy.http import HTTPFlow

from addons.connections import Connections
from addons.core.session import Session
from addons.edge.authority import Authority
from addons.exchange import exchange_of
from addons.perimeter import Perimeter
from addons.reuse import Reuse
from addons.tls import Tls
from tests.edge.test_store import ALICE
from tests.support.proxy import HOST, Upstream, Worker, upstream, worker

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


def answer_with(handler: http.server.BaseHTTPRequestHandler, body: bytes, *headers: tuple[str, str]) -> None:
    handler.send_response(200)
    for name, value in (("Content-Length", str(len(body))), *headers):
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
