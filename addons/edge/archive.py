"""Reading the evidence: sessions, their audit events, casts and flow files. Everything read here is untrusted text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from addons.edge.recordings import AUDIT_FILE, SESSION_FILE

_LENGTH_DIGITS = 12


class UnknownSession(LookupError):
    """There is no session of this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """One session's folder and `session.json`; `changed_at` is when something was last recorded, in Unix seconds."""

    id: str
    folder: Path
    about: dict[str, Any]
    changed_at: float

    @property
    def user(self) -> str:
        """Who it was."""
        identity = self.about.get("identity") or {}
        return str(identity.get("sub", "unidentified"))

    @property
    def casts(self) -> list[Path]:
        """Recordings of exec and attach, oldest first."""
        return sorted(self.folder.glob("*.cast"), key=lambda path: path.stat().st_mtime)

    @property
    def flow_files(self) -> list[Path]:
        """Flow files, oldest first."""
        return sorted(self.folder.glob("flows-*.mitm"), key=lambda path: path.stat().st_mtime)

    def events(self) -> Iterator[dict[str, Any]]:
        """The audit events in order. A line that was torn by a crash is skipped; no other line can be."""
        try:
            lines = (self.folder / AUDIT_FILE).read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def sessions(state: Path) -> list[StoredSession]:
    """All sessions, the latest last."""
    found = [_stored(path.parent) for path in (state / "sessions").glob(f"*/{SESSION_FILE}")]
    return sorted(found, key=lambda session: session.changed_at)


def session(state: Path, session_id: str) -> StoredSession:
    """One session, by its id or the only one that begins like this. Raises UnknownSession."""
    found = [stored for stored in sessions(state) if stored.id.startswith(session_id)]
    exact = [stored for stored in found if stored.id == session_id]
    if len(exact or found) != 1:
        what = "more than one session begins" if found else "there is no session"
        raise UnknownSession(f"{what} {session_id!r}; list them with: chaperone sessions list")
    return (exact or found)[0]


def complete_records(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole records at the start of part of a flow file, and what is left. Raises ValueError for other bytes."""
    records: list[bytes] = []
    start = 0
    while start < len(data):
        colon = data.find(b":", start, start + _LENGTH_DIGITS + 1)
        length = data[start:colon] if colon > 0 else data[start : start + _LENGTH_DIGITS + 1]
        if not length.isdigit() or len(length) > _LENGTH_DIGITS:
            raise ValueError("not a flow file")
        end = colon + 1 + int(length) + 1
        if colon < 0 or len(data) < end:
            break
        records.append(data[start:end])
        start = end
    return records, data[start:]


@dataclass(slots=True)
class Tail:
    """Follows all flow files below a folder of sessions."""

    state: Path
    from_start: bool = False
    _offsets: dict[Path, int] = field(default_factory=dict)
    _primed: bool = False

    def new_records(self) -> list[bytes]:
        """What was recorded since the last call; at the first, nothing, unless `from_start`."""
        records = []
        for path in sorted((self.state / "sessions").glob("*/flows-*.mitm")):
            known = self._offsets.get(path)
            if known is None and not self._primed and not self.from_start:
                self._offsets[path] = path.stat().st_size
            elif known != -1:
                records += self._read(path, known or 0)
        self._primed = True
        return records

    def _read(self, path: Path, offset: int) -> list[bytes]:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
        try:
            records, rest = complete_records(data)
        except ValueError:  # torn by a crash, or another's file: nothing behind it can be read
            self._offsets[path] = -1
            return []
        self._offsets[path] = offset + len(data) - len(rest)
        return records


def _stored(folder: Path) -> StoredSession:
    try:
        about = json.loads((folder / SESSION_FILE).read_bytes())
    except ValueError:
        about = {}
    changed = max(path.stat().st_mtime for path in folder.iterdir())
    return StoredSession(
        id=folder.name, folder=folder, about=about if isinstance(about, dict) else {}, changed_at=changed
    )
