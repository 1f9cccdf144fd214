"""Who was locked by a human is stopped here, before anything is asked of anybody, and once more after all answers.

The rules of access do not matter to a lock, and it needs no reload. What runs already is ended by `expiry`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from mitmproxy.http import HTTPFlow

from addons.core.lock import Lock, stopped
from addons.edge.locks import UNREADABLE
from addons.edge.locks import Locks as Known
from addons.edge.store import StoreUnavailable
from addons.exchange import exchange_of, need
from addons.refusal import refuse, settled


class Locks:
    """`locks` is what the store says, at most a second old."""

    def __init__(self, locks: Known) -> None:
        self._locks = locks

    def requestheaders(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Refuse who is locked; authentication has just said who it is."""
        return self._stop(flow)

    def request(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Once more: a body may have taken its time, and a human who was asked too."""
        return self._stop(flow)

    def _stop(self, flow: HTTPFlow) -> Awaitable[None] | None:
        if settled(flow):
            return None
        if (known := self._locks.known()) is None:
            return self._stop_when_known(flow)
        _judge(flow, known)
        return None

    async def _stop_when_known(self, flow: HTTPFlow) -> None:
        try:
            known = await self._locks.read()
        except StoreUnavailable:
            refuse(flow, UNREADABLE)
        else:
            _judge(flow, known)


def _judge(flow: HTTPFlow, locks: Sequence[Lock]) -> None:
    if (refusal := stopped(locks, need(exchange_of(flow).session, "session"))) is not None:
        refuse(flow, refusal)
