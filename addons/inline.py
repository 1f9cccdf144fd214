"""A client's connection: what arrives is handled at once, hooks run where they come up, bytes to a peer are one write.

mitmproxy starts a task for every hook, and its end waits at a lock for the event that is being run, which takes turns
of the loop. Most hooks never wait: here they are called, and their ends stand in a queue, in the lock's order.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, cast

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.flow import Flow
from mitmproxy.proxy.commands import Command, OpenConnection, SendData, StartHook
from mitmproxy.proxy.events import DataReceived, Event, HookCompleted, OpenConnectionCompleted
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.proxy.server_hooks import ClientDisconnectedHook
from mitmproxy.utils.asyncio_utils import create_task

from addons.endings import told
from addons.lingering import linger
from addons.reading import Reading
from addons.upgrade_layer import is_full

_JOINED_BYTES = 32 * 1024
_HIGH_WATER = 64 * 1024
"""More than this, and asyncio has writers wait."""


class Handler(ProxyConnectionHandler):
    """mitmproxy's, for the life of one client's connection, which can also read and run a hook without a task."""

    _turns = 0
    """Events that are handled or wait for that."""

    async def handle_hook(self, hook: StartHook) -> None:
        """When the client has left, what may be used again is kept, and the rest ends with it."""
        if isinstance(hook, ClientDisconnectedHook) and (reuse := self._reuse()) is not None:
            for connection, io in self.transports.items():
                reuse.keep(self.client, connection, io)
        await super().handle_hook(hook)

    async def open_connection(self, command: OpenConnection) -> None:
        """Until its end; one that is open already goes on."""
        server, reuse = command.connection, self._reuse()
        async with told(self, command):
            await asyncio.sleep(0)  # whoever started this notes it as the connection's task, and nothing else of it
        if reuse is None or (streams := reuse.take(self.client, server, partial(self._end, server))) is None:
            await super().open_connection(command)
            return
        self.transports[server] = ConnectionIO(asyncio.current_task(), *streams)
        await self.server_event(OpenConnectionCompleted(command, None))
        try:
            await self.handle_connection(server)
        finally:
            server.timestamp_end = time.time()

    def _end(self, server: Connection) -> None:
        if server in self.transports:
            self.close_connection(server)

    def _reuse(self) -> Any:
        return cast(Any, self.master.addons).get("reuse")

    async def handle_connection(self, connection: Connection) -> None:
        """Until it ends, and is closed."""
        io = self.transports[connection]
        reader, writer = cast(StreamReader, io.reader), cast(StreamWriter, io.writer)
        io.reader = cast(StreamReader, Reading(reader, writer, partial(self._received, connection, writer.transport)))
        if connection is self.client:
            cast(Any, writer).close = partial(linger, writer.transport)
        await super().handle_connection(connection)

    async def server_event(self, event: Event) -> None:
        """Handle an event; one that comes up within another waits for its turn, at mitmproxy's lock."""
        self._turns += 1
        try:
            await super().server_event(event)
        finally:
            self._turns -= 1

    def _received(self, connection: Connection, transport: Any, data: bytes) -> None:
        """No more is read from it while others have their turn, and while a peer or a judge is slow."""
        event = DataReceived(connection, data)
        if self._turns:
            self._pause(transport, event)
            return
        try:
            self.server_event(event).send(None)
        except StopIteration:
            if is_full(self.client) or any(_waits(io.writer) for io in self.transports.values()):
                self._pause(transport)
        else:
            raise RuntimeError("nobody has a turn, and still it waits")

    def _pause(self, transport: Any, event: DataReceived | None = None) -> None:
        transport.pause_reading()
        create_task(self._resume(transport, event), name="slow peer", keep_ref=True, client=self.client.peername)

    async def _resume(self, transport: Any, event: DataReceived | None) -> None:
        if event is not None and event.connection.state & ConnectionState.CAN_READ:
            await self.server_event(event)
        await self.drain_writers()  # type: ignore[no-untyped-call]
        transport.resume_reading()

    def start(self, hook: StartHook) -> bool:
        """Run a hook; True if it is over. Otherwise a task waits for its end and reports it."""
        rest = cast(Any, self.master.addons).start(hook)
        (data,) = hook.args()
        flow = data if isinstance(data, Flow) else None
        # A hook that has ended the connection is no leave to go on: its end comes after that of the connection.
        if rest is None and (flow is None or not flow.intercepted) and self.client.state is not ConnectionState.CLOSED:
            return True
        create_task(
            self._finish(hook, rest, flow), name=f"hook {hook.name}", keep_ref=True, client=self.client.peername
        )
        return False

    async def _finish(self, hook: StartHook, rest: Awaitable[None] | None, flow: Flow | None) -> None:
        with self.timeout_watchdog.disarm():
            if rest is not None:
                await rest
            if flow is not None:
                await flow.wait_for_resume()
        if hook.blocking:
            await self.server_event(HookCompleted(hook))


def _waits(writer: Any) -> bool:
    return writer is not None and writer.transport.get_write_buffer_size() > _HIGH_WATER


class Outermost:
    """Stands for the outermost layer of a connection. `start` runs a hook and says whether it is over.

    Neighbouring bytes for one peer are one write: mitmproxy writes a reply's head, body and end each by itself, which
    is a system call and a TCP segment for each.
    """

    __slots__ = ("_events", "_layer", "_start", "context")

    def __init__(self, layer: Layer, start: Callable[[StartHook], bool]) -> None:
        self._layer, self._start, self.context = layer, start, layer.context
        self._events: deque[Event] = deque()

    def handle_event(self, event: Event) -> Iterator[Command]:
        """The layer's commands to an event and to the ends of hooks, in their order."""
        self._events.append(event)
        waiting: SendData | None = None
        while self._events:
            for command in self._layer.handle_event(self._events.popleft()):
                if type(command) is SendData:
                    if waiting is None:
                        waiting = command
                    elif joins(waiting, command):
                        waiting = SendData(waiting.connection, waiting.data + command.data)
                    else:
                        yield waiting
                        waiting = command
                    continue
                if waiting is not None:
                    yield waiting
                    waiting = None
                if not isinstance(command, StartHook):
                    yield command
                elif self._start(command) and command.blocking:
                    self._events.append(HookCompleted(command))
        if waiting is not None:
            yield waiting


def joins(first: SendData, second: SendData) -> bool:
    """Large pieces are not copied together: they fill their segments anyway."""
    return first.connection is second.connection and len(first.data) + len(second.data) <= _JOINED_BYTES
