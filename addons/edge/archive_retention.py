"""Legal holds, and removing sessions from the state folder: those that are held, or not wholly archived, stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import structlog

from addons.core.archive.part import File, Part
from addons.core.audit_chain import EntryKind
from addons.edge.archive import StoredSession, sessions
from addons.edge.archive_bucket import Bucket, Strange
from addons.edge.archive_keys import ArchiveKeys, CannotOpen
from addons.edge.archive_look import LedgerView
from addons.edge.archive_parts import BadPart, read
from addons.edge.audit_check import Kept, SignedLedger, must_not_be_held, remove_session
from addons.edge.audit_ledger import AuditLedger

log = structlog.get_logger()

_DAY = 86400.0
_EVERY_SECONDS = 3600.0


def change_hold(ledger: AuditLedger, session: str, held: bool, by: str, reason: str) -> None:
    """Signs in the ledger that a session is under legal hold, or no longer. Raises OSError, ValueError if it is so."""
    view = LedgerView(ledger)
    view.look()
    if view.standing.holds.get(session, False) is held:
        raise ValueError(f"{session} is {'under legal hold already' if held else 'under no legal hold'}")
    with ledger.locked() as opened:
        kind = EntryKind.HOLD if held else EntryKind.RELEASE
        opened.add(kind, {"session": session, "by": by, "reason": reason})


def due(state: Path, days: int) -> list[StoredSession]:
    """Sessions that nothing was recorded in for so many days."""
    before = time.time() - days * _DAY
    return [stored for stored in sessions(state) if stored.changed_at < before]


class Removal:
    """Removes sessions. With an archive, each is read back from it first, whole."""

    def __init__(
        self,
        ledger: AuditLedger,
        bucket: Bucket | None,
        keys: ArchiveKeys | None,
        removed: Callable[[str], None] = lambda session: None,
    ) -> None:
        """`removed` is told of each session that is gone."""
        self._removed = removed
        self._ledger, self._bucket, self._keys = ledger, bucket, keys
        self._signed, self._view = SignedLedger(ledger), LedgerView(ledger)

    def remove(self, folder: Path) -> int:
        """Removes a session; how many records it had. Raises Kept with the reason, OSError, ArchiveUnavailable."""
        must_not_be_held(folder.name, self._signed.read_on())
        count = remove_session(folder, self._ledger, self._archived(folder), self._signed)
        self._removed(folder.name)
        return count

    def _archived(self, folder: Path) -> dict[str, list[int | str]] | None:
        """Size and SHA-256 of each file, once all of it is in the archive; None without one. Raises Kept."""
        if self._bucket is None or self._keys is None:
            return None
        view = self._view
        view.look()
        generation = view.standing.removals.get(folder.name, 0)
        parts: dict[str, list[Part]] = {}
        for part in self._bucket.parts(f"sessions/{folder.name}/{generation}/"):
            parts.setdefault(part.file.name, []).append(part)
        found: dict[str, list[int | str]] = {}
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("."):
                found[path.name] = self._same(path, File(folder.name, generation, path.name), parts, view)
        return found

    def _same(self, path: Path, file: File, parts: dict[str, list[Part]], view: LedgerView) -> list[int | str]:
        assert self._bucket is not None and self._keys is not None
        digest, end = sha256(), 0
        why = "copy it with chaperone archive --once, or let chaperone archive --follow run"
        with path.open("rb") as local:
            for part in sorted(parts.get(file.name, []), key=lambda part: part.offset):
                try:
                    body, metadata = self._bucket.get(part)
                    stored = read(part, body, metadata, view.standing.archive, view.key, self._keys)
                except (BadPart, CannotOpen, Strange) as error:
                    raise Kept(f"{file.restored} is not archived as it is: {part.key}: {error}") from error
                if part.offset != end or local.read(len(stored)) != stored:
                    raise Kept(f"{file.restored} is not archived as it is: {part.key} is something else")
                digest.update(stored)
                end = part.end
            if local.read(1):
                raise Kept(f"{file.restored} is not archived from byte {end} on: {why}")
        return [end, digest.hexdigest()]


class Retention:
    """Removes sessions that are older than they are kept here, now and then."""

    def __init__(self, removal: Removal, state: Path, days: int | None) -> None:
        """Without `days`, sessions are kept."""
        self._removal, self._state, self._days = removal, state, days
        self._next = 0.0

    def tend(self) -> None:
        """Removes what is due, at most once an hour. What keeps a session is logged, and keeps no other."""
        if self._days is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        for stored in due(self._state, self._days):
            try:
                records = self._removal.remove(stored.folder)
            except OSError as error:  # Kept, ArchiveUnavailable and a bad disk
                log.warning("session kept", session=stored.id, why=str(error))
            else:
                log.info("session removed", session=stored.id, records=records, after_days=self._days)
