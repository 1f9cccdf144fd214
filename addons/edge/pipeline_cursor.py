"""How far a pipeline has come, and what it must remember: a SQLite file of its own in `state/pipelines`.

What was sent and what is remembered change together, after the receiver has taken it. A process that is killed between
the two sends it again: at least once, never less.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from addons.core.pipelines.traces import Progress
from addons.edge.audit_files import Place

VERSION = 1
_CALL_SECONDS = 7 * 86_400
"""How long a call that has not ended is remembered."""
_TABLES = """
CREATE TABLE IF NOT EXISTS place (session TEXT PRIMARY KEY, inode INTEGER NOT NULL, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fired (key TEXT PRIMARY KEY, session TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS fired_in ON fired (session);
CREATE TABLE IF NOT EXISTS call (
    id TEXT PRIMARY KEY, forwarded_at INTEGER NOT NULL, started_at INTEGER NOT NULL, noted_at REAL NOT NULL
) WITHOUT ROWID;
"""


class InUse(OSError):
    """Another process runs this pipeline."""


class Cursor:
    """For one pipeline and one process; any thread, one at a time. Raises OSError when it cannot be used."""

    def __init__(self, folder: Path, pipeline: str) -> None:
        """Raises InUse, OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(folder / f"{pipeline}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InUse(f"another `chaperone ship` runs the pipeline {pipeline}: stop it first") from None
        file = folder / f"{pipeline}.sqlite"
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        try:
            self._open(file)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise OSError(f"{file} cannot be used: {error}") from error

    def _open(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        self.new = version == 0
        """True until `begin`: nothing was ever sent."""
        if version not in (0, VERSION):
            self._database.close()
            raise sqlite3.DatabaseError(f"it was written by another version ({version}, this one reads {VERSION})")
        self._database.executescript(_TABLES)

    def begin(self, places: Mapping[str, Place]) -> None:
        """Where a new pipeline begins; nowhere means at the beginning of everything."""
        self.commit(places, {}, {})
        self._rows(f"PRAGMA user_version={VERSION}")
        self.new = False

    def places(self) -> dict[str, Place]:
        """By session."""
        rows = self._rows("SELECT session, inode, offset FROM place")
        return {session: Place(inode, offset) for session, inode, offset in rows}

    def fired(self, keys: Iterable[str]) -> set[str]:
        """Those of these alerts that were sent."""
        query = "SELECT 1 FROM fired WHERE key = ?"
        return {key for key in keys if self._rows(query, key)}

    def call(self, audit_id: str) -> Progress:
        """How far a call had come."""
        rows = self._rows("SELECT forwarded_at, started_at FROM call WHERE id = ?", audit_id)
        return Progress(*rows[0]) if rows else Progress()

    def commit(
        self, places: Mapping[str, Place], fired: Mapping[str, str], calls: Mapping[str, Progress | None]
    ) -> None:
        """All of this, or nothing: places by session, alerts with their session, and calls, None for one that is over.

        Raises OSError.
        """
        with self._transaction():
            self._write(places, fired, calls)

    def forget(self, sessions: Iterable[str]) -> None:
        """Sessions that are gone."""
        rows = [(session,) for session in sessions]
        with self._transaction():
            self._database.executemany("DELETE FROM place WHERE session = ?", rows)
            self._database.executemany("DELETE FROM fired WHERE session = ?", rows)
            self._database.execute("DELETE FROM call WHERE noted_at < ?", (time.time() - _CALL_SECONDS,))

    def close(self) -> None:
        """Lets another process have it."""
        self._database.close()
        os.close(self._lock)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is done within it, or nothing. Raises OSError."""
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.Error as error:
            raise OSError(f"the cursor cannot be written: {error}") from error

    def _rows(self, query: str, *arguments: str) -> list[Any]:
        """Raises OSError."""
        try:
            return self._database.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise OSError(f"the cursor cannot be read: {error}") from error

    def _write(
        self, places: Mapping[str, Place], fired: Mapping[str, str], calls: Mapping[str, Progress | None]
    ) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO place VALUES (?, ?, ?)",
            [(session, place.inode, place.offset) for session, place in places.items()],
        )
        self._database.executemany("INSERT OR IGNORE INTO fired VALUES (?, ?)", list(fired.items()))
        self._database.executemany("DELETE FROM call WHERE id = ?", [(key,) for key, call in calls.items() if not call])
        now = time.time()
        self._database.executemany(
            "INSERT OR REPLACE INTO call VALUES (?, ?, ?, ?)",
            [(key, call.forwarded_at, call.started_at, now) for key, call in calls.items() if call],
        )
