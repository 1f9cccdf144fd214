"""What the caller may attempt at all: identity, connection and intent become a Grant. No grant, no access.

Which rule wins is decided in `addons/core/access.py`; what is risky within the grant is the guardrails' business.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from mitmproxy.http import HTTPFlow

from addons.core.access import AccessPolicy, choose
from addons.core.access_request import AccessRequest
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.core.session import Session
from addons.edge.fresh import Fresh
from addons.edge.store import StoreUnavailable
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import refuse, settled

_JOBS = 8192
_Job = tuple[str, Identity, tuple[AccessRequest, ...]]
_UNREADABLE = Refusal(
    code=503,
    rule="grants-unreadable",
    why="the gateway cannot read what was granted to you",
    hint="wait; if it lasts, tell the people who run the gateway",
    retry_after_seconds=5,
)


class Access:
    """`policy` gives the one an exchange is judged by; `granted` are access requests; `now` gives Unix seconds."""

    def __init__(
        self,
        policy: Callable[[Exchange], AccessPolicy],
        granted: Fresh[AccessRequest],
        now: Callable[[], float],
    ) -> None:
        self._policy, self._granted, self._now = policy, granted, now
        self._compiled: AccessPolicy | None = None
        self._jobs: OrderedDict[_Job, tuple[Grant, ...]] = OrderedDict()

    def request(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Write the grant, or refuse. Waits only where access is on request, and there only for what is new."""
        if settled(flow):
            return None
        exchange = exchange_of(flow)
        policy = self._policy(exchange)
        on_request = policy.on_request(need(exchange.session, "session").connection)
        known = self._granted.known() if on_request else ()
        chosen = None if known is None else self._choose(policy, exchange, known)
        if chosen is None or (on_request and isinstance(chosen, Refusal)):
            return self._when_read(flow, policy, exchange)  # what a caller was told of just now holds here, too
        _settle(flow, exchange, chosen)
        return None

    async def _when_read(self, flow: HTTPFlow, policy: AccessPolicy, exchange: Exchange) -> None:
        try:
            granted = await self._granted.read_again()
        except StoreUnavailable:
            refuse(flow, _UNREADABLE)
        else:
            _settle(flow, exchange, self._choose(policy, exchange, granted))

    def _choose(self, policy: AccessPolicy, exchange: Exchange, granted: Sequence[AccessRequest]) -> Grant | Refusal:
        grants = self._grants(policy, need(exchange.session, "session"), granted)
        return grants if isinstance(grants, Refusal) else choose(grants, need(exchange.request, "request"))

    def _grants(
        self, policy: AccessPolicy, session: Session, granted: Sequence[AccessRequest]
    ) -> tuple[Grant, ...] | Refusal:
        """The job's grants, worked out once per window; refusals are worked out each time."""
        now = self._now()
        if policy is not self._compiled:
            self._jobs.clear()
            self._compiled = policy
        mine = tuple(request for request in granted if request.holds(session, now))
        job = (session.id, session.identity, mine)
        known = self._jobs.get(job)
        if known is not None and all(grant.not_before_at <= now < grant.expires_at for grant in known):
            return known
        found = policy.grants(session, now, mine)
        if not isinstance(found, Refusal):
            self._jobs[job] = found
            if len(self._jobs) > _JOBS:
                self._jobs.popitem(last=False)
        return found


def _settle(flow: HTTPFlow, exchange: Exchange, chosen: Grant | Refusal) -> None:
    if isinstance(chosen, Refusal):
        refuse(flow, chosen)
    else:
        exchange.grant = chosen
