"""A real gateway worker on a loopback port, around any stack, and an upstream that counts what reaches it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from mitmproxy.connection import Client
from mitmproxy.master import Master

from addons.connections import Connections
from addons.core.connection import Connection
from addons.edge.authority import Authority, open_authority
from addons.master import make_master, serve
from addons.settings import FIXED
from addons.tunnel import HttpsProxy

HOST = "api.cluster.test"
Stack = Callable[[Callable[[Client], None]], Sequence[object]]
OPTIONS = {**FIXED, "http2": False, "body_size_limit": "1m", "tcp_timeout": 60}


@dataclass
class Upstream:
    """An HTTPS server that answers everything with 200 and keeps what it was asked."""

    port: int
    ca_file: Path
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0

    def connection(self, **changes: object) -> Connection:
        """This server, registered as the cluster `api.cluster.test:443`."""
        values: dict[str, object] = {
            "name": "test", "host": HOST, "port": 443, "address": ("127.0.0.1", self.port),
            "server_name": "upstream.test", "ca_file": str(self.ca_file),
        }  # fmt: skip
        return Connection(**{**values, **changes})  # type: ignore[arg-type]


@contextmanager
def upstream(
    folder: Path, answer: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None
) -> Iterator[Upstream]:
    """Run one; its certificate is for upstream.test, of a CA of its own."""
    authority = open_authority(folder / "upstream-ca", datetime.datetime.now(datetime.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(authority, folder, "upstream.test"))
    seen: Upstream

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            seen.connections += 1
            super().setup()

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            seen.requests.append((self.command, self.path, dict(self.headers.items()), body))
            (answer or _ok)(self)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _any

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    seen = Upstream(server.server_address[1], authority.certificate_file)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()


def _ok(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"{}")


def pem(authority: Authority, folder: Path, host: str) -> Path:
    leaf = authority.leaf(host, datetime.datetime.now(datetime.UTC))
    file = folder / f"{host}.pem"
    file.write_bytes(
        leaf.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + leaf.certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@dataclass
class Worker:
    """A running gateway worker."""

    port: int
    tls_port: int
    authority: Authority
    master: Master

    def connect(self, target: str = f"{HOST}:443", *headers: str) -> tuple[socket.socket, bytes]:
        """A raw tunnel to `target` and the gateway's answer to CONNECT."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return raw, open_tunnel(raw, target, *headers)

    def tls(self, target: str = f"{HOST}:443", server_name: str = HOST, *headers: str) -> ssl.SSLSocket:
        """TLS inside a tunnel, trusting only the gateway's CA; `headers` are those of the CONNECT."""
        raw, answer = self.connect(target, *headers)
        assert b" 200 " in answer.split(b"\r\n")[0], answer
        context = self.trust()
        context.check_hostname = server_name == HOST
        return context.wrap_socket(raw, server_hostname=server_name)

    @contextmanager
    def in_tls(self, name: str, *protocols: str) -> Iterator[ssl.SSLSocket]:
        """The listener that speaks TLS; only a certificate of the gateway's CA for `name` is accepted."""
        with (
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=10) as raw,
            self.trust(*protocols).wrap_socket(raw, server_hostname=name) as tls,
        ):
            yield tls

    def trust(self, *protocols: str) -> ssl.SSLContext:
        """What agents believe; `protocols` are offered."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate_file))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def ask(self, request: bytes, target: str = f"{HOST}:443") -> bytes:
        """The whole answer to one raw request in a tunnel of its own; `Connection: close` must be in it or it waits."""
        with self.tls(target) as tls:
            tls.sendall(request)
            return everything(tls)


class TlsInTls:
    """TLS over a connection that speaks TLS itself: as a socket, as far as tests need one."""

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._outer, self._incoming, self._outgoing = outer, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.inner = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._until_done(self.inner.do_handshake)

    def sendall(self, data: bytes) -> None:
        """Encrypted twice."""
        self.inner.write(data)
        self._outer.sendall(self._outgoing.read())

    def everything(self) -> bytes:
        """All bytes until the end."""
        received = bytearray()
        with contextlib.suppress(OSError):
            while chunk := self._until_done(lambda: self.inner.read(65536)):
                received += chunk
        return bytes(received)

    def _until_done[T](self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._outer.sendall(self._outgoing.read())
                if not (data := self._outer.recv(65536)):
                    raise ConnectionResetError from None
                self._incoming.write(data)
            else:
                self._outer.sendall(self._outgoing.read())
                return done


def open_tunnel(connection: socket.socket, target: str, *headers: str) -> bytes:
    """The head of the answer to a CONNECT."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode("latin-1"))
    return _until(connection, b"\r\n\r\n")


def get(path: str, *headers: str, host: str = HOST) -> bytes:
    """The bytes of a GET that asks for the connection to be closed."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def everything(connection: socket.socket, seconds: float = 10) -> bytes:
    """All bytes until the end of the connection, however it ends, or `seconds` of silence."""
    received = bytearray()
    connection.settimeout(seconds)
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except (ConnectionError, ssl.SSLError, TimeoutError):
        pass
    return bytes(received)


def next_answer(connection: socket.socket) -> tuple[int, bytes]:
    """Code and body of the next answer of a connection that stays open; its own timeout is the only one."""
    response = HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def _until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while end not in received and (chunk := connection.recv(1)):
        received += chunk
    return received


def _listener() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


@contextmanager
def worker(
    folder: Path,
    connections: Sequence[Connection],
    stack: Callable[[Connections, Authority, Callable[[Client], None]], Sequence[object]],
) -> Iterator[Worker]:
    """Run a worker around `stack(connections, authority, disconnect)` in a thread of its own, with both listeners."""
    authority = open_authority(folder / "certs", datetime.datetime.now(datetime.UTC))
    registered = Connections({(connection.host, connection.port): connection for connection in connections})
    plain, tls = _listener(), _listener()
    started: list[Master] = []
    failed: list[BaseException] = []

    async def main() -> None:
        master = make_master(lambda disconnect: stack(registered, authority, disconnect), OPTIONS, 1 << 20)
        servers = await serve(master, plain), await serve(master, tls, HttpsProxy)
        started.append(master)
        try:
            await master.run()
        finally:
            for server in servers:
                server.close()

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not started and not failed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert started, failed
    try:
        yield Worker(plain.getsockname()[1], tls.getsockname()[1], authority, started[0])
    finally:
        started[0].shutdown()
        thread.join(10)
