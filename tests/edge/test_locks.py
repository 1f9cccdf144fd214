"""Locks of the real store: whoever makes them, every process knows soon, and none takes old news for new."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from addons.core.lock import Lock
from addons.edge import locks as edge_locks
from addons.edge.lock_store import UnknownLock, add_lock, lift, locks
from addons.edge.locks import FRESH_SECONDS, Locks
from addons.edge.store import Store, StoreUnavailable, new_id
from addons.edge.store_thread import StoreThread
from tests.support.stores import Place

LOCK = Lock(id=new_id(), subject="agent", reason="INC-1", made_by="oncall", made_at=1.0)


class World:
    """Another process's store, a worker's locks, and a clock."""

    def __init__(self, place: Place) -> None:
        self.now = 100.0
        self.store = place.open()
        self.thread = StoreThread(place.open())
        self.locks = Locks(self.thread, lambda: self.now)


@pytest.fixture
def world(place: Place) -> Iterator[World]:
    made = World(place)
    with closing(made.store), closing(made.thread):
        yield made


async def test_what_others_lock_and_lift_is_known_a_second_later(world: World) -> None:
    assert world.locks.known() is None
    assert await world.locks.read() == []
    add_lock(world.store, LOCK)
    assert world.locks.known() == []
    world.now += FRESH_SECONDS
    assert world.locks.known() is None
    assert await world.locks.read() == [LOCK] == world.locks.known()
    lift(world.store, f" {LOCK.id.upper()} ", "oncall", 2.0)
    world.now += FRESH_SECONDS
    assert await world.locks.read() == []


async def test_what_was_written_just_now_counts_in_a_reading_that_begins_now(world: World) -> None:
    reading = asyncio.ensure_future(world.locks.read())
    await asyncio.sleep(0)
    world.now += 0.1
    add_lock(world.store, LOCK)
    assert await world.locks.read_again() == [LOCK]
    await reading
    world.now += 0.1
    lift(world.store, LOCK.id, "oncall", 2.0)
    assert (world.locks.known(), await world.locks.read_again()) == ([LOCK], [])


async def test_one_reads_for_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Store] = []

    def counted(store: Store) -> list[Lock]:
        read.append(store)
        return locks(store)

    monkeypatch.setattr(edge_locks, "locks", counted)
    await asyncio.gather(*(world.locks.read() for _ in range(20)))
    assert len(read) == 1


async def test_what_cannot_be_read_is_not_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.locks.read()
    world.now += FRESH_SECONDS

    def broken(_: Store) -> list[Lock]:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(edge_locks, "locks", broken)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="away"):
                await world.locks.read()
        assert world.locks.known() is None
    assert await world.locks.read() == []


def test_a_lock_is_lifted_once(world: World) -> None:
    add_lock(world.store, LOCK)
    lift(world.store, LOCK.id, "oncall", 2.0)
    for name in (LOCK.id, "none"):
        with pytest.raises(UnknownLock, match="chaperone locks"):
            lift(world.store, name, "oncall", 3.0)
