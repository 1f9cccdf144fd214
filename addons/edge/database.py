"""The database of a gateway: opened, its tables made, its schema the one this version knows.

SQLAlchemy 2 Core: a SQLite file by default, PostgreSQL by URL (`edge/postgresql.py`).

Transactions have PostgreSQL's default isolation, READ COMMITTED: changes are conditional updates, and what must see all
that others wrote (a count, a first use) is done `alone`. A PostgreSQL that is away when a process starts is no reason
not to start: until it is there, whatever needs it is refused.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable

from addons.core.approval import ForbiddenApprover
from addons.edge.postgresql import RACES, Postgresql, hold
from addons.edge.schema import METADATA, SCHEMA, SCHEMA_VERSION, prepare_sqlite, private_file

_TRIES = 5


class StoreUnavailable(ConnectionError):
    """The store could not be read or written; whatever depended on it must be refused."""


class Database:
    """Every method blocks and may raise StoreUnavailable."""

    def __init__(self, url: str, password_file: Path | None = None) -> None:
        """Opens the store and makes its tables; `url` is `sqlite:////absolute/path`, or of `core/store_url.py`."""
        self._preparing = threading.Lock()
        self._prepared = False
        self._server: Postgresql | None = None
        with translated():
            if not url.startswith("sqlite:"):
                self._server = Postgresql(url, password_file)
                self._engine = self._server.engine
                self._prepare_if_there()
                return
            parsed = sa.make_url(url)
            self._engine = sa.create_engine(parsed)
            file = Path(parsed.database or "")
            private_file(file)
            sa.event.listen(self._engine, "connect", prepare_sqlite)
            with _alone_in(file.parent):  # a new file that several prepare is "locked" for some, however long they wait
                self._prepare()

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def break_off(self, for_good: bool = False) -> None:
        """From another thread: whatever waits for a server fails now; `for_good`, whatever comes after it, too."""
        if self._server is not None:
            self._server.break_off(for_good)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection. Inside of it, too, trouble with the database is StoreUnavailable."""
        with translated():
            self._prepare_once()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are made together at the end, or not at all."""
        with translated():
            self._prepare_once()
            with self._engine.begin() as connection:
                yield connection

    def alone[T](self, about: str, act: Callable[[sa.Connection], T]) -> T:
        """What `act` returns, in a transaction that sees all that others wrote about the same, who wait meanwhile.

        Where another process was faster all the same, it is done again from the beginning.
        """
        with translated():
            for _ in range(_TRIES):
                self._prepare_once()
                try:
                    with self._engine.begin() as connection:
                        hold(connection, about)
                        return act(connection)
                except DBAPIError as error:
                    if not isinstance(error, IntegrityError) and getattr(error.orig, "sqlstate", "") not in RACES:
                        raise
        raise StoreUnavailable("the store kept refusing a change: others made the same at once")

    def check(self) -> None:
        """Returns if the store can be written to: writes what is there already."""
        with self.writing() as connection:
            connection.execute(SCHEMA.update().values(version=SCHEMA_VERSION))

    def _prepare_if_there(self) -> None:
        try:
            self._prepare()
        except OperationalError as error:
            if not error.connection_invalidated and error.statement is not None:
                raise  # it is there, and refuses

    def _prepare_once(self) -> None:
        if not self._prepared:
            with self._preparing:
                if not self._prepared:
                    self._prepare()

    def _prepare(self) -> None:
        """Workers start at once: one makes the tables, and the others find them made."""
        with self._engine.begin() as connection:
            hold(connection, "schema")
            _make_missing(connection)
            version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
            if version is None:
                connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
            elif version != SCHEMA_VERSION:
                raise StoreUnavailable(
                    f"the store has schema {version}, this version of Chaperone needs {SCHEMA_VERSION}"
                )
        self._prepared = True


def _make_missing(connection: sa.Connection) -> None:
    """Looks first: who may use tables that an administrator has made need not be allowed to make any."""
    inspector = sa.inspect(connection)
    there = inspector.get_multi_columns(filter_names=[*METADATA.tables])
    indexed = inspector.get_multi_indexes(filter_names=[*METADATA.tables]) if there else {}
    for table in METADATA.sorted_tables:
        known = {index["name"] for index in indexed.get((None, table.name), ())}
        if (columns := there.get((None, table.name))) is not None:
            known.add(table.name)
            _add_columns(connection, table, {column["name"] for column in columns})
        for name, statement in _definitions(table, connection.dialect.name).items():
            if name not in known:
                connection.exec_driver_sql(statement)


@cache
def _definitions(table: sa.Table, dialect: str) -> dict[str, str]:
    """The statements that make a table and its indexes, in this order, by the names of these."""
    how = sa.make_url(f"{dialect}://").get_dialect()()
    indexes = {str(each.name): str(CreateIndex(each).compile(dialect=how)) for each in table.indexes}
    return {table.name: str(CreateTable(table).compile(dialect=how)), **indexes}


def _add_columns(connection: sa.Connection, table: sa.Table, known: set[str]) -> None:
    """What a store of an earlier version lacks; without a default for the rows that are there, it is another schema."""
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
        said = " ".join(str(origin).split())  # a server's error has lines
        raise StoreUnavailable(f"the approval store cannot be used: {type(origin).__name__}: {said}") from error
