"""Asking the index: events, and places in recorded terminals, that are looked for; the latest first, page by page.

What is found is read from the record itself before it is shown; what is not there any more is not found.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from addons.core.audit import timestamp
from addons.core.cast_text import Piece, folded
from addons.core.search_cursor import Place, read, written
from addons.core.session_search import FACETS, Search, wanted
from addons.edge.audit_log import AUDIT_FILE
from addons.edge.search_rows import MAX_LINE, unpacked
from addons.edge.search_schema import reading

SECONDS = 20.0
"""The longest that a search takes."""
_MAX_LOOKED_AT = 50_000
"""Pieces of terminals that are looked at for one page."""
_MAX_GRAMS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An event (`event`, at `offset` of the session's log), or a place in a cast (`text`, `seconds` from its start)."""

    session: str
    about: dict[str, Any]
    time: str
    offset: int = -1
    event: dict[str, Any] | None = None
    cast: str = ""
    kind: str = ""
    seconds: float = 0.0
    text: tuple[str, str, str] = ("", "", "")
    """What was found, and what is before and after it on its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was found; `after` is where the next page begins, "" for nowhere. `behind`: bytes not indexed yet."""

    found: list[Found]
    after: str
    behind: int
    checked_at: float


def search(state: Path, look_for: Search, after: str = "", limit: int = 50, seconds: float = SECONDS) -> Page:
    """A page of what is looked for. Raises NoIndex, SearchTooLong; ValueError for an `after` that nobody was given."""
    with reading(state, seconds) as connection:
        asked = _Asked(connection, state / "sessions", look_for)
        found, last = asked.text(after, limit) if look_for.text else asked.events(after, limit)
        total, done, checked_at = connection.execute("SELECT total, done, checked_at FROM progress").fetchone()
    return Page(found=found, after=written(last) if last else "", behind=total - done, checked_at=checked_at)


def count(state: Path, look_for: Search, seconds: float = SECONDS) -> int:
    """How many events are what is looked for, whatever its text. Raises NoIndex, SearchTooLong."""
    with reading(state, seconds) as connection:
        asked = _Asked(connection, state / "sessions", look_for)
        where, values = asked.where()
        found: int = connection.execute(f"SELECT count(*) FROM event WHERE {where}", values).fetchone()[0]
    return found


