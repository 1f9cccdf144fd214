"""Ships the audit log: one task for each pipeline, which sends what is new, again until it is taken, and notes it.

A receiver that is down delays its own pipeline alone. An outage is told in the log once when it begins and once when
it is over. What a receiver refuses by itself (400, 413, 422) is found by sending less, and after many tries left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import structlog

from addons.core.notify.outbox import retry_at
from addons.core.pipelines.pipeline import Pipeline
from addons.edge.audit_files import Log, Place, audit_logs
from addons.edge.pipeline_batch import MAX_PARCELS, Batch, Batches
from addons.edge.pipeline_cursor import Cursor
from addons.edge.pipeline_status import Status, pipelines_folder, write_status
from addons.edge.pipeline_targets import PartlyTaken, Receiver, receiver
from addons.edge.post import NotSent

log = structlog.get_logger()

POLL_SECONDS = 0.3
STATUS_SECONDS = 1.0
STOP_SECONDS = 12.0
"""A little more than one try to send takes at most."""
MAX_REFUSALS = 8
_SCAN_SHARE = 10
"""Looking for what is new takes at most one part in so many of the time."""
_REFUSED = frozenset({400, 413, 422})


class Logs:
    """The audit logs of all sessions, looked for once for all pipelines."""

    def __init__(self, state: Path) -> None:
        self._sessions = state / "sessions"
        self._found: dict[str, Log] = {}
        self._looked_at, self._takes = float("-inf"), 0.0
        self._lock = asyncio.Lock()

    async def now(self) -> Mapping[str, Log]:
        """Those there are, as of a moment ago. Raises OSError."""
        async with self._lock:
            began = time.monotonic()
            if began - self._looked_at >= max(POLL_SECONDS / 2, self._takes * _SCAN_SHARE):
                self._found = await asyncio.to_thread(audit_logs, self._sessions)
                self._looked_at = time.monotonic()
                self._takes = self._looked_at - began
            return self._found


class Shipper:
    """One pipeline. For one event loop: `run`, until `stop`."""

    def __init__(self, pipeline: Pipeline, state: Path, logs: Logs) -> None:
        """Raises OSError: another process runs it, or its files cannot be used."""
        self._pipeline, self._logs, self._state = pipeline, logs, state
        self._cursor = Cursor(pipelines_folder(state), pipeline.name)
        try:
            self._receiver: Receiver = receiver(pipeline)
        except OSError:
            self._cursor.close()
            raise
        self._status = Status(pipeline=pipeline.name, send=pipeline.send, to=type(pipeline.target).__name__.lower())
        self._most, self._tries = MAX_PARCELS, 0
        self._refused: Counter[tuple[str, str]] = Counter()
        self._stopping = asyncio.Event()
        self._told_at = 0.0
        self._tells = True

    async def run(self, once: bool = False) -> None:
        """Send what is new, again and again; `once`: until there is nothing, raising OSError if it cannot be sent."""
        self._tells = not once
        batches: Batches | None = None
        while not self._stopping.is_set():
            try:
                batches = batches or await self._begin()
                more = await self._step(batches)
            except OSError as error:  # NotSent, too
                if once:
                    raise
                await self._failed(error)
                continue
            if once and not more:
                return
            if not more:
                await self._pause(POLL_SECONDS)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End `run`, which `task` runs, when what is under way was taken, or has failed; let go of everything."""
        self._stopping.set()
        await asyncio.wait({task}, timeout=STOP_SECONDS)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task
        await self._receiver.close()
        self._cursor.close()
        self._told_at = float("-inf")
        await self._tell()

    async def _begin(self) -> Batches:
        if self._cursor.new:
            logs = {} if self._pipeline.history else await self._logs.now()
            self._cursor.begin({name: Place(each.inode, each.size) for name, each in logs.items()})
        return await asyncio.to_thread(Batches, self._pipeline, self._cursor)

    async def _step(self, batches: Batches) -> bool:
        """Send one batch, and note it; True if there may be more. Raises OSError."""
        logs = await self._logs.now()
        batch = await asyncio.to_thread(batches.next, logs, self._most)
        status = self._status
        status.behind = await asyncio.to_thread(batches.behind, logs)
        status.oldest_at = batch.parcels[0].known.at / 1e9 if batch.parcels else 0.0
        await self._tell()
        if batch.empty:
            await asyncio.to_thread(batches.forget, logs)
            return False
        if not batch.parcels or await self._send(batch):
            await self._note(batches, batch)
        return True

    async def _send(self, batch: Batch) -> bool:
        """True when the batch was taken, or what it holds is given up; False to try a smaller one. Raises NotSent."""
        try:
            await self._receiver.send(batch.parcels)
        except PartlyTaken as partly:
            self._status.left_out += partly.count
            log.error("records not taken", pipeline=self._pipeline.name, count=partly.count, error=str(partly))
        except NotSent as error:
            if error.status in _REFUSED and min(len(batch.parcels), self._most) > 1:
                self._most = min(len(batch.parcels), self._most) // 2
                return False
            if error.status not in _REFUSED or not self._given_up(batch, error):
                raise
            return True
        self._resumed()
        self._status.sent += len(batch.parcels)
        self._most = min(MAX_PARCELS, self._most + 1 + self._most // 10)
        return True

    def _given_up(self, batch: Batch, error: NotSent) -> bool:
        """True for what comes of one event, and was refused so often that it always will be."""
        event = batch.parcels[0].known
        self._refused[event.id, event.stage] += 1
        if self._refused[event.id, event.stage] < MAX_REFUSALS:
            return False
        del self._refused[event.id, event.stage]
        self._status.left_out += 1
        log.error("event not taken", pipeline=self._pipeline.name, reference=event.id, error=str(error))
        return True

    async def _note(self, batches: Batches, batch: Batch) -> None:
        """Only noting is tried again: what was taken is not sent once more for that."""
        while True:
            try:
                await asyncio.to_thread(batches.done, batch)
            except OSError as error:
                if self._stopping.is_set():
                    raise
                await self._failed(error)
            else:
                return

    async def _failed(self, error: OSError) -> None:
        """Tell once, and wait: longer each time."""
        self._tries += 1
        self._status.error = str(error)
        if not self._status.failing_since:
            self._status.failing_since = time.time()
            log.warning("pipeline interrupted", pipeline=self._pipeline.name, error=str(error))
        wait = retry_at(0.0, min(self._tries, 10), random.random())
        await self._pause(max(wait, error.wait if isinstance(error, NotSent) else 0.0))

    def _resumed(self) -> None:
        status = self._status
        if status.failing_since:
            seconds = round(time.time() - status.failing_since, 1)
            log.info("pipeline resumed", pipeline=self._pipeline.name, seconds=seconds, behind=status.behind)
        status.failing_since, status.error, self._tries = 0.0, "", 0

    async def _pause(self, seconds: float) -> None:
        """Wait, or until it is to stop; meanwhile the status is kept up to date."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopping.is_set():
            await self._tell()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(left, STATUS_SECONDS))

    async def _tell(self) -> None:
        if self._tells and time.monotonic() - self._told_at >= STATUS_SECONDS:
            self._told_at = time.monotonic()
            await asyncio.to_thread(write_status, self._state, self._status)
