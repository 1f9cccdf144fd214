"""Whether this worker can do its work now, and what is missing if not: the pages /readyz and /healthz.

Every need is looked at anew, but at most once in FRESH_SECONDS however often it is asked for, and nothing here waits
longer than PATIENCE_SECONDS: what has not answered by then is missing until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import orjson

from addons.edge.health import Page

FRESH_SECONDS = 1.0
PATIENCE_SECONDS = 2.0

Check = Callable[[], Awaitable[str]]
"""Why something is missing, "" if it is there."""


class Need:
    """One thing that must be there, and what was last found out about it."""

    def __init__(self, check: Check, monotonic: Callable[[], float]) -> None:
        self._check, self._monotonic = check, monotonic
        self._task: asyncio.Task[str] | None = None
        self._asked_at = float("-inf")

    async def missing(self) -> str:
        """Why it is missing, "" if it is there; one check at a time, however many ask and however long it takes."""
        now = self._monotonic()
        if self._task is None or (self._task.done() and now >= self._asked_at + FRESH_SECONDS):
            self._task, self._asked_at = asyncio.ensure_future(self._check()), now
        await asyncio.wait([self._task], timeout=PATIENCE_SECONDS)
        if not self._task.done():
            return f"no answer for {self._monotonic() - self._asked_at:.0f} s"
        if (fault := self._task.exception()) is not None:
            return str(fault) or type(fault).__name__
        return self._task.result()

    async def close(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._task])


class Readiness:
    """The needs by name, the most fundamental first."""

    def __init__(self, checks: Mapping[str, Check], monotonic: Callable[[], float]) -> None:
        self._needs = {name: Need(check, monotonic) for name, check in checks.items()}
        self.holds: dict[str, str] = {}
        """What the process itself knows to be missing, and why."""

    async def missing(self) -> Mapping[str, str]:
        """What is missing, and why."""
        found = await asyncio.gather(*(need.missing() for need in self._needs.values()))
        return {name: why for name, why in zip(self._needs, found, strict=True) if why} | self.holds

    async def page(self) -> Page:
        """200 when nothing is missing, else 503; the same JSON object in both cases."""
        missing = await self.missing()
        body = orjson.dumps({"ready": not missing, "missing": missing}, option=orjson.OPT_APPEND_NEWLINE)
        return Page(503 if missing else 200, body, "application/json")

    async def close(self) -> None:
        """Stop checking."""
        for need in self._needs.values():
            await need.close()
