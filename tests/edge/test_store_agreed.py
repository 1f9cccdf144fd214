"""Several people who have to agree, and approvals that stand: on disk, whoever races for them."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from addons.core.approval import APPROVAL_SECONDS, ForbiddenApprover, InvalidTransition, State
from addons.core.approval_terms import Needed, Offer, Reuse, Scope
from addons.core.identity import Identity
from addons.edge.schema import APPROVALS
from addons.edge.store import Store, sqlite_url
from tests.edge.test_store import ALICE, ASK, NOW

BOB, CAROL = replace(ALICE, sub="bob-b"), replace(ALICE, sub="carol")
TWO = replace(ASK, needed=(Needed(rule="exec", count=2),))
SESSION, MINUTES = Scope(reuse=Reuse.SESSION, seconds=600), Scope(reuse=Reuse.MINUTES, seconds=300)
AGAIN = replace(ASK, shape="s" * 64, offer=Offer(reuse=Reuse.MINUTES, max_seconds=900))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "chaperone.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    opened = Store(sqlite_url(file))
    yield opened
    opened.close()


def test_the_last_of_several_people_grants_it(store: Store, file: Path) -> None:
    approval = store.claim("d", TWO, NOW).approval.id
    first = store.decide(approval, State.GRANTED, ALICE, "looks right", NOW + 1)
    assert (first.approval.state, [vote.approver for vote in first.votes]) == (State.PENDING, ["https://idp#alice"])
    assert first.approval.expires_at == NOW + APPROVAL_SECONDS, "it expires as a whole"
    assert store.claim("d", TWO, NOW + 2).used is False
    store.close()
    again = Store(sqlite_url(file))
    second = again.decide(approval, State.GRANTED, BOB, "to me too", NOW + 3).approval
    assert (second.state, second.approver) == (State.GRANTED, "https://idp#alice, https://idp#bob-b")
    assert second.note == "looks right; to me too"
    assert [again.claim("d", TWO, NOW + 4).used for _ in range(2)] == [True, False]
    again.close()


@pytest.mark.parametrize(
    ("approver", "why"),
    [
        (ALICE, "approved it already"),
        (replace(ALICE, sub="a2", claims={"sub": "alice"}), "approved it already"),
        (replace(ALICE, sub="agent"), "own request"),
        (replace(ALICE, sub="bob"), "owner"),
        (replace(ALICE, sub="x", act="y"), "behalf"),
    ],
)
def test_who_does_not_count_as_another(store: Store, approver: Identity, why: str) -> None:
    approval = store.claim("d", TWO, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    with pytest.raises(ForbiddenApprover, match=why):
        store.decide(approval, State.GRANTED, approver, "", NOW)
    assert (store.get(approval).approval.state, len(store.get(approval).votes)) == (State.PENDING, 1)


def test_one_denial_denies(store: Store) -> None:
    approval = store.claim("d", TWO, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    assert store.decide(approval, State.DENIED, BOB, "no", NOW).approval.state is State.DENIED
    with pytest.raises(InvalidTransition):
        store.decide(approval, State.GRANTED, CAROL, "", NOW)


def test_it_expires_as_a_whole(store: Store) -> None:
    approval = store.claim("d", TWO, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW + APPROVAL_SECONDS - 1)
    with pytest.raises(InvalidTransition, match="expired"):
        store.decide(approval, State.GRANTED, BOB, "", NOW + APPROVAL_SECONDS)
    assert store.claim("d", TWO, NOW + APPROVAL_SECONDS).votes == ()


def test_members_of_the_groups_alone(store: Store) -> None:
    asked = replace(ASK, needed=(Needed(rule="exec", groups=("oncall",), count=2),))
    approval = store.claim("d", asked, NOW).approval.id
    with pytest.raises(ForbiddenApprover, match="only members of these groups decide: oncall"):
        store.decide(approval, State.GRANTED, ALICE, "", NOW)
    for person in (ALICE, BOB):
        store.decide(approval, State.GRANTED, replace(person, groups=("oncall",)), "", NOW)
    assert store.get(approval).approval.state is State.GRANTED


def _agree(url: str, approval: str, name: str, now: float, start: Any, told: Any) -> None:
    store = Store(url)
    start.wait()
    try:
        told.put(store.decide(approval, State.GRANTED, replace(ALICE, sub=name), name, now).approval.state.value)
    except InvalidTransition as error:
        told.put(str(error))
    store.close()


@pytest.mark.parametrize("late", [False, True], ids=["all in time", "two too late"])
def test_processes_agree_at_once_and_one_is_the_last(store: Store, file: Path, late: bool) -> None:
    """Four people, two needed; with `late`, two of them after it has expired."""
    approval = store.claim("d", TWO, NOW).approval.id
    context = multiprocessing.get_context("fork")
    start, told = context.Barrier(4), context.Queue()
    times = [NOW, NOW, *([NOW + APPROVAL_SECONDS] * 2 if late else [NOW, NOW])]
    people = [
        context.Process(target=_agree, args=(sqlite_url(file), approval, f"p{number}", now, start, told))
        for number, now in enumerate(times)
    ]
    for person in people:
        person.start()
    said = sorted(told.get(timeout=60) for _ in people)
    for person in people:
        person.join()
    assert [each for each in said if each in ("granted", "pending")] == ["granted", "pending"]
    after = store.get(approval)
    assert (after.approval.state, len(after.votes)) == (State.GRANTED, 2)
    assert len(set(after.approval.approver.split(", "))) == 2
    assert [store.consume(approval, NOW + 1) for _ in range(2)] == [True, False]


def test_each_is_told_what_came_of_their_own(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what somebody else has made of it a moment later: of several people one is told that it is granted."""
    approval, other, writing = store.claim("d", TWO, NOW).approval.id, Store(sqlite_url(file)), store.writing

    @contextmanager
    def and_then_bob() -> Iterator[sa.Connection]:
        with writing() as connection:
            yield connection
        other.decide(approval, State.GRANTED, BOB, "", NOW)

    monkeypatch.setattr(store, "writing", and_then_bob)
    assert store.decide(approval, State.GRANTED, ALICE, "", NOW).approval.state is State.PENDING
    assert other.get(approval).approval.state is State.GRANTED
    other.close()


