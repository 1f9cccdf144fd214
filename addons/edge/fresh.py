"""What the store says, as a worker knows it: never older than it says, and nothing is guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from addons.edge.store import Store
from addons.edge.store_thread import StoreThread

FRESH_SECONDS = 1.0
"""What any process writes counts here after this."""


class Fresh[T]:
    """What `query` finds. `monotonic` counts seconds, of whatever beginning."""

    def __init__(
        self, store: StoreThread, query: Callable[[Store], Sequence[T]], monotonic: Callable[[], float]
    ) -> None:
        self._store, self._query, self._monotonic = store, query, monotonic
        self._known: Sequence[T] = ()
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    def known(self) -> Sequence[T] | None:
        """What was found, if it was read within FRESH_SECONDS."""
        return self._known if self._monotonic() < self._read_at + FRESH_SECONDS else None

    async def read(self) -> Sequence[T]:
        """What is found now; one reads for all who wait. Raises StoreUnavailable."""
        if (known := self.known()) is None:
            await self._one_reading()
            return self._known
        return known

    async def read_again(self) -> Sequence[T]:
        """What is found by a reading that begins no earlier than now: all that was written counts."""
        asked_at = self._monotonic()
        while self._read_at < asked_at:
            await self._one_reading()
        return self._known

    async def _one_reading(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        began = self._monotonic()
        self._known = await self._store.call(self._query)
        self._read_at = began
