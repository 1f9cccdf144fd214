"""A syslog receiver: datagrams, or a stream with octet counting, in TLS or not. Blocks; for one thread at a time.

Syslog acknowledges nothing. What can be known of a stream is that the receiver's machine has taken every byte: TCP
acknowledged it. `send` returns then, and what a receiver that dies had not read by then is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import struct
import time
from collections.abc import Sequence

from addons.core.notify.outbox import SEND_SECONDS
from addons.core.pipelines.pipeline import Syslog
from addons.core.pipelines.syslog import framed

_SIOCOUTQ = 0x5411
"""Bytes that the peer has not acknowledged: tcp(7)."""
_ACKNOWLEDGED_SECONDS = 0.01


class Sender:
    """Connects when it must. Everything raises OSError; after that, the next `send` connects anew."""

    def __init__(self, place: Syslog) -> None:
        self._place = place
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Returns when all have arrived, as far as can be known: over UDP, when they have left."""
        try:
            connected = self._connected()
            if self._place.transport == "udp":
                for message in messages:
                    connected.send(message)
            else:
                connected.sendall(framed(messages))
                _acknowledged(connected, time.monotonic() + SEND_SECONDS)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Closes the connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._place.transport != "udp" and _ended(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        return self._socket

    def _connect(self) -> socket.socket:
        place = self._place
        if place.transport == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_DGRAM)[0]
            datagrams = socket.socket(family, kind, protocol)
            datagrams.settimeout(SEND_SECONDS)
            datagrams.connect(address)
            return datagrams
        plain = socket.create_connection((place.host, place.port), SEND_SECONDS)
        if place.transport == "tcp":
            return plain
        try:
            return tls_context(place).wrap_socket(plain, server_hostname=place.host)
        except (OSError, ValueError):
            plain.close()
            raise


def tls_context(place: Syslog) -> ssl.SSLContext:
    """How its certificate is verified, and ours shown. Raises OSError for files that cannot be used."""
    context = ssl.create_default_context(cafile=place.ca_file or None)
    if place.certificate_file:
        context.load_cert_chain(place.certificate_file, place.key_file)
    return context


def _ended(connected: socket.socket) -> bool:
    """True if the receiver has closed the connection: it never says anything, so what can be read is the end."""
    connected.settimeout(0)
    try:
        return not connected.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connected.settimeout(SEND_SECONDS)


def _acknowledged(connected: socket.socket, until: float) -> None:
    while struct.unpack("i", fcntl.ioctl(connected.fileno(), _SIOCOUTQ, b"\0\0\0\0"))[0]:
        if time.monotonic() > until:
            raise TimeoutError(f"it took nothing for {SEND_SECONDS} s")
        time.sleep(_ACKNOWLEDGED_SECONDS)
    if _ended(connected):
        raise ConnectionResetError("it closed the connection")
