"""The database of a gateway: opened, its tables made, its schema the one this version knows.

SQLAlchemy 2 Core: a SQLite file by default, PostgreSQL by URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from addons.edge.schema import METADATA, SCHEMA, SCHEMA_VERSION, prepare_sqlite, private_file


class StoreUnavailable(ConnectionError):
    """The store could not be read or written; whatever depended on it must be refused."""


class Database:
    """Every method blocks and may raise StoreUnavailable."""

    def __init__(self, url: str) -> None:
        """Opens the store and makes its tables; `url` is an SQLAlchemy URL (`sqlite:////absolute/path`)."""
        with translated():
            parsed = sa.make_url(url)
            if parsed.get_backend_name() == "sqlite":
                private_file(Path(parsed.database or ""))
            self._engine = sa.create_engine(parsed)
            if parsed.get_backend_name() == "sqlite":
                sa.event.listen(self._engine, "connect", prepare_sqlite)
            self._make_tables()
            self._check_version()

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

    def _make_tables(self) -> None:
        """Workers start at once, and each may find a table that another makes at this very moment."""
        for _ in METADATA.tables:
            with suppress(OperationalError, ProgrammingError):
                return METADATA.create_all(self._engine)
        return METADATA.create_all(self._engine)

    def _check_version(self) -> None:
        # A new store belongs to whichever worker comes first; the others find it made.
        with suppress(IntegrityError), self._engine.begin() as connection:
            if connection.execute(sa.select(SCHEMA.c.version)).scalar() is None:
                connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
        with self._engine.connect() as connection:
            version = connection.execute(sa.select(SCHEMA.c.version)).scalar()
        if version != SCHEMA_VERSION:
            raise StoreUnavailable(f"the store has schema {version}, this version of Chaperone needs {SCHEMA_VERSION}")


@contextmanager
def translated() -> Iterator[None]:
    """SQLAlchemy's and the file system's errors become StoreUnavailable; the message holds no parameters."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if isinstance(error, StoreUnavailable):
            raise
        origin = getattr(error, "orig", None) or error
        raise StoreUnavailable(f"the approval store cannot be used: {type(origin).__name__}: {origin}") from error
