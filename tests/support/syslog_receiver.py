"""Syslog receivers on this machine, over real sockets, in a thread: datagrams, or counted octets on TCP or TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class SyslogReceiver:
    """`messages` came whole, in order; `close_all` ends every connection, as a receiver that restarts does."""

    port: int
    messages: list[bytes] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    def until(self, count: int, seconds: float = 10.0) -> list[bytes]:
        """All that came, once it is at least so many."""
        end = time.monotonic() + seconds
        while len(self.messages) < count:
            assert time.monotonic() < end, f"{len(self.messages)} of {count} came within {seconds} s"
            time.sleep(0.005)
        return list(self.messages)

    def close_all(self) -> None:
        """End every connection."""
        while self.connections:
            with contextlib.suppress(OSError):
                self.connections.pop().shutdown(socket.SHUT_RDWR)


@contextmanager
def datagrams() -> Iterator[SyslogReceiver]:
    """Over UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        receiver = SyslogReceiver(bound.getsockname()[1])

        def read() -> None:
            while message := bound.recv(65535):
                receiver.messages.append(message)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        yield receiver
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", receiver.port))
        thread.join(5)


@contextmanager
def stream(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[SyslogReceiver]:
    """Over TCP; with a context, in TLS."""
    with socket.create_server(("127.0.0.1", port), reuse_port=False) as listening:
        receiver = SyslogReceiver(listening.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listening, receiver, context), daemon=True)
        thread.start()
        yield receiver
        listening.shutdown(socket.SHUT_RDWR)
        receiver.close_all()
        thread.join(5)


def _accept(listening: socket.socket, receiver: SyslogReceiver, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            accepted, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_read, args=(accepted, receiver, context), daemon=True).start()


def _read(accepted: socket.socket, receiver: SyslogReceiver, context: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        if context is not None:
            accepted = context.wrap_socket(accepted, server_side=True)
        receiver.connections.append(accepted)
        with accepted, accepted.makefile("rb") as data:
            while length := _length(data.read(1), data):
                receiver.messages.append(data.read(length))


def _length(digit: bytes, data: object) -> int:
    """MSG-LEN and the space behind it; 0 at the end."""
    digits = b""
    while digit.isdigit():
        digits += digit
        digit = data.read(1)  # type: ignore[attr-defined]
    return int(digits or b"0") if digit in (b" ", b"") else 0