class _Asked:
    """One search, on one connection."""

    def __init__(self, connection: sqlite3.Connection, sessions: Path, look_for: Search) -> None:
        self._connection, self._sessions, self._search = connection, sessions, look_for
        self._known: dict[int, tuple[str, dict[str, Any]]] = {}
        connection.execute("CREATE TEMP TABLE chosen (kind INTEGER, id INTEGER, PRIMARY KEY (kind, id)) WITHOUT ROWID")
        self._facets = [self._choose(number) for number, patterns in enumerate(look_for.patterns) if patterns]
        self._of_sessions = bool(look_for.who or look_for.connection) and self._choose_sessions()

    def where(self) -> tuple[str, list[str | int]]:
        """Of the events, but for where the page begins."""
        parts, values = ["1", *self._facets], list[str | int]()
        if self._of_sessions:
            parts.append("session IN (SELECT id FROM chosen WHERE kind = -1)")
        if self._search.since:
            parts.append("time >= ?")
            values.append(self._search.since)
        if self._search.until:
            parts.append("time > '' AND time < ?")
            values.append(self._search.until)
        return " AND ".join(parts), values

    def events(self, after: str, limit: int) -> tuple[list[Found], Place]:
        """Events, and the place of the last one if there are more."""
        where, values = self.where()
        if after:
            where += " AND (time, session, offset) < (?, ?, ?)"
            values += read(after, (str, int, int))
        rows = self._connection.execute(
            f"SELECT time, session, offset FROM event WHERE {where}"
            " ORDER BY time DESC, session DESC, offset DESC LIMIT ?",
            [*values, limit + 1],
        ).fetchall()
        found = [each for row in rows[:limit] if (each := self._event(*row)) is not None]
        return found, rows[limit - 1] if len(rows) > limit else ()

    def text(self, after: str, limit: int) -> tuple[list[Found], Place]:
        """Places in terminals, one of each piece, and the last piece that was looked at if there are more."""
        look_for = folded(self._search.text)
        found: list[Found] = []
        place: Place = ()
        for looked_at, row in enumerate(self._pieces(look_for, after)):
            if len(found) == limit or looked_at == _MAX_LOOKED_AT:
                return found, place
            *key, started_at, kind, data = row
            place = tuple(key)
            _, session, cast, _ = key
            if (each := self._place(session, cast, started_at, unpacked(kind, data), look_for)) is not None:
                found.append(each)
        return found, ()

    def _pieces(self, look_for: str, after: str) -> Iterator[tuple[Any, ...]]:
        """Those that may hold the text, the latest first."""
        parts, values = ["1"], list[str | int]()
        if len(look_for) >= 3:
            grams = sorted({look_for[start : start + 3] for start in range(len(look_for) - 2)})[:_MAX_GRAMS]
            parts.append("p.id IN (SELECT rowid FROM gram WHERE gram MATCH ?)")
            values.append(" AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams))
        if self._search.since:
            parts.append("p.until >= ?")
            values.append(self._search.since)
        if self._search.until:
            parts.append("p.time < ?")
            values.append(self._search.until)
        if self._of_sessions:
            parts.append("f.session IN (SELECT id FROM chosen WHERE kind = -1)")
        if self._facets:
            call = "substr(f.name, 6, length(f.name) - 10)"  # exec-CALL.cast
            parts.append(f"EXISTS (SELECT 1 FROM stream WHERE stream.session = f.session AND call = {call}"
                         f" AND {' AND '.join(self._facets)})")  # fmt: skip
        if after:
            parts.append("(p.time, f.session, f.name, p.number) < (?, ?, ?, ?)")
            values += read(after, (str, int, str, int))
        rows = self._connection.execute(
            "SELECT p.id, p.time, f.session, f.name, p.number, p.started_at, p.kind FROM piece p"
            f" JOIN file f ON f.id = p.file WHERE {' AND '.join(parts)}"
            " ORDER BY p.time DESC, f.session DESC, f.name DESC, p.number DESC",
            values,
        )
        for piece_id, *about in rows:
            kept = self._connection.execute("SELECT data FROM piece WHERE id = ?", (piece_id,)).fetchone()
            if kept is not None:
                yield *about, kept[0]

    def _event(self, time: str, session: int, offset: int) -> Found | None:
        name, about = self._session(session)
        try:
            with (self._sessions / name / AUDIT_FILE).open("rb") as file:
                file.seek(offset)
                event = orjson.loads(file.readline(MAX_LINE))
        except (FileNotFoundError, ValueError):
            return None
        if not isinstance(event, dict):
            return None
        return Found(session=name, about=about, time=time, offset=offset, event=event)

    def _place(self, session: int, cast: str, started_at: float, piece: Piece, look_for: str) -> Found | None:
        """The first in the piece that is in time."""
        name, about = self._session(session)
        if not (self._sessions / name / cast).exists():
            return None
        for place in piece.places(look_for):
            seconds = piece.seconds(place)
            time = timestamp(started_at + seconds)
            if time >= self._search.since and (not self._search.until or time < self._search.until):
                return Found(
                    session=name, about=about, time=time, cast=cast, kind=piece.kind, seconds=seconds,
                    text=piece.around(place, len(look_for)),
                )  # fmt: skip
        return None

    def _session(self, session: int) -> tuple[str, dict[str, Any]]:
        if (known := self._known.get(session)) is None:
            row = self._connection.execute("SELECT name, about FROM session WHERE id = ?", (session,)).fetchone()
            known = self._known[session] = (row[0], json.loads(row[1]))
        return known

    def _choose(self, number: int) -> str:
        """Which of the words of a facet are looked for; the condition."""
        patterns = self._search.patterns[number]
        words = self._connection.execute("SELECT id, names FROM word WHERE facet = ?", (number,))
        chosen = [(number, word) for word, names in words if wanted(patterns, orjson.loads(names))]
        self._connection.executemany("INSERT INTO chosen VALUES (?, ?)", chosen)
        return f"{FACETS[number]} IN (SELECT id FROM chosen WHERE kind = {number})"

    def _choose_sessions(self) -> bool:
        sessions = self._connection.execute("SELECT id, about FROM session")
        chosen = [(-1, each) for each, about in sessions if self._search.session(json.loads(about))]
        self._connection.executemany("INSERT INTO chosen VALUES (?, ?)", chosen)
        return True
