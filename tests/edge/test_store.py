"""Approvals on disk: one answer, used once, whoever races for it."""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sqlite3
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.core import approval as core_approval
from addons.core.approval import (
    APPROVAL_SECONDS,
    DENIED_SECONDS,
    Ask,
    ForbiddenApprover,
    InvalidTransition,
    State,
)
from addons.core.identity import Identity
from addons.edge import store as edge_store
from addons.edge import store_thread
from addons.edge.schema import METADATA
from addons.edge.store import Store, StoreUnavailable, TooManyPending, UnknownApproval, sqlite_url
from addons.edge.store_thread import StoreThread
from tests.support.stores import Place, in_sqlite

NOW = 1_000_000.0
ALICE = Identity(iss="https://idp", sub="alice", aud=("gw",), exp=NOW + 60)
ASK = Ask(
    requester_iss="https://idp", requester_sub="agent", requester_act="bot", requester_owner="Bob", connection="prod",
    session="s1", verb="create", resource="pods/exec", namespace="team", name="web", argv=("sh", "-c", "id"),
    method="CONNECT", target="/api/v1/x", command="kubectl exec", rule="exec", risk=60, reason="runs code",
    intent="INC-1", diff="- a\n+ b",
)  # fmt: skip


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a store in SQLite."""
    sqlite = in_sqlite(tmp_path)
    sqlite.open().close()
    return sqlite.file


def test_what_was_asked_comes_back(store: Store) -> None:
    case = store.claim("d", ASK, NOW)
    assert case.ask == ASK
    assert (case.approval.state, case.approval.expires_at) == (State.PENDING, NOW + APPROVAL_SECONDS)
    assert store.get(f" {case.approval.id.upper()} ") == case
    assert store.pending(NOW) == [case] == store.latest()


def test_the_newest_questions_are_without_their_differences(store: Store) -> None:
    first, second, third = (store.claim(each, ASK, NOW + number) for number, each in enumerate("abc"))
    store.decide(second.approval.id, State.DENIED, ALICE, "", NOW + 3)
    assert store.newest(NOW + 3, 9) == [replace(each, ask=replace(ASK, diff="")) for each in (third, first)]
    assert [case.approval for case in store.newest(NOW + 3, 1)] == [third.approval]
    assert store.newest(NOW + 9e9, 9) == []


def test_whether_it_can_be_written_is_tried(file: Path) -> None:
    store = Store(sqlite_url(file))
    store.check()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            store.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.check()
    store.close()


def test_identical_requests_share_one_question(store: Store) -> None:
    assert store.claim("d", ASK, NOW).approval.id == store.claim("d", ASK, NOW + 1).approval.id
    assert store.claim("other", ASK, NOW).approval.id != store.claim("d", ASK, NOW).approval.id


def test_a_granted_approval_is_claimed_once(store: Store) -> None:
    first = store.claim("d", ASK, NOW).approval.id
    granted = store.decide(first, State.GRANTED, ALICE, "fine", NOW + 5).approval
    assert (granted.approver, granted.note, granted.answered_at) == ("https://idp#alice", "fine", NOW + 5)
    assert granted.expires_at == NOW + 5 + APPROVAL_SECONDS
    claimed = store.claim("d", ASK, NOW + 6).approval
    assert (claimed.id, claimed.state) == (first, State.CONSUMED)
    again = store.claim("d", ASK, NOW + 7).approval
    assert (again.state, again.id != first) == (State.PENDING, True)


def test_consume_wins_once(store: Store) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    assert not store.consume(approval, NOW)
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert [store.consume(approval, NOW + 1) for _ in range(3)] == [True, False, False]


def test_an_expired_grant_cannot_be_consumed(store: Store) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    late = NOW + APPROVAL_SECONDS
    assert not store.consume(approval, late)
    assert store.claim("d", ASK, late).approval.id != approval
    assert store.get(approval).approval.state is State.EXPIRED


def test_an_unanswered_question_expires(store: Store) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    late = NOW + APPROVAL_SECONDS
    assert store.pending(late) == []
    with pytest.raises(InvalidTransition, match="expired"):
        store.decide(approval, State.GRANTED, ALICE, "", late)
    assert store.claim("d", ASK, late).approval.id != approval


def test_a_denial_answers_for_a_while(store: Store) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    store.decide(approval, State.DENIED, ALICE, "not today", NOW)
    repeated = store.claim("d", ASK, NOW + DENIED_SECONDS - 1).approval
    assert (repeated.id, repeated.state, repeated.note) == (approval, State.DENIED, "not today")
    assert store.claim("d", ASK, NOW + DENIED_SECONDS).approval.state is State.PENDING


def test_a_grant_can_be_revoked_until_it_is_used(store: Store) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    store.decide(approval, State.DENIED, ALICE, "changed my mind", NOW + 1)
    assert not store.consume(approval, NOW + 2)


@pytest.mark.parametrize(
    "approver",
    [
        pytest.param(replace(ALICE, sub="agent"), id="requester"),
        pytest.param(replace(ALICE, sub="bot"), id="acting-party"),
        pytest.param(replace(ALICE, claims={"sub": "bot"}), id="who acts for it, by an unmapped sub"),
        pytest.param(replace(ALICE, sub="bob"), id="owner"),
        pytest.param(replace(ALICE, groups=("BOB",)), id="owning-team"),
    ],
)
@pytest.mark.parametrize("core_is_asked", [True, False], ids=["core", "update-alone"])
def test_the_requester_cannot_answer(
    store: Store, approver: Identity, core_is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    if not core_is_asked:
        monkeypatch.setattr(core_approval, "may_decide", lambda *_: "")
    with pytest.raises(ForbiddenApprover if core_is_asked else InvalidTransition):
        store.decide(approval, State.GRANTED, approver, "", NOW)
    assert store.get(approval).approval.state is State.PENDING


def test_a_stranger_of_the_same_name_at_another_issuer_may(store: Store) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    assert store.decide(approval, State.GRANTED, replace(ALICE, iss="https://other", sub="agent"), "", NOW)


def test_two_answers_at_once(store: Store, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second human's answer lands between the first one's check and write."""
    approval = store.claim("d", ASK, NOW).approval.id
    other = place.open()

    def check(*args: object) -> None:
        monkeypatch.undo()
        other.decide(approval, State.DENIED, replace(ALICE, sub="carol"), "no", NOW)

    monkeypatch.setattr(core_approval, "check_transition", check)
    with pytest.raises(InvalidTransition, match="answered by someone else: denied"):
        store.decide(approval, State.GRANTED, ALICE, "", NOW)
    other.close()


