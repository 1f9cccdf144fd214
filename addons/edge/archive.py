"""Reading the evidence: sessions, their audit events, casts and flow files. Everything read here is untrusted text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from addons.core.audit import timestamp
from addons.core.cast_text import cast_has
from addons.core.session_search import Search
from addons.edge.audit_log import AUDIT_FILE
from addons.edge.recordings import DECISIONS_FILE, SAFE_NAME, SESSION_FILE
from addons.edge.session_folders import session_of

if TYPE_CHECKING:
    from addons.core.guardrails.record import Record


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
    def session(self) -> str:
        """Its id for the gateway, whichever part of it this is."""
        return session_of(self.id)

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
        """The audit events in order."""
        return events(self.folder)


def events(folder: Path) -> Iterator[dict[str, Any]]:
    """The audit events in a session's folder, in order. A line torn by a crash is skipped; no other line can be."""
    try:
        file = (folder / AUDIT_FILE).open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                event = orjson.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


def refused_unjudged(path: Path) -> int:
    """How many requests in a session's folder, or beside a file of decisions, were refused before they were judged."""
    told = (event.get("annotations") or {} for event in events(path if path.is_dir() else path.parent))
    return sum(notes.get("chaperone.dev/decision") == "refuse" and "chaperone.dev/risk" not in notes for notes in told)


def decisions(path: Path) -> Iterator[Record]:
    """The decisions in a session's folder, or in a file of them, in order. A line torn by a crash is skipped.

    Raises UnreadableRecord for a format that is not known here.
    """
    # Only here: most commands that read the evidence do not need the rule language.
    from addons.core.guardrails.record import TornRecord, read

    file = path / DECISIONS_FILE if path.is_dir() else path
    if path.is_dir() and not file.exists():
        return
    with file.open("rb") as lines:
        for line in lines:
            with suppress(TornRecord):
                yield read(line)


def sessions(state: Path) -> list[StoredSession]:
    """All sessions, the latest last."""
    found = [_stored(path.parent) for path in (state / "sessions").glob(f"*/{SESSION_FILE}")]
    return sorted(found, key=lambda session: session.changed_at)


def search(state: Path, wanted: Search) -> Iterator[tuple[StoredSession, int]]:
    """Sessions that are looked for, the latest last, and how many of their events are what is looked for."""
    for stored in sessions(state):
        if not wanted.session(stored.about) or timestamp(stored.changed_at) < wanted.since:
            continue
        count = sum(map(wanted.event, stored.events())) if wanted.of_events else 0
        if (count or not wanted.of_events) and (not wanted.text or any(_holds(wanted, cast) for cast in stored.casts)):
            yield stored, count


def _holds(wanted: Search, cast: Path) -> bool:
    with cast.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        return cast_has(wanted.text, lines)


def session(state: Path, session_id: str) -> StoredSession:
    """One session, by its id or the only one that begins like this. Raises UnknownSession."""
    found = [stored for stored in sessions(state) if stored.id.startswith(session_id)]
    exact = [stored for stored in found if stored.id == session_id]
    if len(exact or found) != 1:
        what = "more than one session begins" if found else "there is no session"
        raise UnknownSession(f"{what} {session_id!r}; list them with: chaperone sessions list")
    return (exact or found)[0]


def stored_session(state: Path, session_id: str) -> StoredSession:
    """The session of just this id. Raises UnknownSession."""
    folder = state / "sessions" / session_id
    if not SAFE_NAME.fullmatch(session_id) or not (folder / SESSION_FILE).is_file():
        raise UnknownSession(f"there is no session {session_id!r}")
    return _stored(folder)


def _stored(folder: Path) -> StoredSession:
    try:
        about = json.loads((folder / SESSION_FILE).read_bytes())
    except ValueError:
        about = {}
    changed = max(path.stat().st_mtime for path in folder.iterdir())
    return StoredSession(
        id=folder.name, folder=folder, about=about if isinstance(about, dict) else {}, changed_at=changed
    )
