"""Counts every request of a known caller, refused ones too, when some rule reads `rate`; and which were denied.

No policy here: how many are too many is for guardrails to say.
"""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy.http import HTTPFlow

from addons.core.guardrails import GuardrailSet
from addons.core.guardrails.rate import lists, writes
from addons.edge.rates import Caller, RateTable
from addons.exchange import Exchange, exchange_of


class Rates:
    """`rules` gives those that an exchange is judged by; `now` gives Unix seconds."""

    def __init__(self, rules: Callable[[Exchange], GuardrailSet], table: RateTable, now: Callable[[], float]) -> None:
        self._rules, self._table, self._now = rules, table, now

    def request(self, flow: HTTPFlow) -> None:
        """Write the exchange's rate: what its caller did in the last minute, this request included."""
        exchange = exchange_of(flow)
        caller = _caller(exchange)
        if caller is not None and self._rules(exchange).counts:
            request = exchange.request
            write, listing = (False, False) if request is None else (writes(request), lists(request))
            exchange.rate = self._table.count(caller, self._now(), write, listing)

    def response(self, flow: HTTPFlow) -> None:
        """Count a denial, whichever step it came from."""
        exchange = exchange_of(flow)
        refusal, caller = exchange.refusal, _caller(exchange)
        if refusal is not None and refusal.code == 403 and caller is not None and self._rules(exchange).counts:
            self._table.denied(caller, self._now())


def _caller(exchange: Exchange) -> Caller | None:
    """Who asks which cluster; None for callers that proved no identity."""
    identity, connection = exchange.identity, exchange.connection
    if identity is None or connection is None:
        return None
    return identity.iss, identity.sub, identity.act, connection.name