def test_unknown_ids(store: Store) -> None:
    with pytest.raises(UnknownApproval, match="chaperone approvals list"):
        store.get("nope")
    assert store.approvals(["nope"]) == {}


def test_many_are_polled_in_one_query(store: Store) -> None:
    cases = [store.claim(digest, ASK, NOW).approval for digest in "abc"]
    assert store.approvals([case.id for case in cases]) == {case.id: case for case in cases}


def test_b82_an_agent_cannot_bury_the_inbox(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_store, "MAX_PENDING", 2)
    for digest in "ab":
        store.claim(digest, ASK, NOW)
    with pytest.raises(TooManyPending):
        store.claim("c", ASK, NOW)
    assert store.claim("c", replace(ASK, requester_sub="someone-else"), NOW)
    assert store.claim("a", ASK, NOW)


def test_only_the_owner_can_read_the_files(file: Path) -> None:
    store = Store(sqlite_url(file))
    store.claim("d", ASK, NOW)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert file.name in modes
    store.close()


def test_it_survives_a_restart(store: Store, place: Place) -> None:
    approval = store.claim("d", ASK, NOW).approval
    store.close()
    again = place.open()
    assert again.get(approval.id).approval == approval
    again.close()


def test_another_schema_is_refused(store: Store, place: Place) -> None:
    store.close()
    place.execute("update chaperone_schema set version = 99")
    with pytest.raises(StoreUnavailable, match="schema 99"):
        place.open()


