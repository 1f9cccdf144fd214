"""The archiver: copies what is new in a state folder to the bucket, part by part.

A sweep looks at the ledger, then at the sessions, and copies the ledger last, as far as it was looked at: what it seals
is there before it. After a crash anywhere, the next sweep goes on behind what is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from addons.core.archive.part import THE_LEDGER, Span, first_gap
from addons.core.archive.standing import sealed_bytes
from addons.edge.archive_bucket import ArchiveUnavailable, Bucket, Strange
from addons.edge.archive_copies import Copies, set_hold
from addons.edge.archive_keys import ArchiveKeys
from addons.edge.archive_look import LedgerView, Seen, session_files
from addons.edge.archive_parts import Maker
from addons.edge.audit_ledger import AuditLedger
from addons.edge.audit_log import AUDIT_FILE, live_chains

PART_BYTES = 8 * 1024 * 1024
_THREADS = 8
_LOOK_AGAIN_SECONDS = 0.05
_LAST_LINE_SECONDS = 60.0
_OF_LINES = (".jsonl", ".cast")


@dataclass(slots=True)
class Swept:
    """What a sweep has copied, and what it has not. `waiting_since` (Unix seconds) is when something last changed that
    waits, 0 if nothing does.
    """

    parts: int = 0
    bytes: int = 0
    waiting_bytes: int = 0
    waiting_since: float = 0.0
    conflicts: dict[str, str] = field(default_factory=dict)
    running: bool = False
    """Some worker goes on writing."""
    error: ArchiveUnavailable | None = None

    def wait(self, size: int, since: float) -> None:
        """So many bytes wait."""
        self.waiting_bytes += size
        self.waiting_since = min(self.waiting_since or since, since)

    def add(self, other: Swept) -> None:
        """Both together."""
        self.parts, self.bytes = self.parts + other.parts, self.bytes + other.bytes
        self.error = self.error or other.error
        if other.waiting_bytes:
            self.wait(other.waiting_bytes, other.waiting_since)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What one sweep goes by."""

    maker: Maker
    live: frozenset[str]
    now: float


class Archiver:
    """Sweeps, one after the other, for one state folder."""

    def __init__(self, state: Path, ledger: AuditLedger, bucket: Bucket, keys: ArchiveKeys) -> None:
        self.view = LedgerView(ledger)
        self._state, self._bucket, self._keys = state, bucket, keys
        self._copies = Copies(bucket, keys, self.view)
        self._holds: dict[str, bool] = {}
        self._checked = False

    def sweep(self) -> Swept:
        """Copies what is new. `error` is why not all of it was. Raises OSError, Strange, ArchiveUnavailable."""
        signer = self.view.look()
        before, now = live_chains(self.view.ledger), time.time()
        if not self._checked:
            self._copies.check_whose()
            self._checked = True
        found = list(session_files(self._state, self.view.standing, now))
        live = before | live_chains(self.view.ledger)
        time.sleep(_LOOK_AGAIN_SECONDS)  # a write that failed half way has been taken back by then
        maker = Maker(self.view.standing.archive, self.view.size, signer, self._keys)
        done = self._copy(found, _Moment(maker, live, now))
        done.running = bool(live)
        self._copies.forget({(each[0].file.session, each[0].file.generation) for each in found})
        done.conflicts = {file.restored: why for file, why in self._copies.conflicts.items()}
        return done

    def _copy(self, found: list[list[Seen]], moment: _Moment) -> Swept:
        done = Swept()
        with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="archive") as threads:
            for each in threads.map(lambda session: self._session(session, moment), found):
                done.add(each)
        ledger = Seen(THE_LEDGER, self.view.ledger.file, self.view.size, moment.now)
        if done.error is None:
            self._tried(done, partial(self._file, ledger, moment, done))
        if done.error is None:
            self._tried(done, self._hold)
        return done

    def _session(self, files: list[Seen], moment: _Moment) -> Swept:
        done = Swept()
        for seen in files:
            if done.error is None and seen.settled:
                self._tried(done, partial(self._file, seen, moment, done))
            if done.error is not None or not seen.settled:
                done.wait(seen.size, seen.changed_at)
        return done

    def _tried(self, done: Swept, act: Callable[[], None]) -> None:
        try:
            act()
        except ArchiveUnavailable as error:
            done.error = error

    def _file(self, seen: Seen, moment: _Moment, done: Swept) -> None:
        """Copies what is new in a file."""
        try:
            self._gaps(seen, moment, done)
        except Strange as error:
            self._copies.conflict(seen.file, str(error))
        except FileNotFoundError:
            return  # its session was removed meanwhile

    def _gaps(self, seen: Seen, moment: _Moment, done: Swept) -> None:
        if (gap := first_gap(self._copies.spans(seen.file), seen.size)) is None:
            if self._copies.end(seen.file) > seen.size:
                raise Strange(f"{seen.path} is shorter than what was copied of it: it was cut, or begun again")
            return
        descriptor = os.open(seen.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fdatasync(descriptor)  # a power failure takes nothing back that was copied
            size = min(seen.size, os.fstat(descriptor).st_size)
            gap = first_gap(self._copies.spans(seen.file), size)
            while gap is not None and (data := _ready(descriptor, gap, size, seen, moment, self.view)):
                held = self.view.standing.holds.get(seen.file.session, False)
                self._copies.put(seen.file, seen.path, gap.start, data, moment.maker, held)
                done.parts, done.bytes = done.parts + 1, done.bytes + len(data)
                gap = first_gap(self._copies.spans(seen.file), size)
        finally:
            os.close(descriptor)
        if gap is not None:
            done.wait(gap.end - gap.start, seen.changed_at)

    def _hold(self) -> None:
        """What is in the bucket of each session is held, or not, as the ledger says."""
        for session, held in self.view.standing.holds.items():
            if self._holds.get(session) is not held:
                set_hold(self._bucket, session, held)
                self._holds[session] = held


def _ready(descriptor: int, gap: Span, size: int, seen: Seen, moment: _Moment, view: LedgerView) -> bytes:
    """What may be copied now of a gap, from its start."""
    data = os.pread(descriptor, min(gap.end - gap.start, PART_BYTES), gap.start)
    if gap.end < size or not seen.path.name.endswith(_OF_LINES):
        return data  # what is behind it was copied before; or it is no file of lines
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) == PART_BYTES:
        return data  # no line of ours is so long
    if gap.start + whole < size and gap.start + len(data) == size and moment.now - seen.changed_at > _LAST_LINE_SECONDS:
        whole = len(data)  # torn by a crash, and nothing follows
    data = data[:whole]
    if seen.path.name == AUDIT_FILE:
        data = data[: sealed_bytes(data, view.standing.sealed, moment.live)]
    return data
