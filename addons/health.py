"""The pages for probes, put together: /healthz says whether to restart this process, /readyz whether to send it agents.

/metrics is registered by `reporting.py`. Other pages are registered on the same listener (`HealthListener.register`).
"""

from __future__ import annotations

import time

from addons.edge.health import HealthListener, Page
from addons.edge.readiness import Readiness
from addons.edge.store import Store
from addons.parts import Parts

SELF_CHECK = "self-check"
SERVING = "serving"


def make_readiness(parts: Parts) -> Readiness:
    """Everything that must be there; at first the self-check is missing, and nobody is served."""

    async def policy() -> str:
        found = parts.in_force.policy
        return "" if found.connections and found.guardrails.rules else "no connection or no guardrail"

    async def identity_keys() -> str:
        without = parts.verifier.without_keys()
        return f"no usable keys of {', '.join(without)}" if without else ""

    async def store() -> str:
        await parts.store.call(Store.check)
        return ""

    async def record() -> str:
        await parts.recordings.check()
        return ""

    checks = {"policy": policy, "identity-keys": identity_keys, "store": store, "record": record}
    readiness = Readiness(checks, time.monotonic)
    readiness.holds |= {SELF_CHECK: "not passed yet", SERVING: "not yet"}
    return readiness


def make_health(parts: Parts, readiness: Readiness) -> HealthListener:
    """The listener with both pages, not started."""

    async def healthz() -> Page:
        alive = parts.recordings.alive  # what never comes back by itself; the rest is for /readyz
        return Page(200, b"ok\n") if alive else Page(503, b"the writer of the record has stopped: restart\n")

    health = HealthListener()
    health.register("/healthz", healthz)
    health.register("/readyz", readiness.page)
    return health
