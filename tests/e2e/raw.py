"""Raw bytes through a gateway: for whatever a client library would tidy up, refuse to send, or hide of the answer."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from scripts.devenv.gateway_env import GatewayEnv
from tests.support.proxy import everything, next_answer

SEGMENT_SECONDS = 0.03
"""Between two writes that must arrive apart."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back until the end of the connection; `status` is 0 where it is no HTTP/1.1 response."""

    raw: bytes

    @property
    def status(self) -> int:
        """The code of the first response."""
        return int(self.raw.split(b" ", 2)[1]) if self.raw.startswith(b"HTTP/1.1 ") else 0

    @property
    def head(self) -> bytes:
        """Status line and headers of the first response."""
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """What follows the head, without the framing of chunks."""
        body = self.raw.partition(b"\r\n\r\n")[2]
        return b"".join(_chunks(body)) if b"\r\ntransfer-encoding: chunked" in self.head.lower() else body

    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """Why it was refused, of a `metav1.Status`; fails for any other answer."""
        status = self.json()
        assert (status["kind"], status["code"]) == ("Status", self.status), self.raw
        return str(status["message"])


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        yield rest[:length]
        body = rest[length + 2 :] if length else b""


@contextmanager
def proxy(gateway: GatewayEnv, source: str = "") -> Iterator[socket.socket]:
    """A connection to the gateway's port, from an address of this machine; every write is a segment of its own."""
    address = urlsplit(gateway.gateway_url)
    with socket.create_connection((address.hostname, address.port), timeout=10, source_address=(source, 0)) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield raw


def target(gateway: GatewayEnv) -> str:
    """host:port of the cluster as agents name it."""
    return urlsplit(gateway.api_url).netloc


def connect(raw: socket.socket, where: str, *headers: str) -> Answer:
    """The answer to CONNECT, without what follows its head."""
    raw.sendall("\r\n".join([f"CONNECT {where} HTTP/1.1", f"Host: {where}", *headers, "", ""]).encode("latin-1"))
    answer = b""
    while not answer.endswith(b"\r\n\r\n") and (byte := raw.recv(1)):
        answer += byte
    return Answer(answer)


@contextmanager
def tunnel(
    gateway: GatewayEnv, *, server_name: str | None = None, protocols: Sequence[str] = (), source: str = ""
) -> Iterator[ssl.SSLSocket]:
    """TLS inside a tunnel to the cluster; only the gateway's certificate is accepted."""
    context = ssl.create_default_context(cafile=gateway.gateway_ca)
    context.check_hostname = server_name is None
    if protocols:
        context.set_alpn_protocols(protocols)
    with proxy(gateway, source) as raw:
        assert connect(raw, target(gateway)).status == 200
        name = server_name or urlsplit(gateway.api_url).hostname
        with context.wrap_socket(raw, server_hostname=name) as tls:
            yield tls


def send_apart(connection: socket.socket, *pieces: bytes) -> None:
    """Each piece in a TLS record or TCP segment of its own, read by the other side before the next."""
    for piece in pieces:
        connection.sendall(piece)
        time.sleep(SEGMENT_SECONDS)


def request(
    gateway: GatewayEnv,
    path: str,
    *headers: str | bytes,
    token: str = "",
    method: str = "GET",
    body: bytes | None = None,
    host: str | None = None,
) -> bytes:
    """The bytes of a request, `headers` as they are given; it asks for the connection to be closed.

    Without a `token` there is no Authorization header, without a `body` no Content-Length.
    """
    named = target(gateway) if host is None else host
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), f"Host: {named}".encode()]
    lines += [f"Authorization: Bearer {token}".encode()] if token else []
    lines += [line.encode("latin-1") if isinstance(line, str) else line for line in headers]
    lines += [f"Content-Length: {len(body)}".encode()] if body is not None else []
    if not any(line.lower().startswith(b"connection:") for line in lines):
        lines.append(b"Connection: close")
    return b"\r\n".join([*lines, b"", b""]) + (body or b"")


def next_of(connection: socket.socket) -> Answer:
    """The next answer of a connection that stays open, its body without framing and its head without headers."""
    code, body = next_answer(connection)
    return Answer(b"HTTP/1.1 %d \r\n\r\n%s" % (code, body))


def ask(gateway: GatewayEnv, *pieces: bytes, seconds: float = 10, source: str = "") -> Answer:
    """The answer to these bytes in a tunnel of their own, until its end or `seconds` of silence."""
    with tunnel(gateway, source=source) as tls:
        if len(pieces) == 1:
            tls.sendall(pieces[0])
        else:
            send_apart(tls, *pieces)
        return Answer(everything(tls, seconds))
