from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from addons.core import access_request as core
from addons.core.access_request import TRANSITIONS, AccessRequest, State
from addons.core.approval import ForbiddenApprover, InvalidTransition
from addons.core.identity import Identity
from addons.core.session import Session

NOW = 1000.0
AGENT = Identity(iss="https://idp", sub="agent", aud=("c",), exp=9e9, owner="Team-Web")
ALICE = replace(AGENT, sub="alice", owner="", groups=("oncall",))
BOB = replace(ALICE, sub="bob")
ASKED = AccessRequest(
    id="abc", iss=AGENT.iss, sub="agent", owner="Team-Web", connection="prod", role="r", rule="web", intent="INC-1",
    seconds=600, longest_seconds=900, approvers=("oncall",), asked_at=NOW, expires_at=NOW + core.PENDING_SECONDS,
)  # fmt: skip
GRANTED = replace(ASKED, state=State.GRANTED, granted_at=NOW, expires_at=NOW + 600, approved_by=(ALICE.username,))

STEPS: dict[State, Callable[[AccessRequest], AccessRequest]] = {
    State.GRANTED: lambda request: core.approve(request, ALICE, "", NOW),
    State.DENIED: lambda request: core.deny(request, ALICE, "no", NOW),
    State.RELEASED: lambda request: core.release(request, AGENT, "", NOW),
    State.REVOKED: lambda request: core.revoke(request, "user root", "", NOW),
}


@pytest.mark.parametrize(("state", "to"), list(product(State, STEPS)))
def test_only_what_the_table_says_can_follow(state: State, to: State) -> None:
    request = replace(ASKED, state=state)
    if to in TRANSITIONS[state]:
        assert STEPS[to](request).state is to
    else:
        with pytest.raises(InvalidTransition, match=f"abc is {state}"):
            STEPS[to](request)


@pytest.mark.parametrize("state", State)
def test_what_is_alive_expires_by_the_clock(state: State) -> None:
    alive = state in (State.PENDING, State.GRANTED)
    request = replace(ASKED, state=state, expires_at=NOW)
    assert core.state_at(request, NOW - 1) is state
    assert core.state_at(request, NOW) is (State.EXPIRED if alive else state)
    with pytest.raises(InvalidTransition):
        core.revoke(request, "root", "", NOW)


def test_an_approval_starts_the_window_and_is_kept_with_its_name() -> None:
    granted = core.approve(ASKED, ALICE, "fine", NOW + 50)
    assert (granted.granted_at, granted.expires_at) == (NOW + 50, NOW + 650)
    assert granted.approved_by == (ALICE.username,)
    assert granted.history == ((NOW + 50, "approved", ALICE.username, "fine"),)


def test_as_many_have_to_agree_as_the_rule_says_and_each_counts_once() -> None:
    half = core.approve(replace(ASKED, approvals=2), ALICE, "", NOW)
    assert half.state is State.PENDING
    with pytest.raises(ForbiddenApprover, match="somebody else"):
        core.approve(half, ALICE, "", NOW)
    assert core.approve(half, BOB, "", NOW).approved_by == (ALICE.username, BOB.username)
    assert core.deny(half, BOB, "no", NOW).state is State.DENIED


def test_the_rule_may_approve_by_itself() -> None:
    granted = core.automatic(replace(ASKED, approvers=()), NOW)
    assert (granted.state, granted.approved_by) == (State.GRANTED, (core.AUTOMATIC,))


FORBIDDEN = {
    "the requester": (replace(AGENT, groups=("oncall",), owner=""), "their own"),
    "who acts for it": (replace(ALICE, sub="bot"), "their own"),
    "who acts for it, by an unmapped sub": (replace(ALICE, claims={"sub": "bot"}), "their own"),
    "its owner": (replace(ALICE, groups=("oncall", "team-web")), "owner"),
    "on somebody's behalf": (replace(ALICE, act="bot"), "sign in yourself"),
    "of another group": (replace(ALICE, groups=("web",)), "members of these groups decide: oncall"),
}


@pytest.mark.parametrize(("who", "why"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_who_may_not_decide(who: Identity, why: str) -> None:
    request = replace(ASKED, act="bot")
    decide: list[Callable[[], Any]] = [
        lambda: core.approve(request, who, "", NOW),
        lambda: core.deny(request, who, "", NOW),
        lambda: core.extend(replace(GRANTED, act="bot"), who, 60, "", NOW),
    ]
    for each in decide:
        with pytest.raises(ForbiddenApprover, match=why):
            each()


def test_nobody_decides_where_no_group_does() -> None:
    assert "none" in core.may_decide(replace(ASKED, approvers=()), ALICE)


def test_only_who_asked_releases() -> None:
    for other in (ALICE, replace(AGENT, iss="https://other"), replace(AGENT, act="bot")):
        with pytest.raises(ForbiddenApprover, match="revoke"):
            core.release(GRANTED, other, "", NOW)


def test_an_extension_stays_within_the_longest_window() -> None:
    longer = core.extend(GRANTED, BOB, 300, "more", NOW + 5)
    assert longer.expires_at == NOW + 900
    assert longer.history[-1] == (NOW + 5, "extended by 300s", BOB.username, "more")


@pytest.mark.parametrize(
    ("request_", "seconds", "why"),
    [
        (GRANTED, 301, "900s in all"),
        (GRANTED, 0, "900s in all"),
        (replace(GRANTED, approvals=2), 60, "2 people"),
        (replace(GRANTED, expires_at=NOW), 60, "is expired"),
        (ASKED, 60, "is pending"),
    ],
)
def test_what_is_not_extended(request_: AccessRequest, seconds: int, why: str) -> None:
    with pytest.raises(InvalidTransition, match=why):
        core.extend(request_, BOB, seconds, "", NOW)


def test_what_programs_see_has_the_state_of_now() -> None:
    seen = core.as_document(core.extend(GRANTED, BOB, 60, "", NOW), NOW + 660)
    assert seen["history"] == [{"at": NOW, "what": "extended by 60s", "who": BOB.username, "note": ""}]
    assert (seen["state"], seen["approved_by"], seen["id"]) == ("expired", (ALICE.username,), "abc")


SESSION = Session(id="s", identity=AGENT, connection="prod", started_at=0.0)


@pytest.mark.parametrize(
    ("request_", "session", "holds"),
    [
        (GRANTED, SESSION, True),
        (ASKED, SESSION, False),
        (replace(GRANTED, expires_at=NOW), SESSION, False),
        (GRANTED, replace(SESSION, connection="test"), False),
        (GRANTED, replace(SESSION, identity=replace(AGENT, sub="other")), False),
        (GRANTED, replace(SESSION, identity=replace(AGENT, iss="https://other")), False),
        (GRANTED, replace(SESSION, identity=replace(AGENT, act="bot")), False),
    ],
)
def test_whose_right_it_is(request_: AccessRequest, session: Session, holds: bool) -> None:
    assert request_.holds(session, NOW) == holds
