"""The store, off the event loop, and never for longer than some seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import Concatenate

from addons.edge.database import StoreUnavailable
from addons.edge.store import Store

CALL_SECONDS = 5.0
"""However many wait, and whatever they wait for: a lock, a server that is silent, each other."""


class StoreThread:
    """The store, from an event loop: one dedicated thread runs every call, so the loop never waits on a disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._began = float("inf")

    async def call[**P, R](self, method: Callable[Concatenate[Store, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of `method`, as in `await thread.call(Store.consume, id, now)`; raises what it raises.

        Raises StoreUnavailable after CALL_SECONDS. What had not begun by then never does.
        """

        def run() -> R:
            self._began = time.monotonic()
            try:
                return method(self._store, *args, **kwargs)
            finally:
                self._began = float("inf")

        answer = asyncio.get_running_loop().run_in_executor(self._executor, run)
        try:
            # Not a timeout around it: that would drop an answer that was there all the time that the loop was late.
            await asyncio.wait([answer], timeout=CALL_SECONDS)
            if answer.done():
                return answer.result()
        finally:
            answer.cancel()
        self._break_off()
        raise StoreUnavailable(f"the approval store has not answered within {CALL_SECONDS:.0f} seconds")

    def close(self) -> None:
        """Waits for the running call, though not for a server that is silent, then closes the store."""
        try:
            self._executor.submit(lambda: None).result(CALL_SECONDS)
        except NotYet:
            self._store.break_off(for_good=True)
        self._executor.shutdown(cancel_futures=True)
        self._store.close()

    def _break_off(self) -> None:
        """Only what has run for too long itself; the others that gave up were waiting for it."""
        if time.monotonic() - self._began >= CALL_SECONDS * 0.9:
            self._store.break_off()
