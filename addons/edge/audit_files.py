"""Follows the audit logs of all sessions while they are written: what is new in them, by whole lines, from any place.

A place is an offset in a file. It stays right whatever a crash does to the file: what was cut off behind it is read
anew, and in the middle of a line reading begins with that line. Nothing is ever read as new that was not written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from addons.edge.audit_log import AUDIT_FILE

MAX_LINE = 4 * 1024 * 1024
"""Bytes; what has no end by then is no line, and passed over."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a session's log was read, and in which file: one that was replaced begins anew."""

    inode: int
    offset: int


@dataclass(frozen=True, slots=True)
class Log:
    """A session's audit log as it is now."""

    session: str
    path: Path
    inode: int
    size: int

    def waiting(self, place: Place | None) -> int:
        """Bytes that were not read yet."""
        return self.size - (place.offset if place is not None and place.inode == self.inode else 0)


@dataclass(frozen=True, slots=True)
class Line:
    """An event, and the place behind it."""

    event: dict[str, Any]
    after: Place


def audit_logs(sessions: Path) -> dict[str, Log]:
    """The logs there are now, by session. Blocks for some 10 µs a session. Raises OSError."""
    found: dict[str, Log] = {}
    try:
        folders = list(os.scandir(sessions))
    except FileNotFoundError:
        return found
    for folder in folders:
        path = Path(folder.path, AUDIT_FILE)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):  # not written yet, or removed meanwhile
            continue
        found[folder.name] = Log(folder.name, path, status.st_ino, status.st_size)
    return found


def new_lines(log: Log, place: Place | None, most: int) -> tuple[list[Line], Place]:
    """The events behind a place, from at most so many bytes, and the place behind all that was looked at.

    Lines that hold no event (torn ones, of a crash) are passed over. Raises OSError if the file is gone.
    """
    with log.path.open("rb") as file:
        inode, size = os.fstat(file.fileno()).st_ino, file.seek(0, os.SEEK_END)
        start = _start(file, place.offset if place is not None and place.inode == inode else 0, size)
        file.seek(start)
        data = file.read(most)
        if b"\n" not in data:
            data += file.read(MAX_LINE)
    end = data.rfind(b"\n") + 1
    if not end and len(data) >= MAX_LINE:
        end = len(data)
    return list(_lines(data[:end], inode, start)), Place(inode, start + end)


def _start(file: Any, offset: int, size: int) -> int:
    """Where the line that holds an offset begins: behind a newline, or at the beginning."""
    at = min(offset, size)
    while at > 0:
        begin = max(0, at - 65536)
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return int(begin + found + 1)
        at = begin
    return 0


def _lines(data: bytes, inode: int, start: int) -> Iterator[Line]:
    for line in data.splitlines(keepends=True):
        start += len(line)
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(event, dict):
            yield Line(event, Place(inode, start))
