"""Understands each request once, for everything that follows, and refuses what cannot be understood one way.

All of the understanding is in `core.reading`. From here on the request goes by its canonical target, so that what was
understood is what is sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mitmproxy.http import HTTPFlow

from addons.core.connection import Connection
from addons.core.reading import Reading, read
from addons.core.resources import STALE_RULES, Resources
from addons.core.session import Session
from addons.exchange import exchange_of, need
from addons.refusal import refuse, settled


class Commands:
    """`resources_of` gives what is known of a cluster's API at once; `refresh` asks the cluster again, after a
    miss, with a role that this session may use.

    `refresh` limits its own rate: an agent that asks for unknown things must not make the gateway ask the cluster.
    """

    def __init__(
        self,
        resources_of: Callable[[Connection], Resources],
        refresh: Callable[[Connection, Session], Awaitable[Resources]],
    ) -> None:
        self._resources_of, self._refresh = resources_of, refresh

    async def request(self, flow: HTTPFlow) -> None:
        """Write the exchange's request, command and body, or refuse. What could be read is recorded either way."""
        if settled(flow):
            return
        exchange = exchange_of(flow)
        connection = need(exchange.connection, "connection")
        reading = _read(flow, self._resources_of(connection))
        if reading.refusal is not None and reading.refusal.rule in STALE_RULES:
            reading = _read(flow, await self._refresh(connection, need(exchange.session, "session")))
        exchange.request, exchange.command = reading.request, reading.command
        exchange.body_object = reading.body.mapping
        if reading.refusal is not None:
            refuse(flow, reading.refusal)
            return
        target = need(reading.request, "request").target
        if target != flow.request.path:
            flow.request.path = target


def _read(flow: HTTPFlow, resources: Resources) -> Reading:
    request = flow.request
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.fields]
    method = request.data.method.decode("latin-1")  # `request.method` is upper-cased; the API server's is not
    return read(method, request.path, headers, need(request.raw_content, "body"), resources)