@pytest.mark.parametrize(
    "url",
    ["sqlite:////proc/nowhere/x.db", "sqlite:////proc/version", "sqlite:not a url"],
)
def test_a_store_that_cannot_be_opened_says_so(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="approval store cannot be used"):
        Store(url)


def test_the_configured_time_is_the_limit(place: Place) -> None:
    store = place.open(approval_seconds=30)
    approval = store.claim("d", ASK, NOW).approval
    assert approval.expires_at == NOW + 30
    assert store.decide(approval.id, State.GRANTED, ALICE, "", NOW + 29).approval.expires_at == NOW + 59
    store.close()


def test_a_damaged_store_is_unavailable(store: Store, place: Place) -> None:
    place.execute("drop table approvals")
    with pytest.raises(StoreUnavailable, match=r"no such table|does not exist"):
        store.claim("d", ASK, NOW)


def test_what_a_database_cannot_hold_is_shown_as_such(store: Store) -> None:
    """NUL and halves of characters: an agent chooses what its commands and objects are called."""
    strange = replace(ASK, argv=("a\0b", "\ud800"), target="/x\0y", diff="+ \ud800\0", name="n" * 10_000)
    kept = store.get(store.claim("d", strange, NOW).approval.id).ask
    assert (kept.argv, kept.target, kept.diff) == (strange.argv, "/x␀y", "+ ?␀")
    assert kept.name == strange.name
    with pytest.raises(UnknownApproval):
        store.get("a\0\ud800")


def _race(place: Place, approval: str, start: object, wins: object) -> None:
    store = place.open()
    start.wait()  # type: ignore[attr-defined]
    wins.put((store.consume(approval, NOW), store.claim("d", ASK, NOW).approval.id))  # type: ignore[attr-defined]
    store.close()


def test_processes_race_and_one_wins(store: Store, place: Place) -> None:
    approval = store.claim("d", ASK, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    context = multiprocessing.get_context("fork")
    start, wins = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(place, approval, start, wins)) for _ in range(4)]
    for racer in racers:
        racer.start()
    results = [wins.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert sum(won for won, _ in results) == 1
    assert len({asked for _, asked in results}) == 1
    assert results[0][1] != approval


async def test_the_event_loop_is_never_blocked(file: Path) -> None:
    thread = StoreThread(Store(sqlite_url(file)))
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("begin immediate")
    waiting = asyncio.create_task(thread.call(Store.claim, "d", ASK, NOW))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    blocker.execute("rollback")
    blocker.close()
    assert (await waiting).approval.state is State.PENDING
    thread.close()


async def test_an_answer_that_was_there_counts_however_late_the_loop_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_thread, "CALL_SECONDS", 0.05)
    thread = StoreThread(Store(sqlite_url(file)))
    waiting = asyncio.create_task(thread.call(Store.claim, "d", ASK, NOW))
    await asyncio.sleep(0)
    thread._executor.submit(time.sleep, 0.1).result()  # the loop stands still, though the answer is there
    assert (await waiting).approval.state is State.PENDING
    thread.close()


def test_a_hundred_questions_at_once_are_no_more_than_are_allowed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is of all processes together, though each counts for itself."""
    monkeypatch.setattr(edge_store, "MAX_PENDING", 5)
    stores = [place.open() for _ in range(4)]

    def ask(number: int) -> bool:
        try:
            return stores[number % 4].claim(f"d{number}", ASK, NOW).approval.state is State.PENDING
        except TooManyPending:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(40))) == 5
    for store in stores:
        store.close()


def _open(place: Place, start: Any) -> None:
    start.wait()
    place.open().close()


def test_workers_that_start_at_once_share_a_new_store(place: Place) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        start = context.Barrier(6)
        workers = [context.Process(target=_open, args=(place, start)) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 6
        for table in reversed(METADATA.sorted_tables):
            place.execute(f"DROP TABLE {table.name}")