def test_an_expiry_between_the_look_and_the_write_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    approval = store.claim("d", TWO, NOW).approval.id
    store.decide(approval, State.GRANTED, ALICE, "", NOW)
    monkeypatch.setattr("addons.core.approval.check_transition", lambda *_: None)
    with pytest.raises(InvalidTransition):
        store.decide(approval, State.GRANTED, BOB, "", NOW + APPROVAL_SECONDS)
    assert len(store.get(approval).votes) == 1


def stand(store: Store, scope: Scope = SESSION, **changes: Any) -> str:
    approval = store.claim("d", replace(AGAIN, **changes), NOW).approval.id
    assert store.decide(approval, State.GRANTED, ALICE, "fine", NOW, scope).approval.state is State.STANDING
    return approval


def test_an_approval_that_stands_is_used_again_and_again(store: Store) -> None:
    approval = stand(store)
    for number, digest in enumerate(("d", "d", "another digest of this shape"), 1):
        case = store.claim(digest, AGAIN, NOW + number)
        assert (case.used, case.approval.id, case.approval.uses) == (True, approval, number)
        assert (case.approval.state, case.approval.approver) == (State.STANDING, "https://idp#alice")
    assert store.consume(approval, NOW + 4, AGAIN)
    assert [case.approval.uses for case in store.standing(NOW)] == [4]
    assert store.pending(NOW) == []


@pytest.mark.parametrize(
    ("scope", "changes", "at", "covered"),
    [
        (SESSION, {}, 599, True),
        (SESSION, {}, 600, False),
        (SESSION, {"session": "another"}, 1, False),
        (SESSION, {"shape": "t" * 64}, 1, False),
        (SESSION, {"shape": ""}, 1, False),
        (SESSION, {"risk": 61}, 1, False),
        (SESSION, {"risk": 59}, 1, True),
        (MINUTES, {"session": "another"}, 299, True),
        (MINUTES, {"session": "another"}, 300, False),
        (MINUTES, {"risk": 61}, 1, False),
    ],
)
def test_b69_what_it_stands_for(store: Store, scope: Scope, changes: dict[str, Any], at: float, covered: bool) -> None:
    approval = stand(store, scope)
    asked = replace(AGAIN, **changes)
    assert store.consume(approval, NOW + at, asked) is covered
    case = store.claim("other", asked, NOW + at)
    assert (case.used, case.approval.id == approval) == (covered, covered)


def test_b69_without_a_shape_nothing_is_covered(store: Store) -> None:
    stand(store, shape="")
    assert not store.claim("e", replace(AGAIN, shape=""), NOW).used


@pytest.mark.parametrize(
    ("offer", "scope"),
    [
        (Offer(), SESSION),
        (Offer(reuse=Reuse.SESSION, max_seconds=900), MINUTES),
        (AGAIN.offer, replace(SESSION, seconds=901)),
    ],
)
def test_more_than_the_rules_allow_is_refused(store: Store, offer: Offer, scope: Scope) -> None:
    approval = store.claim("d", replace(AGAIN, offer=offer), NOW).approval.id
    with pytest.raises(ForbiddenApprover):
        store.decide(approval, State.GRANTED, ALICE, "", NOW, scope)
    assert (store.get(approval).approval.state, store.get(approval).votes) == (State.PENDING, ())


