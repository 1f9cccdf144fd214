"""Keeps what a worker judges by up to date with its files: on request, and when they have changed and come to rest.

What cannot be loaded, or a folder that is gone, changes nothing but the log, the metrics and `chaperone status`. Files
are compiled in a thread, so that traffic goes on, and what they were before they were read they must be afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from addons.core.problem import InvalidConfiguration
from addons.edge.rulefiles import Signature

log = structlog.get_logger()

POLL_SECONDS = 1.0


class FilesInMotion(RuntimeError):
    """What was read may be half of one state and half of another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A try to load. No `problems`: it is in force. `at` is Unix seconds."""

    at: float
    seconds: float
    problems: tuple[str, ...]


class Reload[T]:
    """`load` reads and compiles, in a thread; `put_in_force` gives the issuers whose keys it could not fetch.

    `signature` is that of the files, `loaded` what it was before they were read last; `describe` is for the log.
    """

    def __init__(
        self,
        load: Callable[[], T],
        put_in_force: Callable[[T], Awaitable[Sequence[str]]],
        describe: Callable[[], Mapping[str, Any]],
        signature: Callable[[], Signature],
        loaded: Signature,
    ) -> None:
        self._load, self._put_in_force, self._describe, self._signature = load, put_in_force, describe, signature
        self._tried, self._seen = loaded, loaded
        self._asked = asyncio.Event()
        self.last: Attempt | None = None
        self.counts = {"loaded": 0, "failed": 0}

    def ask(self) -> None:
        """Load again now, whether anything has changed or not."""
        self._asked.set()

    async def watch(self) -> None:
        """Load whenever it is asked for or due, until cancelled."""
        while True:
            asked = await self._asked_within(POLL_SECONDS)
            before, self._seen = self._seen, await asyncio.to_thread(self._signature)
            # Twice the same: nobody is in the middle of writing several files.
            if asked or (self._seen == before and self._seen != self._tried):
                await self.attempt()

    async def attempt(self) -> None:
        """Put in force what the files say now, or keep what is; and say which."""
        at, began = time.time(), time.monotonic()
        replacing = asyncio.ensure_future(self._replace())
        await asyncio.wait([replacing])  # whatever went wrong, the watch goes on
        problems = _problems(replacing.exception())
        self._note(Attempt(at=at, seconds=time.monotonic() - began, problems=problems))

    async def _replace(self) -> None:
        self._tried = before = await asyncio.to_thread(self._signature)
        loaded = await asyncio.to_thread(self._load)
        if await asyncio.to_thread(self._signature) != before:
            self._tried = ()
            raise FilesInMotion("they changed while they were read, and are read again when they come to rest")
        for issuer in await self._put_in_force(loaded):
            log.warning("identity provider unreachable: its tokens are refused until it answers", issuer=issuer)

    async def _asked_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _note(self, attempt: Attempt) -> None:
        self.last = attempt
        if attempt.problems:
            self.counts["failed"] += 1
            log.error("policy not loaded: the one before stays in force", problems=attempt.problems, **self._describe())
        else:
            self.counts["loaded"] += 1
            log.info("policy loaded", seconds=round(attempt.seconds, 3), **self._describe())


def _problems(fault: BaseException | None) -> tuple[str, ...]:
    if fault is None:
        return ()
    if isinstance(fault, InvalidConfiguration):
        return tuple(map(str, fault.problems))
    return (f"{type(fault).__name__}: {fault}",)
