"""The locks of the store as a worker knows them: never older than it says, and nothing is guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from addons.core.lock import Lock
from addons.core.refusal import Refusal
from addons.edge.lock_store import locks
from addons.edge.store_thread import StoreThread

FRESH_SECONDS = 1.0
"""A lock made by any process counts here after this."""
UNREADABLE = Refusal(
    code=503,
    rule="locks-unreadable",
    why="the gateway cannot read whether your access is locked",
    hint="wait; if it lasts, tell the people who run the gateway",
    retry_after_seconds=5,
)


class Locks:
    """`monotonic` counts seconds, of whatever beginning."""

    def __init__(self, store: StoreThread, monotonic: Callable[[], float]) -> None:
        self._store, self._monotonic = store, monotonic
        self._known: Sequence[Lock] = ()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def known(self) -> Sequence[Lock] | None:
        """The locks, if they were read within FRESH_SECONDS."""
        return self._known if self._monotonic() < self._read_at + FRESH_SECONDS else None

    async def read(self) -> Sequence[Lock]:
        """The locks as they are now; one reads for all who wait. Raises StoreUnavailable."""
        if (known := self.known()) is not None:
            return known
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
        await asyncio.shield(self._reading)
        return self._known

    async def _read(self) -> None:
        began = self._monotonic()
        self._known = await self._store.call(locks)
        self._read_at = began
