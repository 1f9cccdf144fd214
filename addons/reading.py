"""What a connection brings goes to its layers as it arrives: mitmproxy wakes a task for every read, which waits twice.

The task is there as before: it waits for the end of the connection, then closes it, and whoever wants that cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_READ_BYTES = 65535
"""At once, as mitmproxy does."""
_read = memoryview(bytearray(_READ_BYTES))
"""Of all connections: what is in it is handed on before anybody else reads."""


class Reading(asyncio.BufferedProtocol):
    """Stands for a connection's StreamReader, once that is empty: `receive` is called with what arrives.

    `read` then returns when no more will come. Called in a task, after whose cancellation nothing is handed on.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, receive: Callable[[bytes], None]
    ) -> None:
        self._reader: Any = reader
        self._transport: Any = writer.transport
        self._inner: Any = self._transport.get_protocol()  # whoever writes waits for it
        self._receive = receive
        self._task = asyncio.current_task()
        self._ended = asyncio.get_running_loop().create_future()

    async def read(self, size: int) -> bytes:
        """What is there from before, at most `size` bytes of it; then nothing, at the end."""
        if self._reader._buffer or self._reader.at_eof() or self._reader.exception():
            before: bytes = await self._reader.read(size)
            return before
        self._transport.set_protocol(self)
        await self._ended
        return b""

    def release(self) -> asyncio.StreamReader:
        """The reader as it was before; nothing is handed on any more."""
        self._transport.set_protocol(self._inner)
        reader: asyncio.StreamReader = self._reader
        return reader

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return _read

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        if self._task is not None and not self._task.cancelling():
            self._receive(_read[:nbytes].tobytes())

    def eof_received(self) -> bool:
        """The peer sends no more; we may."""
        self._end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """In both directions."""
        self._end()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """What is written waits for the peer."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """And no longer."""
        self._inner.resume_writing()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
