"""The index of what agents did: one SQLite file in `state/search`, made from the record, and from it again at any time.

It holds what the record holds, masked as that is, and nothing rests on it. One process writes it, which a lock in the
folder says; others read. Another version, or a file that is damaged, is left alone and another one is made.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

VERSION = 1
_DAMAGED = "damaged"
_BUSY_SECONDS = 10.0
_STEPS = 10_000
_CACHE_KIB = 64 * 1024
_CHECKPOINT_PAGES = 2 * 1024
_PAGE_BYTES = 16 * 1024
_SCHEMA = f"""
CREATE TABLE session (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, about TEXT NOT NULL);
CREATE TABLE file (
  id INTEGER PRIMARY KEY, session INTEGER NOT NULL, name TEXT NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  pieces INTEGER NOT NULL DEFAULT 0, state BLOB NOT NULL DEFAULT x'', UNIQUE (session, name)
);
CREATE TABLE word (id INTEGER PRIMARY KEY, facet INTEGER NOT NULL, names TEXT NOT NULL, UNIQUE (facet, names));
CREATE TABLE event (
  time TEXT, session INTEGER, offset INTEGER, verb INTEGER, resource INTEGER, namespace INTEGER, verdict INTEGER,
  rule INTEGER, PRIMARY KEY (time, session, offset)
) WITHOUT ROWID;
CREATE TABLE stream (
  session INTEGER, call TEXT, offset INTEGER, verb INTEGER, resource INTEGER, namespace INTEGER, verdict INTEGER,
  rule INTEGER, PRIMARY KEY (session, call, offset)
) WITHOUT ROWID;
CREATE TABLE piece (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL, number INTEGER NOT NULL, time TEXT NOT NULL, until TEXT NOT NULL,
  started_at REAL NOT NULL, kind TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (file, number)
);
CREATE INDEX piece_time ON piece (time, until, file, number);
CREATE VIRTUAL TABLE gram USING fts5(
  text, content='', detail='none', columnsize=0, tokenize='trigram case_sensitive 1'
);
CREATE TABLE progress (total INTEGER NOT NULL, done INTEGER NOT NULL, checked_at REAL NOT NULL);
INSERT INTO progress VALUES (0, 0, 0);
PRAGMA user_version = {VERSION};
"""


class NoIndex(LookupError):
    """There is no index that can be read now."""


class IndexInUse(OSError):
    """Another process writes the index."""


class SearchTooLong(TimeoutError):
    """A search took longer than it may."""


def index_folder(state: Path) -> Path:
    """Where it is."""
    return state / "search"


@contextmanager
def writing(state: Path) -> Iterator[None]:
    """While nobody else writes the index. Raises IndexInUse, OSError."""
    folder = index_folder(state)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _give(folder, state)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _give(folder / "lock", state)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise IndexInUse("the console keeps the index up to date, or another command writes it now") from error
    finally:
        os.close(descriptor)


def open_to_write(state: Path, anew: bool = False) -> sqlite3.Connection:
    """The index, made if there is none, if it is damaged, or `anew`. While `writing`. Raises OSError, sqlite3.Error."""
    found = _files(state)
    if not anew and not is_damaged(state) and found:
        _remove(found[:-1])
        if (connection := _whole(found[-1])) is not None:
            return connection
    _remove(found)
    (index_folder(state) / _DAMAGED).unlink(missing_ok=True)
    _remove(_others(state))
    file = index_folder(state) / f"index-v{VERSION}-{secrets.token_hex(4)}.sqlite"
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    _give(file, state)
    made = _connected(file)
    made.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
    return made


@contextmanager
def reading(state: Path, seconds: float) -> Iterator[sqlite3.Connection]:
    """The index, to be read for so long. Raises NoIndex, SearchTooLong."""
    found = _files(state)
    if not found:
        raise NoIndex("there is no index yet: the console makes one, and so does chaperone index")
    end = time.monotonic() + seconds
    try:
        with closing(sqlite3.connect(f"file:{quote(str(found[-1]))}?mode=ro", uri=True, timeout=2)) as connection:
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            yield connection
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise SearchTooLong("the search takes too long: look for less, or in a shorter time") from error
        raise NoIndex(f"the index cannot be read now: {error}") from error
    except sqlite3.DatabaseError as error:
        (index_folder(state) / _DAMAGED).touch(mode=0o600)
        raise NoIndex(f"the index is damaged and will be made anew: {error}") from error


def is_damaged(state: Path) -> bool:
    """True if a reader has found that the index must be made anew."""
    return (index_folder(state) / _DAMAGED).exists()


def _whole(file: Path) -> sqlite3.Connection | None:
    """The index in a file; None if it is none, or damaged."""
    try:
        connection = _connected(file)
        version = connection.execute("PRAGMA user_version").fetchone()
        if version == (VERSION,) and connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
            return connection
        connection.close()
    except sqlite3.DatabaseError:
        return None
    return None


def _connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _files(state: Path) -> list[Path]:
    """Those of this version, the latest last."""
    found: list[tuple[int, Path]] = []
    for path in index_folder(state).glob(f"index-v{VERSION}-*.sqlite"):
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def _others(state: Path) -> list[Path]:
    return list(index_folder(state).glob("index-*.sqlite"))


def _remove(files: list[Path]) -> None:
    for file in files:
        for suffix in ("-wal", "-shm", ""):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


def _give(path: Path, state: Path) -> None:
    """What root makes is the gateway's all the same."""
    if os.geteuid() == 0:
        owner = state.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
