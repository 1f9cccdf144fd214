"""First uses in the real store: whoever comes first is it, in every process, until the token expires."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from addons.core.single_use import Use
from addons.edge.first_use import FirstUses, first_use
from addons.edge.schema import TOKEN_USES
from addons.edge.store import Store, StoreUnavailable
from addons.edge.store_thread import StoreThread
from tests.support.issuer import Clock
from tests.support.stores import Place, in_sqlite

HERE = Use(iss="https://idp", jti="j1", address="10.0.0.1", connection="prod", expires_at=2000.0)
THERE = replace(HERE, address="10.0.0.2")


@pytest.fixture
def stores(place: Place) -> Iterator[tuple[Store, Store]]:
    with closing(place.open()) as one, closing(place.open()) as other:
        yield one, other


@pytest.fixture
async def workers(place: Place, clock: Clock) -> AsyncIterator[list[FirstUses]]:
    threads = [StoreThread(place.open()) for _ in range(2)]
    yield [FirstUses(thread, clock) for thread in threads]
    for thread in threads:
        thread.close()


def test_the_first_one_is_kept_for_all_processes(stores: tuple[Store, Store]) -> None:
    one, other = stores
    assert first_use(one, HERE, 1000) == HERE
    assert first_use(other, THERE, 1000) == HERE
    for another in (replace(THERE, jti="j2"), replace(THERE, iss="https://other")):
        assert first_use(other, another, 1000) == another


def test_an_expired_one_is_forgotten(stores: tuple[Store, Store]) -> None:
    first_use(stores[0], HERE, 1000)
    later = replace(THERE, expires_at=3000.0)
    assert first_use(stores[0], later, 1999.9) == HERE
    assert first_use(stores[0], later, 2000) == later
    with stores[1].reading() as connection:
        assert len(connection.execute(TOKEN_USES.select()).all()) == 1


def test_of_a_crowd_one_is_the_first(stores: tuple[Store, Store]) -> None:
    with ThreadPoolExecutor(8) as pool:
        uses = [replace(HERE, address=f"10.0.0.{number}") for number in range(40)]
        found = list(pool.map(lambda use: first_use(stores[hash(use) % 2], use, 1000), uses))
    assert len(set(found)) == 1


async def test_a_worker_asks_once_and_learns_from_the_others(workers: list[FirstUses], place: Place) -> None:
    here, there = workers
    assert here.known(HERE) is None
    assert await here.find(HERE) == await there.find(THERE) == HERE
    place.execute("DROP TABLE token_uses")
    assert here.known(HERE) == here.known(THERE) == there.known(THERE) == HERE


async def test_what_is_known_ends_with_the_token(workers: list[FirstUses], clock: Clock) -> None:
    await workers[0].find(HERE)
    clock.now = HERE.expires_at
    assert workers[0].known(HERE) is None


async def test_what_is_remembered_is_bounded(workers: list[FirstUses], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.edge.first_use._MOST", 2)
    uses = [replace(HERE, jti=f"j{number}") for number in range(3)]
    for use in uses:
        await workers[0].find(use)
    assert [workers[0].known(use) is not None for use in uses] == [False, True, True]
    assert await workers[0].find(replace(uses[0], address="10.0.0.9")) == uses[0], "the store still knows"


async def test_without_the_store_nothing_is_known(workers: list[FirstUses], place: Place) -> None:
    place.execute("DROP TABLE token_uses")
    with pytest.raises(StoreUnavailable, match=r"no such table|does not exist"):
        await workers[0].find(HERE)
    assert workers[0].known(HERE) is None


@pytest.mark.alone
async def test_the_event_loop_goes_on_while_the_store_is_locked(tmp_path: Path, clock: Clock) -> None:
    place = in_sqlite(tmp_path)
    with (
        closing(StoreThread(place.open())) as thread,
        closing(sqlite3.connect(place.file, isolation_level=None)) as store,
    ):
        store.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(FirstUses(thread, clock).find(HERE))
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.005)
            turns += 1
        assert not waiting.done()
        store.execute("ROLLBACK")
        assert await waiting == HERE
