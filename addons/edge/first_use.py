"""Where tokens for a single use were first used: in the store for all workers, and in this worker's memory.

Until a token expires its first use never changes, so what was read once is not asked for again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict

import sqlalchemy as sa

from addons.core.single_use import Use
from addons.edge.database import Database
from addons.edge.schema import TOKEN_USES
from addons.edge.store_thread import StoreThread

_MOST = 8192
_COLUMNS = TOKEN_USES.c


def first_use(store: Database, use: Use, now: float) -> Use:
    """The first use of a token: this one, if there was none. Blocks; raises StoreUnavailable.

    Of two processes that use a token at once, the second waits, and reads what the first wrote.
    """
    query = sa.select(TOKEN_USES).where(_COLUMNS.iss == use.iss, _COLUMNS.jti == use.jti)

    def find(connection: sa.Connection) -> Use:
        connection.execute(TOKEN_USES.delete().where(_COLUMNS.expires_at <= now))
        row = connection.execute(query).mappings().first()
        if row is None:
            connection.execute(TOKEN_USES.insert().values(**asdict(use)))
        return use if row is None else Use(**row)

    return store.alone("token uses", find)


class FirstUses:
    """Remembers up to some thousand first uses. `now` gives Unix seconds; belongs to one event loop."""

    def __init__(self, store: StoreThread, now: Callable[[], float]) -> None:
        self._store, self._now = store, now
        self._known: OrderedDict[tuple[str, str], Use] = OrderedDict()

    def known(self, use: Use) -> Use | None:
        """The first use of the same token, if this worker has seen it."""
        first = self._known.get((use.iss, use.jti))
        return first if first is not None and self._now() < first.expires_at else None

    async def find(self, use: Use) -> Use:
        """The first use of the same token; this one, if there was none. Raises StoreUnavailable."""
        first = await self._store.call(first_use, use, self._now())
        self._known[use.iss, use.jti] = first
        self._known.move_to_end((use.iss, use.jti))
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return first
