"""Every exchange has an end: mitmproxy leaves some of those open whose client is gone, and the record would, too.

A request that is taken back in the read that brought it is not run (CVE-2023-44487); mitmproxy would run it and forget
who asked. One that waits for its turn to connect when its client leaves is told so. A connection that is being closed
is not closed a second time, which would keep its socket open. Each function here stands in for the one it names, and
calls it for everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any

from h2.events import StreamEnded
from h2.stream import StreamClosedBy
from mitmproxy.connection import Connection
from mitmproxy.proxy.commands import Command, OpenConnection
from mitmproxy.proxy.events import OpenConnectionCompleted
from mitmproxy.proxy.layers.http._http2 import Http2Server
from mitmproxy.proxy.server import ConnectionHandler

_server: Any = Http2Server
_handler: Any = ConnectionHandler
_handle_h2_event, _open_connection = _server.handle_h2_event, _handler.open_connection
_close_connection = _handler.close_connection


def end_all() -> None:
    """Replace them, for the life of the process."""
    _server.handle_h2_event = _unless_taken_back
    _handler.open_connection = _to_its_end
    _handler.close_connection = _once


def _unless_taken_back(server: Any, event: Any) -> Generator[Command, Any, bool]:
    """Without the end of a request whose reset is read already, so that the reset finds it unfinished."""
    if isinstance(event, StreamEnded):
        closed_by = server.h2_conn._stream_closed_by(event.stream_id)
        if closed_by is StreamClosedBy.RECV_RST_STREAM:
            return False
    done: bool = yield from _handle_h2_event(server, event)
    return done


async def _to_its_end(handler: Any, command: OpenConnection) -> None:
    async with told(handler, command):
        await _open_connection(handler, command)


@asynccontextmanager
async def told(handler: Any, command: OpenConnection) -> AsyncIterator[None]:
    """Who is cancelled before the connection is begun has waited for others, and mitmproxy says nothing of it."""
    try:
        yield
    except asyncio.CancelledError:
        if command.connection.timestamp_start is None:
            command.connection.error = "the client left before its turn to connect"
            await handler.server_event(OpenConnectionCompleted(command, command.connection.error))
        raise


def _once(handler: Any, connection: Connection, half_close: bool = False) -> None:
    """The task that reads a connection also closes it, when it is cancelled; cancelled twice, it does not get there."""
    if not handler.transports[connection].handler.cancelling():
        _close_connection(handler, connection, half_close)
