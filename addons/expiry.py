"""What still runs when the right to it is gone is ended: no watch, log or session outlives token, grant or a lock.

B-28, B-39.

Whoever could ask for it again goes on: a grant that would be given anew, in the same role, is not interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons.core.access import AccessPolicy, choose
from addons.core.access_request import AccessRequest
from addons.core.lock import Lock, stopped
from addons.core.refusal import Refusal
from addons.edge.locks import UNREADABLE
from addons.edge.store import StoreUnavailable
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import Disconnect

log = structlog.get_logger()
LOOK_SECONDS = 2.0
_Known = tuple[Sequence[Lock], Sequence[AccessRequest]]


class Expiry:
    """`access` is what is in force now, not what a stream began under; `locks` and `granted` read the store."""

    def __init__(
        self,
        access: Callable[[], AccessPolicy],
        locks: Callable[[], Awaitable[Sequence[Lock]]],
        granted: Callable[[], Awaitable[Sequence[AccessRequest]]],
        now: Callable[[], float],
        disconnect: Disconnect,
    ) -> None:
        self._access, self._locks, self._granted = access, locks, granted
        self._now, self._disconnect = now, disconnect
        self._running: dict[Client, dict[str, Exchange]] = {}
        self._looking: asyncio.Task[None] | None = None

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Begin to look after what is going to last."""
        response = need(flow.response, "response")
        if (response.stream or response.status_code == 101) and (exchange := exchange_of(flow)).sealed:
            if not self._running:
                self._look_later()
            self._running.setdefault(flow.client_conn, {})[flow.id] = exchange

    def response(self, flow: HTTPFlow) -> None:
        """A stream is over; an upgraded connection is when its client is gone."""
        if need(flow.response, "response").status_code != 101:
            self.error(flow)

    def error(self, flow: HTTPFlow) -> None:
        """A stream is over."""
        if (streams := self._running.get(flow.client_conn)) is not None:
            streams.pop(flow.id, None)

    def client_disconnected(self, client: Client) -> None:
        """All of its streams are over."""
        self._running.pop(client, None)

    def _look_later(self) -> None:
        asyncio.get_running_loop().call_later(LOOK_SECONDS, self._start_looking)

    def _start_looking(self) -> None:
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        known: _Known | None = None
        try:
            known = (await self._locks(), await self._granted())
        except StoreUnavailable as error:
            log.warning("locks and grants cannot be read: what runs is ended", why=str(error))
        finally:
            if self._running:
                self._look_later()
            self._end_what_is_over(known)

    def _end_what_is_over(self, known: _Known | None) -> None:
        for client, streams in list(self._running.items()):
            for exchange in list(streams.values()):
                over: Refusal | None = _UNKNOWN
                try:
                    over = self._over(exchange, known)
                finally:  # also if that cannot be told
                    if over is not None:
                        self._end(client, exchange, over)

    def _over(self, exchange: Exchange, known: _Known | None) -> Refusal | None:
        """Why the right to it is gone; None while it would be given again."""
        session, grant = need(exchange.session, "session"), need(exchange.grant, "grant")
        if known is None:
            return UNREADABLE
        locks, granted = known
        if (locked := stopped(locks, session)) is not None:
            return locked
        if self._now() >= session.identity.exp:
            return _EXPIRED
        grants = self._access().grants(session, self._now(), granted)
        again = grants if isinstance(grants, Refusal) else choose(grants, need(exchange.request, "request"))
        if isinstance(again, Refusal):
            return again
        return None if again.role == grant.role else _ANOTHER_ROLE

    def _end(self, client: Client, exchange: Exchange, why: Refusal) -> None:
        log.warning("stream ended: the right to it is gone", rule=why.rule, why=why.why, reference=exchange.id)
        exchange.ended = why
        self._disconnect(client)


_EXPIRED = Refusal(code=401, rule="token-expired", why="the caller's token has expired")
_ANOTHER_ROLE = Refusal(code=403, rule="role-changed", why="the caller now has another role")
_UNKNOWN = Refusal(code=503, rule="gateway-fault", why="it could not be told whether the right to it lasts")
