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
        """Write the grant, or refuse. Waits only where access is on request, and for the first of a second."""
        if settled(flow):
            return None
        exchange = exchange_of(flow)
        policy, session = self._policy(exchange), need(exchange.session, "session")
        if not policy.on_request(session.connection):
            self._judge(flow, policy, session, ())
        elif (granted := self._granted.known()) is not None:
            self._judge(flow, policy, session, granted)
        else:
            return self._judge_when_known(flow, policy, session)
        return None

    async def _judge_when_known(self, flow: HTTPFlow, policy: AccessPolicy, session: Session) -> None:
        try:
            granted = await self._granted.read()
        except StoreUnavailable:
            refuse(flow, _UNREADABLE)
        else:
            self._judge(flow, policy, session, granted)

    def _judge(self, flow: HTTPFlow, policy: AccessPolicy, session: Session, granted: Sequence[AccessRequest]) -> None:
        exchange = exchange_of(flow)
        grants = self._grants(policy, session, granted)
        chosen = grants if isinstance(grants, Refusal) else choose(grants, need(exchange.request, "request"))
        if isinstance(chosen, Refusal):
            refuse(flow, chosen)
        else:
            exchange.grant = chosen

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
