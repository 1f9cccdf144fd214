"""The store, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate

from addons.edge.store import Store


class StoreThread:
    """The store, from an event loop: one dedicated thread runs every call, so the loop never waits on a disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def call[**P, R](self, method: Callable[Concatenate[Store, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of `method`, as in `await thread.call(Store.consume, id, now)`; raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: method(self._store, *args, **kwargs)
        )

    def close(self) -> None:
        """Waits for the running call, then closes the store."""
        self._executor.shutdown()
        self._store.close()
