"""A client's connection, whose hooks are run where they come up, and whose bytes to one peer are written at once.

mitmproxy starts a task for every hook, and its end waits at a lock for the event that is being run, which takes turns
of the loop. Most hooks never wait: here they are called, and their ends stand in a queue, in the lock's order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Flow
from mitmproxy.proxy.commands import Command, SendData, StartHook
from mitmproxy.proxy.events import Event, HookCompleted
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.utils.asyncio_utils import create_task

_JOINED_BYTES = 32 * 1024


class Handler(ProxyConnectionHandler):
    """mitmproxy's, for the life of one client's connection, which can also run a hook without a task."""

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
