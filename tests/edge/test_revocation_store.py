"""Sessions that were revoked, in the real store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import sqlalchemy as sa

from addons.core.lock import Lock, stopped
from addons.core.session import Session
from addons.edge.lock_store import locks
from addons.edge.locks import Locks
from addons.edge.revocation_store import REASON, add_revocation, revoked
from addons.edge.schema import REVOCATIONS
from addons.edge.store import Store
from addons.edge.store_thread import StoreThread
from tests.core.test_session_token import identity, token_of
from tests.support.stores import Place


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with closing(place.open()) as made:
        yield made


def lock(session: str, by: str, at: float) -> Lock:
    return Lock(id="revoked", session=session, reason=REASON, made_by=by, made_at=at)


def test_a_revocation_is_a_lock_that_ends_by_itself(store: Store) -> None:
    assert revoked(store, 0) == []
    add_revocation(store, "b", "ann", 1, 10)
    add_revocation(store, "a", "bob", 2, 11)
    assert revoked(store, 9) == [lock("b", "ann", 1), lock("a", "bob", 2)]
    assert revoked(store, 10) == [lock("a", "bob", 2)]
    assert revoked(store, 11) == []
    assert locks(store) == [], "nobody has to lift it"


def test_again_is_the_same_and_what_is_past_is_forgotten(store: Store) -> None:
    add_revocation(store, "a", "ann", 1, 10)
    add_revocation(store, "a", "bob", 2, 12)
    add_revocation(store, "b", "bob", 2, 12)
    assert revoked(store, 3) == [lock("a", "bob", 2), lock("b", "bob", 2)]
    add_revocation(store, "c", "bob", 12, 20)
    with store.reading() as connection:
        assert connection.execute(sa.select(REVOCATIONS.c.session)).scalars().all() == ["c"]


async def test_workers_stop_the_session_and_no_other(place: Place, store: Store) -> None:
    now = time.time()
    add_revocation(store, "t1", "ann", now, now + 60)
    add_revocation(store, "old", "ann", now, now)
    with closing(StoreThread(place.open())) as thread:
        known = await Locks(thread, time.monotonic).read()
    assert [each.session for each in known] == ["t1"]
    first = token_of(identity())
    refused = [
        stopped(known, Session(id="s", identity=each, connection="prod", started_at=now)) is not None
        for each in (first, token_of(first, token_id="t2"), token_of(identity(), token_id="t2"), identity())
    ]
    assert refused == [True, True, False, False]


def test_one_session_that_many_revoke_at_once_is_revoked(place: Place) -> None:
    stores = [place.open() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add_revocation(stores[number % 4], "a", "ann", number, 100), range(40)))
    assert [each.session for each in revoked(stores[0], 50)] == ["a"]
    for each in stores:
        each.close()