def test_b81_revoked_it_counts_at_once_in_every_process(store: Store, file: Path) -> None:
    approval = stand(store)
    worker = Store(sqlite_url(file))
    assert worker.claim("d", AGAIN, NOW + 1).used
    after = store.revoke(approval, BOB, "enough", NOW + 2)
    assert (after.approval.state, after.approval.note) == (State.REVOKED, "revoked by https://idp#bob-b: enough")
    assert after.approval.approver == "https://idp#alice"
    assert not worker.consume(approval, NOW + 2, AGAIN)
    asked = worker.claim("d", AGAIN, NOW + 2)
    assert (asked.used, asked.approval.state) == (False, State.PENDING)
    assert store.standing(NOW + 2) == []
    worker.close()


def test_what_does_not_stand_is_not_revoked(store: Store) -> None:
    approval = store.claim("d", AGAIN, NOW).approval.id
    with pytest.raises(InvalidTransition, match="pending"):
        store.revoke(approval, BOB, "", NOW)
    store.decide(approval, State.GRANTED, ALICE, "", NOW, SESSION)
    with pytest.raises(ForbiddenApprover, match="behalf"):
        store.revoke(approval, replace(BOB, act="bot"), "", NOW)
    with pytest.raises(InvalidTransition, match="expired"):
        store.revoke(approval, BOB, "", NOW + 600)
    with pytest.raises(InvalidTransition, match="revoke it"):
        store.decide(approval, State.DENIED, BOB, "", NOW)


def test_a_revocation_that_comes_second_says_so(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    approval = stand(store)
    other = Store(sqlite_url(file))

    def check(*_: object) -> None:
        monkeypatch.undo()
        other.revoke(approval, BOB, "first", NOW)

    monkeypatch.setattr("addons.core.approval.check_transition", check)
    with pytest.raises(InvalidTransition, match="answered by someone else: revoked"):
        store.revoke(approval, CAROL, "second", NOW)
    other.close()


def test_b69_what_a_human_denied_no_standing_approval_allows(store: Store) -> None:
    denied = store.claim("denied", replace(AGAIN, shape="t" * 64), NOW).approval.id
    store.decide(denied, State.DENIED, BOB, "not this one", NOW)
    stand(store)
    assert store.claim("denied", AGAIN, NOW + 1).approval.state is State.DENIED


def test_of_several_people_the_most_careful_decides_how_far(store: Store) -> None:
    asked = replace(AGAIN, needed=TWO.needed)
    for digest, second, state in (("d", MINUTES, State.STANDING), ("e", Scope(), State.GRANTED)):
        approval = store.claim(digest, replace(asked, shape=digest), NOW).approval.id
        store.decide(approval, State.GRANTED, ALICE, "", NOW, SESSION)
        after = store.decide(approval, State.GRANTED, BOB, "", NOW, second).approval
        assert after.state is state
        if state is State.STANDING:
            assert (after.reuse, after.expires_at) == (Reuse.SESSION, NOW + 300)


def test_earlier_decisions_about_the_like(store: Store) -> None:
    ids = []
    for number, changes in enumerate(
        ({}, {"requester_sub": "other"}, {"rule": "other"}, {"verb": "get"}, {"api_group": "x"}, {"connection": "c"})
    ):
        ids.append(store.claim(str(number), replace(ASK, **changes), NOW).approval.id)  # type: ignore[arg-type]
        store.decide(ids[-1], State.DENIED if number == 1 else State.GRANTED, ALICE, "n", NOW + number)
    store.claim("open", ASK, NOW + 9)
    case = store.claim("new", ASK, NOW + 9)
    assert [each.approval.id for each in store.similar(case)] == [ids[1], ids[0]]
    assert [each.approval.id for each in store.similar(case, 1)] == [ids[1]]
    assert [each.approval.id for each in store.similar(store.get(ids[0]))] == [ids[1]]


def test_a_store_of_an_earlier_version_is_read(store: Store, file: Path) -> None:
    """It has none of the newer columns, and no table of who agreed."""
    approval = store.claim("d", ASK, NOW).approval.id
    store.close()
    newer = ("reuse", "uses", "api_group", "container", "needed", "offer", "shape", "blast", "claimed", "run")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("drop table approval_votes")
        connection.execute("drop index standing_by_shape")
        for name in newer:
            connection.execute(f"alter table approvals drop column {name}")
    again = Store(sqlite_url(file))
    assert again.get(approval).ask == ASK
    assert {column.name for column in APPROVALS.c} >= set(newer)
    assert again.decide(approval, State.GRANTED, ALICE, "", NOW).approval.state is State.GRANTED
    again.close()
