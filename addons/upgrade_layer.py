"""What speaks on a connection after a 101: reads the session's protocol, has every message judged, writes it anew.

It takes the place of mitmproxy's WebSocket layer, and mitmproxy has no other for upgraded connections here (`rawtcp` is
off): without a `Wire`, which only a request that passed every step gets, nothing is passed on.

The two directions wait separately, so that a line that waits for a human does not hold up output; what was read and not
passed on yet is bounded, since no more is read from either side while there is too much of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.commands import Command, StartHook
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers import websocket
from mitmproxy.proxy.server import ConnectionHandler

from addons.core.refusal import Refusal
from addons.core.violation import Violation
from addons.core.wires import Control, Message, Ready, Wire
from addons.core.wires.side import Side, weight
from addons.exchange import exchange_of
from addons.refusal import Disconnect
from addons.upgrade_hooks import Passing, UpgradeEndHook, UpgradeMessageHook, UpgradeStartHook

MAX_BACKLOG = 1024 * 1024
_KEEPALIVES = 16
CUT_OFF = Refusal(
    code=502,
    rule="cut-off",
    what="call this session complete",
    why="the cluster closed it before it said how the command ended: output may be missing",
    hint="look at what the command has done",
    retry="yes, if the command may run twice",
)
Speaks = Callable[[Client, Server], bool]


class UpgradeLayer(Layer):
    """One session. `disconnect` is for faults in here: a layer that is broken passes nothing on any more.

    Pings wait while the cluster `speaks`, which tells whether anything that it has sent is unread: if its end is behind
    that, it would answer with a reset, and what it has sent would be lost.
    """

    def __init__(self, disconnect: Disconnect, speaks: Speaks, context: Context, flow: HTTPFlow) -> None:
        super().__init__(context)
        self.flow = flow
        self._disconnect, self._speaks = disconnect, speaks
        self._keepalives: deque[Ready] = deque(maxlen=_KEEPALIVES)  # the last are enough
        self._exchange = exchange_of(flow)
        self._sides = {True: Side(), False: Side()}
        self._backlog = 0
        self._room = asyncio.Event()
        self._room.set()
        self._started = self._broken = self._over = False
        _layers[context.client] = self

    def handle_event(self, event: events.Event) -> Iterator[Command]:  # type: ignore[override]
        """As Layer's, which would make both directions wait for one message, and would go on after a fault."""
        broken, self._broken = self._broken, True  # until this event is done with
        try:
            if not broken:
                yield from self._handle_event(event)
            elif isinstance(event, events.ConnectionClosed):
                yield from self._close(None)
            self._broken = broken
        finally:
            if self._broken and not broken:
                self._room.set()
                asyncio.get_running_loop().call_soon(self._disconnect, self.context.client)

    def is_full(self) -> bool:
        """Whether so much waits that no more may be read."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Returns when it is not full."""
        await self._room.wait()

    def _handle_event(self, event: events.Event) -> Iterator[Command]:  # type: ignore[override]
        match event:
            case events.Start():
                yield self._hook(UpgradeStartHook(self.flow))
            case events.DataReceived(connection=connection, data=data):
                yield from self._received(data, connection is self.context.client)
            case events.ConnectionClosed(connection=connection):
                from_client = connection is self.context.client
                self._put(Control(from_client, None, closes=True), from_client)
                yield from self._advance(from_client)
            case events.HookCompleted(command=UpgradeMessageHook(data=passing)):
                yield from self._judged(passing.message)
            case events.HookCompleted(command=UpgradeStartHook()):
                self._started = True
                yield from self._advance(True)
                yield from self._advance(False)
        if self._keepalives and not self._over:
            yield from self._keep_alive()

    def _hook(self, hook: StartHook) -> StartHook:
        hook.blocking = self  # type: ignore[assignment] # ours, not the outer layers': they go on
        return hook

    def _received(self, data: bytes, from_client: bool) -> Iterator[Command]:
        if self._over:
            return
        try:
            for item in self._wire.receive(data, from_client, time.monotonic()):
                if isinstance(item, Ready):
                    yield from self._write([item])
                else:
                    self._put(item, from_client)
        except Violation as violation:
            yield from self._end(_refused(violation))
        else:
            yield from self._advance(from_client)

    def _put(self, item: Message | Control, from_client: bool) -> None:
        self._backlog += self._sides[from_client].put(item)
        if self._backlog > MAX_BACKLOG:
            self._room.clear()

    def _advance(self, from_client: bool) -> Iterator[Command]:
        side = self._sides[from_client]
        while self._started and side.queue and side.judged is None and not self._over:
            item = side.queue.popleft()
            self._backlog -= weight(item)
            if self._backlog <= MAX_BACKLOG:
                self._room.set()
            if isinstance(item, Message):
                side.judged = item
                yield self._hook(UpgradeMessageHook(Passing(self.flow, item)))
            else:
                yield from self._send(item)
                if item.closes:
                    yield from self._closed(item)

    def _judged(self, message: Message) -> Iterator[Command]:
        self._sides[message.from_client].judged = None
        if self._over:
            return
        if message.refusal is not None:
            yield from self._end(message.refusal)
        elif not message.withheld:
            yield from self._send(message)
        yield from self._advance(message.from_client)

    def _send(self, item: Message | Control) -> Iterator[Command]:
        if isinstance(item, Control) and item.content is None:
            return
        try:
            yield from self._write(self._wire.send(item))
        except Violation as violation:
            yield from self._end(_refused(violation))

    def _write(self, ready: Iterable[Ready]) -> Iterator[Command]:
        for each in ready:
            if each.keepalive and not each.to_client:
                self._keepalives.append(each)
            else:
                yield commands.SendData(self.context.client if each.to_client else self.context.server, each.data)

    def _keep_alive(self) -> Iterator[Command]:
        if not self._speaks(self.context.client, self.context.server):
            for each in self._keepalives:
                yield commands.SendData(self.context.server, each.data)
            self._keepalives.clear()

    def _end(self, refusal: Refusal) -> Iterator[Command]:
        """Ends the session, and tells the client why as far as its protocol has a place for that."""
        self._exchange.ended = refusal
        status, text = refusal.status(self._exchange.id), refusal.plain(self._exchange.id)
        yield from self._write(self._wire.farewell(status, text))
        yield from self._close(None)

    def _closed(self, control: Control) -> Iterator[Command]:
        if control.content is None and not control.from_client and self._wire.owes_status:
            yield from self._end(CUT_OFF)
        else:
            yield from self._close(control.from_client)

    def _close(self, by_client: bool | None) -> Iterator[Command]:
        if self._over:
            return
        self._over = True
        self._room.set()
        if self.flow.websocket is not None:
            self.flow.websocket.closed_by_client = by_client
            self.flow.websocket.timestamp_end = time.time()
        for connection in (self.context.server, self.context.client):
            if connection.state is not ConnectionState.CLOSED:
                yield commands.CloseConnection(connection)
        self.flow.live = False
        yield self._hook(UpgradeEndHook(self.flow))

    @property
    def _wire(self) -> Wire:
        if (wire := self._exchange.wire) is None:
            raise RuntimeError("a connection was upgraded that nobody here can read")
        return wire


def _refused(violation: Violation) -> Refusal:
    return Refusal(code=400, rule="protocol-violation", why=str(violation), hint="use kubectl or a client library")


_layers: WeakKeyDictionary[Client, UpgradeLayer] = WeakKeyDictionary()
_drain_writers = ConnectionHandler.drain_writers


def is_full(client: Client) -> bool:
    """Whether more waits to be judged, of what a client has upgraded, than may."""
    layer = _layers.get(client)
    return layer is not None and layer.is_full()


async def _drain(handler: ConnectionHandler) -> None:
    """Awaited after each read, before the next one: mitmproxy's wait for slow writers, and ours for slow judges."""
    await _drain_writers(handler)  # type: ignore[no-untyped-call]
    if (layer := _layers.get(handler.client)) is not None:
        await layer.room()


def install(disconnect: Disconnect, speaks: Speaks) -> None:
    """Speak this layer on every upgraded connection, for the life of the process."""
    websocket.WebsocketLayer = partial(UpgradeLayer, disconnect, speaks)  # type: ignore[misc, assignment]
    ConnectionHandler.drain_writers = _drain  # type: ignore[method-assign]
