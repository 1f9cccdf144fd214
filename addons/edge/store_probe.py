"""Whether the store can be used, for `chaperone doctor`: looked at as it is, nothing in it is made or changed."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from addons.edge.database import StoreUnavailable, translated
from addons.edge.postgresql import Postgresql
from addons.edge.probes import Finding
from addons.edge.schema import SCHEMA, SCHEMA_VERSION, sqlite_url

_WHAT = "store"


def examine_store(file: Path, url: str, password_file: Path | None) -> Finding:
    """The PostgreSQL of `url`, or else the SQLite file. Takes some seconds where a server does not answer."""
    if not url and not file.exists():
        return Finding(_WHAT, True, f"{file} will be made at the first start")
    where = f"{file}" if not url else url.partition("?")[0]
    try:
        with translated():
            engine = Postgresql(url, password_file).engine if url else sa.create_engine(sqlite_url(file))
            try:
                version = _version(engine)
            finally:
                engine.dispose()
    except StoreUnavailable as error:
        remedy = "requests are refused until it can be used; see docs/operations.md, When something is wrong"
        return Finding(_WHAT, False, f"{where}: {error}", remedy)
    if version is None:
        return Finding(_WHAT, True, f"{where} is empty: its tables will be made at the first start")
    known = f"{where} has schema {version}, this version of Chaperone needs {SCHEMA_VERSION}"
    return Finding(_WHAT, version == SCHEMA_VERSION, known, "use the version of Chaperone that wrote it, or a backup")


def _version(engine: sa.Engine) -> int | None:
    """None without tables. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(SCHEMA.name):
            return None
        found: int | None = connection.execute(sa.select(SCHEMA.c.version)).scalar()
        return found
