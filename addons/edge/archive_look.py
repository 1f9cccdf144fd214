"""What there is to archive in a state folder, at one moment: the ledger first, then the files of the sessions."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from addons.core.archive.part import NAME, File
from addons.core.archive.standing import Standing
from addons.core.audit_chain import key_id, read_entry
from addons.edge.audit_key import SigningKey
from addons.edge.audit_ledger import AuditLedger
from addons.edge.recordings import SESSION_FILE

_NAME = re.compile(NAME)
_SETTLED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was seen; `changed_at` is Unix seconds."""

    file: File
    path: Path
    size: int
    changed_at: float
    settled: bool = True
    """False while somebody may write it anew."""


class LedgerView:
    """What has been read of a ledger; it is only ever added to."""

    def __init__(self, ledger: AuditLedger) -> None:
        self.ledger, self.standing = ledger, Standing()
        self.size = 0
        """Up to the last whole line."""
        self.public_keys: dict[str, bytes] = {}

    def look(self) -> SigningKey:
        """Reads on; the key whose turn it is. Raises OSError, also if it is shorter than it was."""
        with self.ledger.locked() as opened, self.ledger.file.open("rb") as lines:
            assert opened.last is not None, "a ledger has a first line when it is locked"
            signer = self.ledger.keys.of_turn(opened.last.signer_after)
            end = lines.seek(0, os.SEEK_END)
        if end < self.size:
            raise OSError(f"{self.ledger.file} is shorter than it was: it was cut, or put back from a copy")
        with self.ledger.file.open("rb") as lines:
            lines.seek(self.size)
            while self.size < end and (line := lines.readline()).endswith(b"\n"):
                self._take(line)
                self.size += len(line)
        return signer

    def key(self, wanted: str) -> bytes | None:
        """The public key of this id."""
        return self.public_keys.get(wanted)

    def _take(self, line: bytes) -> None:
        if (entry := read_entry(line)) is not None:
            self.standing.take(entry)
            if "publicKey" in entry.fields:
                public = bytes.fromhex(entry.fields["publicKey"])
                self.public_keys[key_id(public)] = public


def session_files(state: Path, standing: Standing, now: float) -> Iterator[list[Seen]]:
    """The files of each session that may be copied, session by session."""
    try:
        folders = sorted(os.scandir(state / "sessions"), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for folder in folders:
        if _NAME.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
            try:
                seen = list(_files(Path(folder.path), standing.removals.get(folder.name, 0), now))
            except FileNotFoundError:
                continue  # removed meanwhile
            if seen:
                yield seen


def _files(folder: Path, generation: int, now: float) -> Iterator[Seen]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        status = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or not _NAME.fullmatch(entry.name):
            continue
        # Two workers that begin a session write its file both, and the second has the last word.
        settled = entry.name != SESSION_FILE or now - status.st_mtime >= _SETTLED_SECONDS
        file = File(folder.name, generation, entry.name)
        yield Seen(file, Path(entry.path), status.st_size, status.st_mtime, settled)
