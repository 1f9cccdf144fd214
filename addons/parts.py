"""What the stack is built from: everything a worker judges by and reaches out with, composed in `gateway.py`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from addons.connections import Connections
from addons.core.connection import Connection
from addons.core.resources import Resources
from addons.core.session import Session
from addons.edge.authority import Authority
from addons.edge.flow_record import FlowRecords
from addons.edge.live import Live
from addons.edge.oidc import Verifier
from addons.edge.rates import RateTable
from addons.edge.recordings import Recordings
from addons.edge.store_thread import StoreThread
from addons.edge.sts import Credentials
from addons.edge.upstream import Upstream
from addons.policy import Policy
from addons.question import Scrub
from addons.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One of each per worker."""

    settings: Settings
    policy: Policy
    authority: Authority
    connections: Connections
    verifier: Verifier
    advice: str
    credentials: Credentials
    upstream: Upstream
    resources_of: Callable[[Connection], Resources]
    refresh: Callable[[Connection, Session], Awaitable[Resources]]
    rates: RateTable
    store: StoreThread
    recordings: Recordings
    records: FlowRecords
    live: Live
    scrub: Scrub
    now: Callable[[], float] = time.time
