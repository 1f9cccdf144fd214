"""The chain of one worker: gives records their place in it as they are written, and seals it with signed checkpoints.

A checkpoint says that everything up to a record is on disk, so what was written without a sync is synced first. A
worker that is killed leaves its chain without an end; the next that starts signs for how far it had come.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import structlog

from addons.core.audit_chain import EntryKind, Head, Link, gaps, linked, read_link
from addons.edge.audit_ledger import AuditLedger, OpenLedger
from addons.edge.durable import append, locked_end, sync_folder

log = structlog.get_logger()

AUDIT_FILE = "audit.jsonl"
CHECKPOINT_RECORDS = 10_000
CHECKPOINT_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_TAIL_BYTES = 64 * 1024 * 1024
_CLOCK_SLACK = 2.0


class AuditLog:
    """For one thread, and one life of a worker. What raises OSError leaves the chain as it was before."""

    def __init__(self, ledger: AuditLedger, sessions: Path, worker: str) -> None:
        """Nothing is opened before the first record; `sessions` holds the folders of evidence."""
        self._ledger, self._sessions, self._worker = ledger, sessions, worker
        self._head: Head | None = None
        self._marker = -1
        self._sealed, self._since = 0, 0.0
        self._unsynced: set[Path] = set()
        self._fault: OSError | None = None

    def append(self, descriptor: int, path: Path, lines: list[bytes]) -> None:
        """Writes records to the end of `folder/file`. Raises OSError when they cannot be, or nothing can be sealed."""
        if self._fault is not None:
            self._seal(EntryKind.CHECKPOINT)
        head = self._head or self._open()
        with locked_end(descriptor) as (offset, torn):
            pieces = [b"\n"] if torn else []
            offset += torn
            for line in lines:
                piece, head = linked(line, head, path.parent.name, offset)
                pieces.append(piece)
                offset += len(piece)
            append(descriptor, b"".join(pieces))
        if not self._unsealed:
            self._since = time.monotonic()
        self._head = head
        self._unsynced.add(path)

    def synced(self, path: Path) -> None:
        """All of this file is on disk."""
        self._unsynced.discard(path)

    def abandon(self) -> None:
        """After a sync that failed nobody knows what is on disk: the chain ends here without an end."""
        if self._head is not None:
            os.close(self._marker)
            self._head = None
            self._unsynced.clear()

    def due_in(self) -> float | None:
        """Seconds until `tend` has something to do; None for never."""
        if not self._unsealed:
            return None
        wait = self._since + CHECKPOINT_SECONDS - time.monotonic()
        return max(wait, _RETRY_SECONDS if self._fault is not None else 0.0)

    def tend(self, last: bool) -> None:
        """Writes a checkpoint when one is due, or the chain's end. If it cannot be, no record is taken until it can."""
        waited = time.monotonic() - self._since >= CHECKPOINT_SECONDS
        if not (last and self._head) and not (self._unsealed and (waited or self._unsealed >= CHECKPOINT_RECORDS)):
            return
        try:
            self._seal(EntryKind.CLOSE if last else EntryKind.CHECKPOINT)
        except OSError as fault:
            if self._fault is None:
                log.error("audit log not sealed: requests are refused", error=str(fault))
            self._fault = fault if self._head is not None else None  # the next record opens another chain, or fails

    @property
    def fault(self) -> OSError | None:
        """Why nothing is recorded until it is over; None if there is no reason."""
        return self._fault

    @property
    def _unsealed(self) -> int:
        """How many records nothing was signed for."""
        return self._head.sequence - self._sealed if self._head is not None else 0

    def _seal(self, kind: EntryKind) -> None:
        if self._head is None:
            self._fault = None
            return
        self._sync_all()
        with self._ledger.locked() as opened:
            opened.add(kind, _position(self._head))
        self._fault, self._sealed = None, self._head.sequence
        if kind is EntryKind.CLOSE:
            _marker_of(self._ledger, self._head.chain).unlink(missing_ok=True)
            self.abandon()
        else:
            os.pwrite(self._marker, b"%20d" % self._sealed, 0)

    def _sync_all(self) -> None:
        """What was written without a sync; a file that is gone will be missed when the log is verified."""
        try:
            while self._unsynced:
                with contextlib.suppress(FileNotFoundError):
                    _sync(next(iter(self._unsynced)))
                self._unsynced.pop()
        except OSError:
            self.abandon()
            raise

    def _open(self) -> Head:
        """Signs for what earlier workers left, and opens a chain of its own."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        chain = f"{self._worker}-{now}-{secrets.token_hex(4)}"
        with self._ledger.locked() as opened:
            for marker in _left(self._ledger):
                _sign_for(marker, self._sessions, opened)
                marker.unlink(missing_ok=True)
            digest = opened.add(EntryKind.OPEN, {"chain": chain, "worker": self._worker}).digest
            self._marker = _hold(_marker_of(self._ledger, chain))
        self._sealed = 0
        self._head = Head(chain, 0, digest)
        return self._head


def live_chains(ledger: AuditLedger) -> frozenset[str]:
    """The chains that workers write to now."""
    return frozenset(path.name for path in _markers(ledger) if not _is_left(path))


def _position(head: Head) -> dict[str, str | int]:
    return {"chain": head.chain, "sequence": head.sequence, "hash": head.digest.hex()}


def _marker_of(ledger: AuditLedger, chain: str) -> Path:
    """A file that a worker holds a lock on, while the chain is its own; it says how far the chain is sealed."""
    return ledger.folder / "running" / chain


def _markers(ledger: AuditLedger) -> list[Path]:
    return sorted((ledger.folder / "running").glob("[!.]*"))


def _hold(marker: Path) -> int:
    marker.parent.mkdir(exist_ok=True, mode=0o700)
    descriptor = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.pwrite(descriptor, b"%20d" % 0, 0)
    sync_folder(marker.parent)
    return descriptor


def _left(ledger: AuditLedger) -> Iterator[Path]:
    """Markers of workers that are gone."""
    return filter(_is_left, _markers(ledger))


def _is_left(marker: Path) -> bool:
    try:
        descriptor = os.open(marker, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _sign_for(marker: Path, sessions: Path, opened: OpenLedger) -> None:
    """Signs for the last record of a chain that has no end, and for what is not there of its unsealed tail."""
    sealed = _sealed_by(marker)
    found = {link.sequence: link for link in _tail(marker, sessions, sealed)}
    if found:
        last = found[max(found)]
        lost = gaps((sealed or min(found)) + 1, found)
        opened.add(EntryKind.FOUND, {**_position(Head(last.chain, last.sequence, last.digest)), "lost": lost})


def _sealed_by(marker: Path) -> int:
    """The last sequence number that was sealed; 0 if none was, or a crash has lost the number."""
    try:
        return int(marker.read_bytes())
    except ValueError:
        return 0


def _tail(marker: Path, sessions: Path, sealed: int) -> Iterator[Link]:
    """Records of a chain after its last checkpoint, from files that were written since; those are put on disk."""
    since = marker.stat().st_mtime - _CLOCK_SLACK
    for path in sessions.glob(f"*/{AUDIT_FILE}"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime >= since:
                _sync(path)
                yield from takewhile(lambda link: link.sequence > sealed, _backwards(path, marker.name))


def _backwards(path: Path, chain: str) -> Iterator[Link]:
    """Records of a chain in a file, the last first."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        lines = file.read().splitlines(keepends=True)
    for line in reversed(lines):
        link = read_link(line, path.parent.name)
        if link is not None and link.chain == chain and link.genuine:
            yield link


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
