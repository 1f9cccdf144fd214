"""From files of the record to rows of the index, part by part: each part is one transaction, with how far it came.

A line that is not whole yet waits for the next time; one that is torn, or no event, counts for nothing.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

import orjson

from addons.core.audit import timestamp
from addons.core.cast_text import CastText, Piece
from addons.core.session_search import FACETS, Names, facets

MAX_LINE = 16 * 1024 * 1024
"""Bytes of a line; a longer one is passed over."""
_PART_EVENTS, _PART_BYTES = 20_000, 8 * 1024 * 1024
_MAX_WORDS = 200_000
_STREAMS = ("exec", "attach")
_EVENT = f"INSERT OR REPLACE INTO event VALUES (?, ?, ?{', ?' * len(FACETS)})"
_STREAM = f"INSERT OR REPLACE INTO stream VALUES (?, ?, ?{', ?' * len(FACETS)})"


def whole_lines(file: BufferedReader, offset: int, most: int) -> Iterator[tuple[int, bytes]]:
    """Lines from an offset on, with theirs, for about so many bytes; b"" for one that is too long."""
    file.seek(offset)
    end = offset + most
    while offset < end and (line := file.readline(MAX_LINE)):
        rest, length = line, len(line)
        while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
            rest, line = file.readline(MAX_LINE), b""
            length += len(rest)
        if not rest.endswith(b"\n"):
            return
        offset += length
        yield offset, line


def packed(piece: Piece) -> bytes:
    """A piece as it is kept."""
    return zlib.compress(orjson.dumps([piece.text, piece.fresh, piece.marks]), 1)


def unpacked(kind: str, data: bytes) -> Piece:
    """A piece that was kept."""
    text, fresh, marks = orjson.loads(zlib.decompress(data))
    return Piece(kind=kind, text=text, fresh=fresh, marks=tuple((place, at) for place, at in marks))


class Rows:
    """Writes them. Every method runs within a transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._words: dict[tuple[int, Names], int] = {}

    def forget_words(self) -> None:
        """After a transaction that was not kept, words may not be there that seemed to be."""
        self._words.clear()

    def events(self, file: BufferedReader, session: int, offset: int) -> tuple[int, int]:
        """Part of an audit log from an offset on: where the next begins, and how many events it had."""
        rows: list[tuple[Any, ...]] = []
        streams: list[tuple[Any, ...]] = []
        begun = offset
        for end, line in whole_lines(file, offset, _PART_BYTES * 2):
            if (event := _event(line)) is not None:
                when, names = facets(event)
                words = tuple(map(self._word, range(len(FACETS)), names))
                rows.append((when, session, begun, *words))
                if any(f"/{each}" in names[1][1] for each in _STREAMS):
                    streams.append((session, str(event.get("auditID", "")), begun, *words))
            begun = end
            if len(rows) >= _PART_EVENTS:
                break
        self._connection.executemany(_EVENT, rows)
        self._connection.executemany(_STREAM, streams)
        return begun, len(rows)

    def cast(self, file: BufferedReader, file_id: int, offset: int) -> int:
        """Part of a cast from an offset on: where the next begins.

        Pieces that may change when the cast goes on are in the index, too, and are written anew the next time.
        """
        number, state = self._connection.execute("SELECT pieces, state FROM file WHERE id = ?", (file_id,)).fetchone()
        self.drop_pieces(file_id, number)
        reader = CastText(zlib.decompress(state) if state else b"")
        for end, line in whole_lines(file, offset, _PART_BYTES):
            offset = end
            for piece in reader.feed(line.decode("utf-8", "replace")):
                self._piece(file_id, number, reader, piece)
                number += 1
        for after, piece in enumerate(reader.rest()):
            self._piece(file_id, number + after, reader, piece)
        self._connection.execute(
            "UPDATE file SET size = ?, pieces = ?, state = ? WHERE id = ?",
            (offset, number, zlib.compress(reader.state(), 1), file_id),
        )
        return offset

    def drop_pieces(self, file_id: int, number: int = 0) -> int:
        """Forgets the pieces of a cast from a number on; how many there were."""
        found = self._connection.execute(
            "SELECT id, kind, data FROM piece WHERE file = ? AND number >= ?", (file_id, number)
        ).fetchall()
        for piece_id, kind, data in found:
            text = unpacked(kind, data).text.casefold()
            self._connection.execute("INSERT INTO gram (gram, rowid, text) VALUES ('delete', ?, ?)", (piece_id, text))
        self._connection.execute("DELETE FROM piece WHERE file = ? AND number >= ?", (file_id, number))
        return len(found)

    def _piece(self, file_id: int, number: int, reader: CastText, piece: Piece) -> None:
        first, last = (timestamp(reader.started_at + each[1]) for each in (piece.marks[0], piece.marks[-1]))
        added = self._connection.execute(
            "INSERT INTO piece (file, number, time, until, started_at, kind, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (file_id, number, first, last, reader.started_at, piece.kind, packed(piece)),
        )
        self._connection.execute(
            "INSERT INTO gram (rowid, text) VALUES (?, ?)", (added.lastrowid, piece.text.casefold())
        )

    def _word(self, facet: int, names: Names) -> int:
        if (known := self._words.get((facet, names))) is not None:
            return known
        if len(self._words) >= _MAX_WORDS:
            self._words.clear()
        values = (facet, orjson.dumps(names).decode())
        self._connection.execute("INSERT OR IGNORE INTO word (facet, names) VALUES (?, ?)", values)
        found: int = self._connection.execute("SELECT id FROM word WHERE facet = ? AND names = ?", values).fetchone()[0]
        self._words[facet, names] = found
        return found


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
