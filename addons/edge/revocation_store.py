"""Sessions of session tokens that were revoked, in the store: locks that end by themselves, when no token is left.

Every function blocks and may raise StoreUnavailable. Times are Unix seconds.
"""

from __future__ import annotations

import sqlalchemy as sa

from addons.core.lock import Lock
from addons.edge.database import Database
from addons.edge.schema import REVOCATIONS

REASON = "its session token was revoked"


def add_revocation(store: Database, session: str, by: str, now: float, until: float) -> None:
    """From now on the session is over, for every process that shares the store; what is past is forgotten."""

    def add(connection: sa.Connection) -> None:
        connection.execute(REVOCATIONS.delete().where(REVOCATIONS.c.until <= now))
        connection.execute(REVOCATIONS.delete().where(REVOCATIONS.c.session == session))
        connection.execute(REVOCATIONS.insert().values(session=session, revoked_by=by, revoked_at=now, until=until))

    store.alone("revocations", add)


def revoked(store: Database, now: float) -> list[Lock]:
    """The sessions that are over, as locks."""
    query = sa.select(REVOCATIONS).where(REVOCATIONS.c.until > now).order_by(REVOCATIONS.c.revoked_at)
    with store.reading() as connection:
        return [
            Lock(id="revoked", session=row.session, reason=REASON, made_by=row.revoked_by, made_at=row.revoked_at)
            for row in connection.execute(query)
        ]
