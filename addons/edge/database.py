"""The database of a gateway: opened, its tables made, its schema the one this version knows.

SQLAlchemy 2 Core: a SQLite file by default, PostgreSQL by URL.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from addons.core.approval import ForbiddenApprover
from addons.edge.schema import METADATA, SCHEMA, SCHEMA_VERSION, prepare_sqlite, private_file

_TRIES = 5


class StoreUnavailable(ConnectionError):
    """The store could not be read or written; whatever depended on it must be refused."""


class Database:
    """Every method blocks and may raise StoreUnavailable."""

    def __init__(self, url: str) -> None:
        """Opens the store and makes its tables; `url` is an SQLAlchemy URL (`sqlite:////absolute/path`)."""
        with translated():
            parsed = sa.make_url(url)
            self._engine = sa.create_engine(parsed)
            if parsed.get_backend_name() != "sqlite":
                self._prepare()
                return
            file = Path(parsed.database or "")
            private_file(file)
            sa.event.listen(self._engine, "connect", prepare_sqlite)
            with _alone_in(file.parent):  # a new file that several prepare is "locked" for some, however long they wait
                self._prepare()

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection. Inside of it, too, trouble with the database is StoreUnavailable."""
        with translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are made together at the end, or not at all."""
        with translated(), self._engine.begin() as connection:
            yield connection

    def check(self) -> None:
        """Returns if the store can be written to: writes what is there already."""
        with self.writing() as connection:
            connection.execute(SCHEMA.update().values(version=SCHEMA_VERSION))

    def _prepare(self) -> None:
        """Workers start at once, and each may find a table that another makes at this very moment."""
        for _ in range(_TRIES):
            with suppress(IntegrityError, ProgrammingError):  # PostgreSQL looks and makes in two steps
                self._make_missing_tables()
                break
        self._check_version()

    def _make_missing_tables(self) -> None:
        with self._engine.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                _add_columns(connection, table)
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def _check_version(self) -> None:
        # A new store belongs to whichever worker comes first; the others find it made.
        with suppress(IntegrityError), self._engine.begin() as connection:
            if connection.execute(sa.select(SCHEMA.c.version)).scalar() is None:
                connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
        with self._engine.connect() as connection:
            version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
        if version != SCHEMA_VERSION:
            raise StoreUnavailable(f"the store has schema {version}, this version of Chaperone needs {SCHEMA_VERSION}")


def _add_columns(connection: sa.Connection, table: sa.Table) -> None:
    """What a store of an earlier version lacks; without a default for the rows that are there, it is another schema."""
    known = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for column in table.columns:
        if column.name not in known and column.server_default is not None:
            definition = CreateColumn(column).compile(dialect=connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {definition}"))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Waits for other processes that do the same."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def translated() -> Iterator[None]:
    """SQLAlchemy's and the file system's errors become StoreUnavailable; the message holds no parameters."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if isinstance(error, StoreUnavailable | ForbiddenApprover):  # who may not decide has found the store in order
            raise
        origin = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"the approval store cannot be used: {type(origin).__name__}: {origin}") from error
