"""Notes on the second try of a session which one the first was, so that the record tells one story, not two.

Decides nothing. The memory is this worker's: a second try that another worker serves stands for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from mitmproxy.http import HTTPFlow

from addons.core.approval import opens_stream
from addons.core.attempts import Attempts as Memory
from addons.exchange import Exchange, exchange_of, need


class Attempts:
    """Its field of the exchange is `retry_of`. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._memory = Memory()

    def request(self, flow: HTTPFlow) -> None:
        """Of a session over SPDY, refused or not: was it asked for before?"""
        exchange = exchange_of(flow)
        if (asked := _asked(exchange, "spdy")) is not None:
            exchange.retry_of = self._memory.first_of(asked, self._now())

    def response(self, flow: HTTPFlow) -> None:
        """Remember a WebSocket that was not opened, whoever refused it."""
        exchange, response = exchange_of(flow), need(flow.response, "response")
        if response.status_code != 101 and (asked := _asked(exchange, "websocket")) is not None:
            self._memory.failed(asked, exchange.id, self._now())


def _asked(exchange: Exchange, upgrade: str) -> Hashable | None:
    """Who asks for which session, None if it is none, or asked for by another protocol or by nobody known."""
    request, identity, connection = exchange.request, exchange.identity, exchange.connection
    if request is None or identity is None or connection is None:
        return None
    if request.upgrade != upgrade or not opens_stream(request):
        return None
    return identity.iss, identity.sub, identity.act, connection.name, request.target
