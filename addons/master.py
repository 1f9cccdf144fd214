"""The mitmproxy master of one gateway worker: headless, a pruned chain, and a strict, fast addon manager.

Only the built-in addons a gateway needs are loaded; there is no script loader, no flow view, no options that modify
traffic. The list of hooks of an event is made once; what else of mitmproxy is slow is replaced in `speed.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from mitmproxy import options
from mitmproxy.addonmanager import AddonManager
from mitmproxy.addons.core import Core
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client, Server
from mitmproxy.hooks import Hook
from mitmproxy.master import Master
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.modes import HttpProxy
from mitmproxy.proxy.mode_specs import ProxyMode

from addons.endings import end_all
from addons.fast_layers import speed_up_layers
from addons.http1 import be_strict
from addons.idle import has_news, reuse_handshakes
from addons.inline import Handler, Outermost
from addons.lingering import lingering
from addons.protocol_errors import speak_status
from addons.refusal import HookFunction, run_hooks, start_hooks
from addons.speed import speed_up
from addons.splice import splice_tunnels
from addons.upgrade_layer import install

_NO_HOOKS: tuple[HookFunction, ...] = ()


class StrictAddonManager(AddonManager):
    """Runs hooks fail-closed, from a list made once per event: the chain never changes after the start."""

    _functions: dict[str, tuple[HookFunction, ...]]

    def extend(self, *addons: object) -> None:
        """Add addons to the end of the chain."""
        self._functions = {}
        self.add(*addons)  # type: ignore[no-untyped-call]

    def start(self, event: Hook) -> Awaitable[None] | None:
        """Run an event of a connection or flow up to where it has to wait; what is left to be awaited, if anything.

        Nothing here shows flows, so mitmproxy's `update` event is not sent.
        """
        functions = self._functions.get(event.name)
        if functions is None:
            functions = self._find(event)
        return start_hooks(functions, event, self.disconnect) if functions else None

    async def handle_lifecycle(self, event: Hook) -> None:
        """As `start`, to the end."""
        if (rest := self.start(event)) is not None:
            await rest

    async def trigger_event(self, event: Hook) -> None:
        """As `handle_lifecycle`; mitmproxy calls this for its own life cycle (running, done)."""
        await run_hooks(self._find(event), event, self.disconnect)

    def _find(self, event: Hook) -> tuple[HookFunction, ...]:
        found = tuple(function for addon in self.chain for _, function in self._iter_hooks(addon, event))
        self._functions[event.name] = found
        return found

    def disconnect(self, client: Client) -> None:
        """Close a client's connection at once: the only stop that works for streams, WebSockets and tunnels alike."""
        handler = self.lookup["proxyserver"].connections.get(client.id)
        # A second cancellation would interrupt mitmproxy before it closes the socket, so only a live one is ended.
        if handler is not None and client in handler.transports and client.connected:
            handler.close_connection(client)

    def speaks(self, client: Client, server: Server) -> bool:
        """Whether something came from a client's server, its end for example, that is not read yet; or nothing will."""
        handler = self.lookup["proxyserver"].connections.get(client.id)
        io = handler and handler.transports.get(server)
        return io is None or io.writer.is_closing() or has_news(io.writer)


def make_master(
    stack: Callable[[Callable[[Client], None]], Sequence[object]], values: dict[str, Any], request_bytes: int
) -> Master:
    """A master whose chain is `stack(disconnect)` between the server and nothing else. Needs a running loop.

    `values` are mitmproxy options; an unknown one raises KeyError. No body of a request is larger than `request_bytes`.
    """
    speed_up()
    speed_up_layers()
    splice_tunnels()
    reuse_handshakes()
    be_strict(request_bytes)
    speak_status()
    end_all()
    master = Master(options.Options(), event_loop=asyncio.get_running_loop())
    master._legacy_log_events.uninstall()  # it would turn every log line into a task
    master.addons.__class__ = StrictAddonManager
    addons = cast(StrictAddonManager, master.addons)
    install(addons.disconnect, addons.speaks)
    addons.extend(Core(), Proxyserver())
    addons.extend(*stack(addons.disconnect))
    master.options.update(**values)
    if master.options.deferred:
        raise KeyError(f"unknown mitmproxy options: {', '.join(master.options.deferred)}")
    return master


def acceptor(
    master: Master, outermost: Callable[[Context], Layer] = HttpProxy
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """What handles a client's connection from its first byte to its last; `outermost` is its first layer."""
    proxyserver, mode = master.addons.get("proxyserver"), ProxyMode.parse("regular")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = Handler(master, reader, writer, master.options, mode)  # type: ignore[no-untyped-call]
        handler.layer = Outermost(outermost(handler.layer.context), handler.start)  # type: ignore[assignment]
        with proxyserver.register_connection(handler.client.id, handler):
            await handler.handle_client()

    return accept


async def serve(
    master: Master, listener: socket.socket, outermost: Callable[[Context], Layer] = HttpProxy
) -> asyncio.Server:
    """Accept clients on an already bound socket, so that "port in use" is known before anything starts."""
    return await asyncio.start_server(acceptor(master, outermost), sock=listener, backlog=1024)


async def drain(master: Master, seconds: float) -> None:
    """End every connection and wait, at most `seconds`, until each exchange has ended and said so to the addons.

    And until clients have taken what was sent to them.
    """
    addons = cast(StrictAddonManager, master.addons)
    connections = addons.lookup["proxyserver"].connections
    for handler in list(connections.values()):
        addons.disconnect(handler.client)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while connections or lingering():  # noqa: ASYNC110 - mitmproxy tells nobody when the last one is gone
                await asyncio.sleep(0.02)
