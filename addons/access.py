"""What the caller may attempt at all: identity, connection and intent become a Grant. No grant, no access.

Which rule wins is decided in `addons/core/access.py`; what is risky within the grant is the guardrails' business.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mitmproxy.http import HTTPFlow

from addons.core.access import AccessPolicy, choose
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.core.session import Session
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import refuse, settled

_JOBS = 8192


class Access:
    """`policy` gives the one an exchange is judged by; `now` gives Unix seconds."""

    def __init__(self, policy: Callable[[Exchange], AccessPolicy], now: Callable[[], float]) -> None:
        self._policy, self._now = policy, now
        self._compiled: AccessPolicy | None = None
        self._jobs: OrderedDict[tuple[str, Identity], tuple[Grant, ...]] = OrderedDict()

    def request(self, flow: HTTPFlow) -> None:
        """Write the grant, or refuse."""
        if settled(flow):
            return
        exchange = exchange_of(flow)
        grants = self._grants(self._policy(exchange), need(exchange.session, "session"))
        chosen = grants if isinstance(grants, Refusal) else choose(grants, need(exchange.request, "request"))
        if isinstance(chosen, Refusal):
            refuse(flow, chosen)
        else:
            exchange.grant = chosen

    def _grants(self, policy: AccessPolicy, session: Session) -> tuple[Grant, ...] | Refusal:
        """The job's grants, worked out once per window; refusals are worked out each time."""
        now = self._now()
        if policy is not self._compiled:
            self._jobs.clear()
            self._compiled = policy
        job = (session.id, session.identity)
        known = self._jobs.get(job)
        if known is not None and all(grant.not_before_at <= now < grant.expires_at for grant in known):
            return known
        granted = policy.grants(session, now)
        if not isinstance(granted, Refusal):
            self._jobs[job] = granted
            if len(self._jobs) > _JOBS:
                self._jobs.popitem(last=False)
        return granted
