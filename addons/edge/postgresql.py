"""The store in PostgreSQL: how it is reached, and that nothing waits for it for ever.

The password is read from its file for every new connection, so it can be changed while the gateway runs; it is in no
URL, log or error. Each limit has its own case: a server that does not answer the connection, one that vanishes from the
network, a statement or a lock that takes too long, a client that died in a transaction. A server that accepts and says
nothing has no limit in the driver: `break_off` is for that.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from addons.core.store_url import with_driver

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 4
RACES = frozenset({"40001", "40P01"})
"""SQLSTATE of serialization_failure and deadlock_detected: nothing was changed, and another try may succeed."""
_LIMITS = (
    f"SET statement_timeout = '{STATEMENT_SECONDS}s'",
    f"SET lock_timeout = '{STATEMENT_SECONDS - 1}s'",
    "SET idle_in_transaction_session_timeout = '10s'",
)
_NETWORK = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 1000 * STATEMENT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
_CONNECTIONS = 4


class Postgresql:
    """The engine of one server, and every open connection of it."""

    def __init__(self, url: str, password_file: Path | None) -> None:
        self._password_file = password_file
        self._open: set[Any] = set()
        self._opening = threading.Lock()
        self._closing = False
        self.engine = _engine(with_driver(url))
        sa.event.listen(self.engine, "do_connect", self._with_password)
        sa.event.listen(self.engine, "connect", self._opened)
        sa.event.listen(self.engine, "close", self._closed)

    def break_off(self, for_good: bool = False) -> None:
        """From another thread: every connection ends, and whoever waits on one is told so."""
        with self._opening:
            self._closing = self._closing or for_good
            for connection in self._open:  # none is closed meanwhile, and its descriptor is nobody else's
                with (
                    contextlib.suppress(OSError, self.engine.dialect.loaded_dbapi.Error),
                    socket.socket(fileno=os.dup(connection.fileno())) as ours,
                ):
                    ours.shutdown(socket.SHUT_RDWR)

    def _with_password(self, _dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        if self._closing:
            raise OSError("the store is being closed")
        if self._password_file is not None:
            parameters["password"] = self._password_file.read_bytes().decode(errors="replace").rstrip("\r\n")

    def _opened(self, connection: Any, _record: Any) -> None:
        with self._opening:
            self._open.add(connection)
        for statement in _LIMITS:
            connection.execute(statement)
        connection.commit()

    def _closed(self, connection: Any, _record: Any) -> None:
        with self._opening:
            self._open.discard(connection)


def _engine(url: str) -> sa.Engine:
    """Raises OSError without the driver."""
    try:
        return sa.create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,  # after a restart of the server, the first to ask does not find a dead connection
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=STATEMENT_SECONDS,
            hide_parameters=True,
            connect_args={**_NETWORK, "prepare_threshold": None},  # a pooler in between would lose what is prepared
        )
    except ImportError as error:
        raise OSError("PostgreSQL needs its driver: pip install 'kube-chaperone[postgresql]'") from error


def hold(connection: sa.Connection, about: str) -> None:
    """Until the transaction ends, nobody else holds the same; whatever they wrote before is seen."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:about, 0))"), {"about": about})
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # SQLite has one writer, and this is it from here on
