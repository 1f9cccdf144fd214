"""A client's connection, closed so that it gets all that was sent to it.

Whoever closes a socket that has something unread, or that something comes to later, answers with a reset, and the
kernel throws away what the peer has not taken yet: the last megabytes, for a client that is slow and sends a ping
meanwhile. So its end is sent first, and what still comes is read and forgotten, until the client has taken all.
Source: RFC 9112, section 9.6.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress
from typing import Any

TICK_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""So long a client may take nothing."""
MOST = 1024
"""Of one worker; one more is closed at once."""
_forgotten = memoryview(bytearray(65536))
_open: set[Lingering] = set()


class Lingering(asyncio.BufferedProtocol):
    """One of them, until its end."""

    def __init__(self, transport: Any) -> None:
        self._transport, self._inner = transport, transport.get_protocol()
        self._unsent, self._patience = 0, PATIENCE_SECONDS
        _open.add(self)
        transport.set_protocol(self)
        transport.resume_reading()
        self._tick()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to what nobody reads."""
        return _forgotten

    def buffer_updated(self, nbytes: int) -> None:
        """So much came, too late."""

    def eof_received(self) -> None:
        """The client has closed, and the transport does."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Those who wait for its end are told."""
        self._timer.cancel()
        _open.discard(self)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Nobody writes."""

    def resume_writing(self) -> None:
        """Nobody will."""

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        before, self._unsent = self._unsent, _unsent(self._transport)
        self._patience = self._patience - TICK_SECONDS if self._unsent == before else PATIENCE_SECONDS
        if not self._unsent or self._patience <= 0:
            self._transport.close()


def linger(transport: Any) -> None:
    """Close what is read from still. Nothing may be written to it any more."""
    if transport.is_closing() or not _unsent(transport) or len(_open) >= MOST:
        transport.close()
        return
    try:
        transport.write_eof()
    except OSError:  # the client is gone
        transport.close()
    else:
        Lingering(transport)


def lingering() -> int:
    """How many there are."""
    return len(_open)


def _unsent(transport: Any) -> int:
    """Bytes that the client's machine has not taken yet."""
    in_kernel = bytes(4)
    with suppress(OSError):
        in_kernel = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, in_kernel)
    waiting: int = transport.get_write_buffer_size() + struct.unpack("i", in_kernel)[0]
    return waiting
