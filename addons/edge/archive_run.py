"""Running the archiver: sweep after sweep, slower while the bucket cannot be used, and what it says meanwhile."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from addons.core.archive.trouble import backoff
from addons.edge.archive_bucket import ArchiveUnavailable
from addons.edge.archive_status import write_status
from addons.edge.archive_upload import Archiver, Swept

log = structlog.get_logger()

_LAST_SECONDS = 15.0
"""How long an archiver that is told to stop waits for the gateway beside it to have written its last."""


@dataclass(slots=True)
class Runner:
    """`where` names the archive, `every` is the seconds between sweeps, `tend` is done after each that succeeds."""

    archiver: Archiver
    state: Path
    where: str
    every: float
    tend: Callable[[], None]
    stop: Event = field(default_factory=Event)
    _failures: int = 0
    _parts: int = 0
    _bytes: int = 0
    _outage_since: float = 0.0

    def once(self) -> Swept:
        """One sweep. Raises OSError, Strange; where the bucket cannot be used, that is in `error`."""
        try:
            done = self.archiver.sweep()
        except ArchiveUnavailable as error:
            done = Swept(error=error)
        self._parts, self._bytes = self._parts + done.parts, self._bytes + done.bytes
        self._note(done.error)
        write_status(self.state, self._told(done))
        if done.error is None:
            self.tend()
        return done

    def follow(self) -> None:
        """Until it is told to stop, and then until what the gateway has written is there. Raises as `once`."""
        while not self.stop.is_set():
            self.once()
            self.stop.wait(backoff(self._failures, random.random()) if self._failures else self.every)
        end = time.monotonic() + _LAST_SECONDS
        while True:
            done = self.once()
            if done.error is not None or not done.running or time.monotonic() > end:
                return
            time.sleep(0.5)

    def _note(self, error: ArchiveUnavailable | None) -> None:
        """Says when an outage begins, and when it is over."""
        if error is None:
            if self._failures:
                seconds = round(time.time() - self._outage_since)
                log.info("archive reachable again", archive=self.where, outage_seconds=seconds)
            self._failures, self._outage_since = 0, 0.0
            return
        self._failures += 1
        if self._failures == 1:
            self._outage_since = time.time()
            log.error("archive unreachable: evidence waits here", archive=self.where, code=error.code, error=str(error))

    def _told(self, done: Swept) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "written_at": time.time(),
            "every": self.every,
            "where": self.where,
            "parts": self._parts,
            "bytes": self._bytes,
            "waiting_bytes": done.waiting_bytes,
            "waiting_since": done.waiting_since,
            "outage_since": self._outage_since,
            "error": str(done.error or ""),
            "conflicts": done.conflicts,
        }
