"""Following the record: what is new in its files is added to the index, what is gone from them is taken out of it.

A file is read from where it was read to, by its size. One that is shorter than that, or another by the same name, is
read from its beginning, and what the index has of it is forgotten first.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from addons.edge.audit_log import AUDIT_FILE
from addons.edge.recordings import SESSION_FILE
from addons.edge.search_rows import Rows

_MAX_ABOUT = 1024 * 1024


@dataclass(slots=True)
class _File:
    """What the index knows of one, and its size now; `id` 0 before it is known."""

    session: str
    name: str
    inode: int
    size: int
    id: int = 0
    read: int = 0
    tried: int = -1
    """The size at which there was nothing more to read."""

    @property
    def is_log(self) -> bool:
        return self.name == AUDIT_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a pass has come, in bytes of the record, and in events."""

    total: int
    done: int
    events: int


Told = Callable[[Progress], None]


class Follower:
    """Writes the index of one state folder. For one thread, while `search_schema.writing`."""

    def __init__(self, state: Path, connection: sqlite3.Connection) -> None:
        """`connection` is that of `search_schema.open_to_write`."""
        self._sessions, self._connection = state / "sessions", connection
        self._rows = Rows(connection)
        self._known: dict[tuple[str, str], _File] = {}
        self._ids: dict[str, int] = {}
        for session, name, inode, size, file_id in connection.execute(
            "SELECT s.name, f.name, f.inode, f.size, f.id FROM file f JOIN session s ON s.id = f.session"
        ):
            self._known[session, name] = _File(session, name, inode, size, file_id, size)
        self._ids = dict(connection.execute("SELECT name, id FROM session"))

    def catch_up(self, told: Told = lambda _: None) -> Progress:
        """All that is new, once. Raises OSError and sqlite3.Error; what was done until then stays."""
        found = list(self._found())
        self._forget_missing(found)
        wanted = [file for file in found if file.size > file.read and file.size != file.tried]
        events = done = 0
        total = sum(file.size - file.read for file in wanted)
        self._say(total, 0)
        for file in wanted:
            begun = file.read
            for count in self._read(file):
                events += count
                told(Progress(total=total, done=done + file.read - begun, events=events))
                self._say(total, done + file.read - begun)
            done += file.size - begun
        self._say(0, 0)
        return Progress(total=total, done=total, events=events)

    def forget(self, session: str) -> None:
        """Takes a session out of the index: nothing of it stays in the file."""
        self._forget([session])

    def _found(self) -> Iterator[_File]:
        """The files that there are now."""
        if not self._sessions.is_dir():
            return
        with os.scandir(self._sessions) as folders:
            names = [folder.name for folder in folders if folder.is_dir(follow_symlinks=False)]
        for name in names:
            try:
                with os.scandir(self._sessions / name) as entries:
                    files = {entry.name: entry for entry in entries if _counts(entry.name)}
                    if files.pop(SESSION_FILE, None) is not None:
                        yield from (self._seen(name, entry) for entry in files.values())
            except FileNotFoundError:
                continue  # removed meanwhile

    def _seen(self, session: str, entry: os.DirEntry[str]) -> _File:
        status = entry.stat(follow_symlinks=False)
        known = self._known.get((session, entry.name))
        size = status.st_size if entry.is_file(follow_symlinks=False) else 0
        if known is not None and known.inode == status.st_ino and known.read <= size:
            known.size = size
            return known
        return _File(session, entry.name, status.st_ino, size)

    def _forget_missing(self, found: list[_File]) -> None:
        """Sessions that are gone, or have a file that is gone or another one now."""
        there = {(file.session, file.name): file for file in found}
        changed = {key[0] for key, known in self._known.items() if there.get(key) is not known}
        gone = self._ids.keys() - {file.session for file in found}
        self._forget([*changed | gone])
        for file in found:
            if file.session in changed:
                file.id, file.read = 0, 0

    def _forget(self, sessions: list[str]) -> None:
        if not (ids := [self._ids[name] for name in sessions if name in self._ids]):
            return
        with self._kept():
            self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (id INTEGER PRIMARY KEY)")
            self._connection.execute("DELETE FROM gone")
            self._connection.executemany("INSERT INTO gone VALUES (?)", ((each,) for each in ids))
            files = self._connection.execute("SELECT id FROM file WHERE session IN (SELECT id FROM gone)").fetchall()
            pieces = sum(self._rows.drop_pieces(file) for (file,) in files)
            for table in ("event", "stream", "file"):
                self._connection.execute(f"DELETE FROM {table} WHERE session IN (SELECT id FROM gone)")
            self._connection.execute("DELETE FROM session WHERE id IN (SELECT id FROM gone)")
            if pieces:
                self._connection.execute("INSERT INTO gram (gram) VALUES ('optimize')")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for name in sessions:
            self._ids.pop(name, None)
        self._known = {key: file for key, file in self._known.items() if key[0] not in set(sessions)}

    def _read(self, file: _File) -> Iterator[int]:
        """Part by part, the number of events in each. What cannot be read is tried again when it has changed."""
        before = -1
        with suppress(OSError), _opened(self._sessions / file.session / file.name) as opened:
            while before < file.read < file.size:
                before = file.read
                yield self._part(file, opened)
        file.tried = file.size

    def _part(self, file: _File, opened: BufferedReader) -> int:
        """One transaction: what is in memory changes when it is over."""
        with self._kept():
            session = self._ids.get(file.session) or self._add_session(file.session)
            file_id = file.id or self._add_file(file, session)
            if file.is_log:
                read, count = self._rows.events(opened, session, file.read)
                self._connection.execute("UPDATE file SET size = ? WHERE id = ?", (read, file_id))
            else:
                read, count = self._rows.cast(opened, file_id, file.read), 0
        self._ids[file.session], self._known[file.session, file.name] = session, file
        file.id, file.read = file_id, read
        return count

    def _add_session(self, name: str) -> int:
        """Its number comes of its name, so that an index that is made anew has the same."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
        while self._connection.execute("SELECT 1 FROM session WHERE id = ?", (number,)).fetchone():
            number += 1
        about = json.dumps(_about(self._sessions / name))
        self._connection.execute("INSERT INTO session VALUES (?, ?, ?)", (number, name, about))
        return number

    def _add_file(self, file: _File, session: int) -> int:
        values = (session, file.name, file.inode)
        added = self._connection.execute("INSERT INTO file (session, name, inode, size) VALUES (?, ?, ?, 0)", values)
        return added.lastrowid or 0

    def _say(self, total: int, done: int) -> None:
        self._connection.execute("UPDATE progress SET total = ?, done = ?, checked_at = ?", (total, done, time.time()))

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
                self._rows.forget_words()


def _counts(name: str) -> bool:
    return name in (AUDIT_FILE, SESSION_FILE) or name.endswith(".cast")


def _opened(path: Path) -> BufferedReader:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _about(folder: Path) -> dict[str, Any]:
    with _opened(folder / SESSION_FILE) as file:
        try:
            about = json.loads(file.read(_MAX_ABOUT))
        except ValueError:
            about = {}
    return about if isinstance(about, dict) else {}
