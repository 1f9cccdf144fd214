"""Counts what becomes of requests: each by its verdict, each refusal by its reason, and how long the cluster takes.

Decides nothing. Runs when everything was decided, just before the seal.
"""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy.http import HTTPFlow

from addons.edge.meters import Meters
from addons.exchange import Exchange, exchange_of
from addons.refusal import settled


class Metrics:
    """`now` gives Unix seconds, as mitmproxy notes them."""

    def __init__(self, meters: Meters, now: Callable[[], float]) -> None:
        self._meters, self._now = meters, now

    def request(self, flow: HTTPFlow) -> None:
        """Count it by what was decided; from here it is the cluster's time."""
        exchange = exchange_of(flow)
        decision = exchange.decision
        if decision is not None:
            self._meters.request(_connection(exchange), decision.verdict.word, decision.rule)
        elif exchange.refusal is not None:
            self._meters.request(_connection(exchange), "refuse", exchange.refusal.rule)
        if not settled(flow):
            exchange.forwarded_at = self._now()

    def response(self, flow: HTTPFlow) -> None:
        """Count a refusal, whichever step it came from, or when the cluster began its reply."""
        exchange = exchange_of(flow)
        refusal, forwarded_at = exchange.refusal, exchange.forwarded_at
        if refusal is not None:
            self._meters.refusal(_connection(exchange), refusal.rule, refusal.code)
        elif forwarded_at is not None and flow.response is not None:
            self._meters.upstream(_connection(exchange), flow.response.timestamp_start - forwarded_at)


def _connection(exchange: Exchange) -> str:
    return exchange.connection.name if exchange.connection is not None else ""
