"""Where stores are in tests: a SQLite file, or a database of its own in a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from addons.edge.store import Store, sqlite_url
from tests.support.postgresql import Server


@dataclass(frozen=True, slots=True)
class Place:
    """Where several processes find the same store."""

    url: str
    file: Path
    """Of SQLite, or of the password."""
    server: Server | None = None
    database: str = ""

    def open(self, **how: Any) -> Store:
        """The store, as one process opens it."""
        return Store(self.url, password_file=self.file if self.server else None, **how)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """What a statement finds, behind the store's back."""
        if self.server is not None:
            return self.server.execute(statement, self.database)
        with closing(sqlite3.connect(self.file, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()


def in_sqlite(folder: Path) -> Place:
    """Below a folder that need not be there."""
    file = folder / "state" / "approvals.sqlite"
    return Place(sqlite_url(file), file)


def in_postgresql(server: Server) -> Place:
    """A new database."""
    name = server.new_database()
    return Place(server.url(name), server.password_file, server, name)
