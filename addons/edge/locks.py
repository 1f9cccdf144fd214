"""The locks of the store, and the sessions that were revoked, as a worker knows them."""

from __future__ import annotations

import time
from collections.abc import Callable

from addons.core.lock import Lock
from addons.core.refusal import Refusal
from addons.edge.fresh import FRESH_SECONDS as FRESH_SECONDS
from addons.edge.fresh import Fresh
from addons.edge.lock_store import locks
from addons.edge.revocation_store import revoked
from addons.edge.store_thread import StoreThread

UNREADABLE = Refusal(
    code=503,
    rule="locks-unreadable",
    why="the gateway cannot read whether your access is locked",
    hint="wait; if it lasts, tell the people who run the gateway",
    retry_after_seconds=5,
)


class Locks(Fresh[Lock]):
    """`monotonic` counts seconds, of whatever beginning."""

    def __init__(self, store: StoreThread, monotonic: Callable[[], float]) -> None:
        super().__init__(store, lambda store: [*locks(store), *revoked(store, time.time())], monotonic)
