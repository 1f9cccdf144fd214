"""The locks in the store. Every function blocks and may raise StoreUnavailable."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from addons.core.lock import Lock
from addons.edge.database import Database
from addons.edge.schema import LOCKS, lock_of

_HOLDS = LOCKS.c.lifted_at.is_(None)


class UnknownLock(LookupError):
    """No lock of this id holds."""


def add_lock(store: Database, lock: Lock) -> None:
    """From now on it holds, for every process that shares the store."""
    with store.writing() as connection:
        connection.execute(LOCKS.insert().values(**asdict(lock)))


def locks(store: Database) -> list[Lock]:
    """Those that hold, oldest first."""
    query = sa.select(LOCKS).where(_HOLDS).order_by(LOCKS.c.made_at)
    with store.reading() as connection:
        return [lock_of(row) for row in connection.execute(query).mappings()]


def lift(store: Database, lock_id: str, by: str, now: float) -> None:
    """Ends a lock; `by` and `now` (Unix seconds) are kept with it. Raises UnknownLock."""
    update = LOCKS.update().where(LOCKS.c.id == lock_id.strip().lower(), _HOLDS).values(lifted_by=by, lifted_at=now)
    with store.writing() as connection:
        if connection.execute(update).rowcount != 1:
            raise UnknownLock(f"no lock {lock_id!r} holds; list them with: chaperone locks")
