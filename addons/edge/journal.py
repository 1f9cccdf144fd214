"""Appending to many files from one thread, with group commit: concurrent callers share one write and one sync.

A write that fails leaves its file as it was before, so that a later one does not follow a torn line. Files that several
worker processes share are locked (flock(2)) around each write; every write of a batch is one write(2) with O_APPEND.
Records of the audit log get their place in the worker's chain here, where their order is known (`audit_log`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from addons.edge.audit_log import AuditLog
from addons.edge.durable import Folder, append, append_lines
from addons.edge.journal_files import Files

MAX_QUEUED_BYTES = 64 * 1024 * 1024
PRESSURE_BYTES = 4 * 1024 * 1024
_MAX_BATCH = 4096
_UNHURRIED_SECONDS = 0.05


class RecordUnavailable(OSError):
    """Something could not be recorded. Whatever it was about must not happen."""


@dataclass(slots=True)
class Entry:
    """Bytes to append to `folder/name`. `done` is resolved after a sync; `on_error` is called in the loop instead.

    `before` is written first and shares the fate of this entry: without it, this one is not written.
    """

    folder: Folder
    name: str
    data: bytes
    shared: bool = False
    chained: bool = False
    done: asyncio.Future[None] | None = None
    on_error: Callable[[RecordUnavailable], None] | None = None
    before: Entry | None = None

    @property
    def size(self) -> int:
        """Bytes that wait with this entry."""
        return len(self.data) + (len(self.before.data) if self.before is not None else 0)


class Journal:
    """The writer thread and its bounded queue. All methods are for one event loop; only the thread touches files."""

    def __init__(self, max_queued_bytes: int = MAX_QUEUED_BYTES, chain: AuditLog | None = None) -> None:
        """`chain` is where chained entries get their place; it is the thread's from here."""
        self._max_queued_bytes, self._chain = max_queued_bytes, chain
        self._queue: SimpleQueue[list[Entry] | None] = SimpleQueue()
        self._gathered: list[Entry] = []
        self._hurried = False
        self._queued = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._files = Files()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def submit(self, entry: Entry) -> None:
        """Queues an entry; entries of one file keep their order. Raises RecordUnavailable when closed or full."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start()
        if self._closed:
            raise RecordUnavailable(errno.EBADF, "the record is closed")
        if self._queued + entry.size > self._max_queued_bytes:
            raise RecordUnavailable(errno.ENOBUFS, "too much waits to be recorded")
        self._queued += entry.size
        self._gathered.append(entry)
        if not self._hurried and (entry.done is not None or len(self._gathered) >= _MAX_BATCH):
            self._hurried = True
            self._loop.call_soon(self._hand_over)
        elif len(self._gathered) == 1:
            self._loop.call_later(_UNHURRIED_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        """What was gathered in a turn of the loop goes at once: each time the thread wakes, the loop waits."""
        self._hurried = False
        gathered, self._gathered = self._gathered, []  # in one step: whoever closes may be in another thread
        if gathered:
            self._queue.put(gathered)

    async def commit(self, entry: Entry) -> None:
        """Returns once its data is on disk (fdatasync), and `before` written. Raises RecordUnavailable otherwise."""
        done = entry.done = asyncio.get_running_loop().create_future()
        self.submit(entry)
        await done

    @property
    def alive(self) -> bool:
        """False once the writer has stopped, of itself or because it was closed."""
        return not self._closed

    @property
    def fault(self) -> OSError | None:
        """Why the audit log takes no records now; None if there is no reason."""
        return self._chain.fault if self._chain is not None else None

    @property
    def pressed(self) -> bool:
        """True while so much waits that whoever produces more should await `relieved()` first."""
        return self._queued > PRESSURE_BYTES

    async def relieved(self) -> None:
        """Returns when the queue is short again."""
        while self.pressed:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def close(self) -> None:
        """Writes what is queued and closes every file. Blocks; later entries are refused."""
        self._closed = True
        if self._loop is not None:
            self._hand_over()
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        batch: list[Entry] = []
        try:
            while True:
                batch, last = self._next()
                self._write_batch(batch)
                batch = []
                if self._chain is not None:
                    self._chain.tend(last)
                if last:
                    return
        finally:  # whether asked to stop or broken: nobody waits for ever
            self._closed = True
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._abandon, batch)
            self._files.close()

    def _next(self) -> tuple[list[Entry], bool]:
        """What is queued now, nothing only when the chain is due; True when nothing will follow."""
        batch: list[Entry] = []
        try:
            entries = self._queue.get(timeout=self._chain.due_in() if self._chain is not None else None)
        except Empty:
            return batch, False
        while entries is not None:
            batch += entries
            if len(batch) >= _MAX_BATCH:
                return batch, False
            try:
                entries = self._queue.get_nowait()
            except Empty:
                return batch, False
        return batch, True

    def _write_batch(self, batch: list[Entry]) -> None:
        """Files that somebody waits for first, and told at once."""
        awaited = {(id(entry.folder), entry.name) for entry in batch if entry.done is not None}
        first = [entry for entry in batch if (id(entry.folder), entry.name) in awaited]
        rest = [entry for entry in batch if (id(entry.folder), entry.name) not in awaited]
        for part in filter(None, (first, rest)):
            self._write_files(part)

    def _write_files(self, batch: list[Entry]) -> None:
        early = self._append([entry.before for entry in batch if entry.before is not None])
        faults = {id(entry): early[id(entry.before)] for entry in batch if id(entry.before) in early}
        faults |= self._append([entry for entry in batch if id(entry) not in faults])
        self._report([(entry, faults.get(id(entry))) for entry in batch])

    def _append(self, entries: list[Entry]) -> dict[int, RecordUnavailable]:
        """Writes each file's entries at once; the faults by the id of the entries that were not written."""
        by_file: dict[tuple[int, str], list[Entry]] = {}
        for entry in entries:
            by_file.setdefault((id(entry.folder), entry.name), []).append(entry)
        faults: dict[int, RecordUnavailable] = {}
        for together in by_file.values():
            path = together[0].folder.path / together[0].name
            try:
                self._write(path, together)
            except OSError as error:
                fault = RecordUnavailable(error.errno, f"cannot record in {path.name}: {error.strerror or error}")
                faults |= {id(entry): fault for entry in together}
                self._files.forget(path)
        return faults

    def _write(self, path: Path, entries: list[Entry]) -> None:
        first, pieces = entries[0], [entry.data for entry in entries]
        descriptor = self._files.open(path, first.folder)
        if first.chained:
            assert self._chain is not None, "nothing is recorded in no chain"
            self._chain.append(descriptor, path, pieces)
        else:
            (append_lines if first.shared else append)(descriptor, b"".join(pieces))
        if any(entry.done is not None for entry in entries):
            self._sync(descriptor, path)

    def _sync(self, descriptor: int, path: Path) -> None:
        try:
            os.fdatasync(descriptor)
        except OSError:
            if self._chain is not None:
                self._chain.abandon()
            raise
        if self._chain is not None:
            self._chain.synced(path)

    def _abandon(self, batch: list[Entry]) -> None:
        """In the loop, where entries are queued: after this nothing can be added that nobody would write."""
        self._hand_over()
        while not self._queue.empty():
            batch += self._queue.get_nowait() or []
        self._settle([(entry, RecordUnavailable(errno.EIO, "the writer stopped")) for entry in batch])

    def _report(self, outcomes: list[tuple[Entry, RecordUnavailable | None]]) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, outcomes)

    def _settle(self, outcomes: list[tuple[Entry, RecordUnavailable | None]]) -> None:
        for entry, fault in outcomes:
            self._queued -= entry.size
            if entry.done is not None and not entry.done.done():
                if fault is None:
                    entry.done.set_result(None)
                else:
                    entry.done.set_exception(fault)
            elif fault is not None and entry.on_error is not None:
                entry.on_error(fault)
        if self._waiters and not self.pressed:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
