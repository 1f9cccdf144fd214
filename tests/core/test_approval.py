"""Who may answer what, when, and for exactly which request (B-69, B-81)."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import pytest

from addons.core.approval import (
    APPROVAL_SECONDS,
    DENIED_SECONDS,
    ID_ALPHABET,
    TRANSITIONS,
    Approval,
    Ask,
    InvalidTransition,
    State,
    canonical_method,
    check_transition,
    digest,
    expires_at,
    granted_as,
    may_decide,
    may_revoke,
    names,
    opens_stream,
    state_at,
)
from addons.core.approval_terms import ONCE, Needed, Reuse, Scope
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest

AGENT = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=2000, owner="Team@Example.com")
HUMAN = Identity(iss="https://idp", sub="alice", aud=("gw",), exp=2000)
ASK = Ask(
    requester_iss="https://idp", requester_sub="agent", requester_act="bot", requester_owner="Team@Example.com",
    connection="prod", session="s", verb="create", resource="pods/exec", method="CONNECT", target="/x", rule="r",
    risk=60, reason="why",
)  # fmt: skip
APPROVAL = Approval(id="abcdefgh", digest="d", state=State.PENDING, asked_at=100, expires_at=200)

ALLOWED = {
    (State.PENDING, State.GRANTED),
    (State.PENDING, State.DENIED),
    (State.PENDING, State.EXPIRED),
    (State.GRANTED, State.CONSUMED),
    (State.GRANTED, State.DENIED),
    (State.GRANTED, State.EXPIRED),
    (State.PENDING, State.STANDING),
    (State.STANDING, State.REVOKED),
    (State.STANDING, State.EXPIRED),
}


@pytest.mark.parametrize(("before", "after"), [*product(State, State)], ids=lambda state: state.value)
def test_transitions(before: State, after: State) -> None:
    approval = replace(APPROVAL, state=before)
    if (before, after) in ALLOWED:
        check_transition(approval, after, 150)
    else:
        with pytest.raises(InvalidTransition, match=f"approval abcdefgh is {before}"):
            check_transition(approval, after, 150)


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        pytest.param(State.PENDING, 199.9, State.PENDING, id="pending-just-in-time"),
        pytest.param(State.PENDING, 200, State.EXPIRED, id="pending-at-its-expiry"),
        pytest.param(State.GRANTED, 199.9, State.GRANTED, id="granted-just-in-time"),
        pytest.param(State.GRANTED, 200, State.EXPIRED, id="granted-at-its-expiry"),
        pytest.param(State.STANDING, 199.9, State.STANDING, id="standing-just-in-time"),
        pytest.param(State.STANDING, 200, State.EXPIRED, id="standing-at-its-expiry"),
        pytest.param(State.REVOKED, 500, State.REVOKED, id="revoked-stays-revoked"),
        pytest.param(State.DENIED, 500, State.DENIED, id="denied-stays-denied"),
        pytest.param(State.CONSUMED, 500, State.CONSUMED, id="consumed-stays-consumed"),
    ],
)
def test_expiry_is_by_the_clock(state: State, now: float, expected: State) -> None:
    assert state_at(replace(APPROVAL, state=state), now) == expected


@pytest.mark.parametrize("to", [State.GRANTED, State.DENIED])
def test_nothing_is_decided_after_expiry(to: State) -> None:
    with pytest.raises(InvalidTransition, match="expired: the agent has to send the request again"):
        check_transition(APPROVAL, to, 200)


@pytest.mark.parametrize(
    ("state", "seconds"),
    [(State.PENDING, APPROVAL_SECONDS), (State.GRANTED, APPROVAL_SECONDS), (State.DENIED, DENIED_SECONDS)],
)
def test_deadlines(state: State, seconds: int) -> None:
    assert expires_at(state, 1000) == 1000 + seconds
    assert expires_at(state, 1000, 10) == 1010


@pytest.mark.parametrize(
    ("approver", "why"),
    [
        pytest.param(HUMAN, "", id="another-person"),
        pytest.param(replace(HUMAN, sub="agent"), "own request", id="the-requester"),
        pytest.param(replace(HUMAN, sub="bot"), "own request", id="who-acts-for-the-requester"),
        pytest.param(replace(HUMAN, claims={"sub": "bot"}), "own request", id="who-acts-for-it-by-an-unmapped-sub"),
        pytest.param(replace(HUMAN, claims={"sub": "team@example.com"}), "owner", id="owner-by-an-unmapped-sub"),
        pytest.param(replace(HUMAN, act="bot"), "behalf", id="delegated-token"),
        pytest.param(replace(HUMAN, sub="agent", iss="https://other"), "", id="same-sub-of-another-issuer"),
        pytest.param(replace(HUMAN, sub="TEAM@example.com"), "owner", id="owner-by-sub-in-other-case"),
        pytest.param(replace(HUMAN, iss="https://other", sub="team@example.com"), "owner", id="owner-at-other-issuer"),
        pytest.param(replace(HUMAN, groups=("team@example.com",)), "owner", id="member-of-owning-team"),
        pytest.param(replace(HUMAN, claims={"email": "team@example.com"}), "owner", id="owner-by-email"),
        pytest.param(replace(HUMAN, claims={"preferred_username": "team@example.com"}), "owner", id="owner-by-name"),
        pytest.param(replace(HUMAN, claims={"email": ["team@example.com"]}), "", id="claim-that-is-no-text"),
    ],
)
def test_who_may_decide(approver: Identity, why: str) -> None:
    answer = may_decide(ASK, approver)
    assert (why in answer) if why else answer == ""


def test_only_members_of_the_groups_that_a_rule_names_decide() -> None:
    asked = replace(ASK, needed=(Needed(rule="r", groups=("oncall", "leads"), count=2),))
    assert may_decide(asked, HUMAN) == "only members of these groups decide: leads, oncall"
    assert may_decide(asked, replace(HUMAN, groups=("leads",))) == ""
    assert may_decide(replace(asked, needed=(Needed(rule="r", count=2),)), HUMAN) == ""


def test_whoever_may_sign_in_may_revoke_but_no_agent() -> None:
    assert may_revoke(HUMAN) == ""
    assert "behalf" in may_revoke(replace(HUMAN, act="bot"))


def test_how_far_it_goes_is_what_it_becomes() -> None:
    assert granted_as(ONCE) is State.GRANTED
    assert granted_as(Scope(reuse=Reuse.SESSION, seconds=60)) is State.STANDING


def test_without_an_owner_nobody_is_it() -> None:
    assert may_decide(replace(ASK, requester_owner=""), replace(HUMAN, groups=("",))) == ""


def test_names_include_the_qualified_name() -> None:
    assert "https://idp#alice" in names(HUMAN)


FIELDS: dict[str, str | bytes] = {
    "iss": "https://idp", "sub": "a", "act": "", "owner": "", "connection": "c", "method": "GET", "target": "/api",
    "body": b"", "content_type": "", "uid": "",
}  # fmt: skip


def _digest(**changed: str | bytes) -> str:
    every = FIELDS | changed
    body = every.pop("body")
    text = {name: value for name, value in every.items() if isinstance(value, str)}
    identity = Identity(iss=text["iss"], sub=text["sub"], act=text["act"], owner=text["owner"], aud=(), exp=0)
    assert isinstance(body, bytes)
    return digest(identity, text["connection"], text["method"], text["target"], body, text["content_type"], text["uid"])


@pytest.mark.parametrize("field", FIELDS)
def test_b69_every_field_counts(field: str) -> None:
    assert _digest(**{field: b"x" if field == "body" else "x"}) != _digest()


@pytest.mark.parametrize(("left", "right"), [*combinations(["iss", "sub", "connection", "method", "target"], 2)])
def test_moving_bytes_between_fields_changes_the_digest(left: str, right: str) -> None:
    assert _digest(**{left: "ab", right: "c"}) != _digest(**{left: "a", right: "bc"})


def test_a_refreshed_token_is_the_same_requester() -> None:
    later = replace(AGENT, exp=9000, jti="new")
    assert digest(AGENT, "c", "GET", "/", b"") == digest(later, "c", "GET", "/", b"")


def test_digest_is_hex_sha256_and_takes_any_text() -> None:
    assert len(digest(AGENT, "c", "GET", "/\udcff", b"")) == 64


def _request(**fields: object) -> KubeRequest:
    defaults: dict[str, object] = {"method": "GET", "path": "/api/v1/pods"}
    return KubeRequest(**(defaults | fields))  # type: ignore[arg-type]


EXEC = _request(resource="pods", subresource="exec", name="p")


@pytest.mark.parametrize(
    ("request_", "method", "stream"),
    [
        pytest.param(EXEC, "CONNECT", True, id="exec-by-get"),
        pytest.param(replace(EXEC, method="POST"), "CONNECT", True, id="exec-by-post"),
        pytest.param(replace(EXEC, subresource="portforward"), "CONNECT", True, id="portforward"),
        pytest.param(replace(EXEC, subresource="proxy", method="POST"), "POST", False, id="proxy-is-plain-http"),
        pytest.param(replace(EXEC, api_group="x.example"), "GET", False, id="someone-elses-pods"),
        pytest.param(_request(method="DELETE"), "DELETE", False, id="delete"),
    ],
)
def test_one_method_for_both_ways_to_open_a_stream(request_: KubeRequest, method: str, stream: bool) -> None:
    assert canonical_method(request_) == method
    assert opens_stream(request_) is stream


def test_ids_avoid_letters_people_confuse() -> None:
    assert not set("01ilo") & set(ID_ALPHABET)
