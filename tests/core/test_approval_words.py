"""What whoever is asked reads before they click: what an approval allows, and what was decided before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from addons.core.approval import Approval, Ask, Case, State
from addons.core.approval_terms import ONCE, Needed, Offer, Reuse, Scope
from addons.core.approval_words import agreed, allows_again, earlier, offers, run_of, run_words, stands, together

NOW = 1_800_000_000.0  # 2027-01-15, 08:00 UTC
ASK = Ask(
    requester_iss="https://idp", requester_sub="agent", connection="prod", session="s", verb="get",
    resource="pods/exec", namespace="shop", name="web-1", argv=("psql", "-c", "select 1"), method="CONNECT",
    target="/x", rule="exec", risk=60, reason="r", container="db", intent="INC-7",
    offer=Offer(reuse=Reuse.MINUTES, max_seconds=900),
)  # fmt: skip
SESSION, MINUTES = Scope(reuse=Reuse.SESSION, seconds=900), Scope(reuse=Reuse.MINUTES, seconds=900)


@pytest.mark.parametrize(
    ("changes", "scope", "words"),
    [
        ({}, ONCE, ""),
        ({}, SESSION, "until 08:15 UTC, without asking again: get pods/exec shop/web-1 in container db -- psql -c"
         " select 1 on prod; with the same options and body, of this very object, by agent in this session"),
        ({"offer": Offer(reuse=Reuse.SESSION, max_seconds=900, any_name=True)}, SESSION,
         "until 08:15 UTC, without asking again: get pods/exec shop/any name in container db -- psql -c select 1 on"
         " prod; with the same options and body, whatever the name, by agent in this session"),
        ({"argv": (), "container": ""}, MINUTES, "until 08:15 UTC, without asking again: get pods/exec shop/web-1 on"
         ' prod; with the same options and body, of this very object, by agent in any session with the intent "INC-7"'),
        ({"argv": (), "container": "", "intent": "", "name": ""}, MINUTES, "until 08:15 UTC, without asking again: get"
         " pods/exec shop on prod; with the same options and body, of this very object, by agent in any session without"
         " an intent"),
    ],
)  # fmt: skip
def test_what_it_also_allows(changes: dict[str, Any], scope: Scope, words: str) -> None:
    assert allows_again(replace(ASK, **changes), scope, NOW + 900) == words


def test_only_what_the_rules_allow_is_offered() -> None:
    assert offers(ASK) == [SESSION, MINUTES]
    assert offers(replace(ASK, offer=Offer(reuse=Reuse.SESSION, max_seconds=900))) == [SESSION]
    assert offers(replace(ASK, offer=Offer())) == []


def approval(state: State, reuse: Reuse = Reuse.NEVER, **changes: Any) -> Approval:
    values: dict[str, Any] = {
        "id": "abcd2345", "digest": "d", "asked_at": NOW, "expires_at": NOW + 900, "answered_at": NOW,
        "approver": "https://idp#alice",
    }  # fmt: skip
    return Approval(state=state, reuse=reuse, **values | changes)


@pytest.mark.parametrize(
    ("found", "now", "words"),
    [
        (approval(State.CONSUMED), NOW, ""),
        (approval(State.STANDING, Reuse.SESSION, uses=3), NOW, "until 08:15 UTC for this session, used 3 times"),
        (approval(State.STANDING, Reuse.MINUTES), NOW, "until 08:15 UTC for this caller, used 0 times"),
        (approval(State.STANDING, Reuse.SESSION), NOW + 900, "stood until 08:15 UTC for this session, used 0 times"),
        (approval(State.REVOKED, Reuse.SESSION), NOW, "stood until 08:15 UTC for this session, used 0 times"),
    ],
)
def test_for_what_it_stands(found: Approval, now: float, words: str) -> None:
    assert stands(found, now) == words


def test_what_was_decided_before() -> None:
    cases = [
        Case(approval=approval(State.DENIED, note="read the logs"), ask=ASK),
        Case(approval=approval(State.CONSUMED), ask=replace(ASK, requester_sub="other", argv=(), namespace="")),
        Case(approval=approval(State.REVOKED, note="revoked by bob: over"), ask=ASK),
    ]
    assert earlier(cases, ASK) == [
        "2027-01-15T08:00Z denied by https://idp#alice: read the logs [shop/web-1 -- psql -c select 1 for the same"
        " requester]",
        "2027-01-15T08:00Z approved by https://idp#alice [web-1 for other]",
        "2027-01-15T08:00Z revoked by https://idp#alice: revoked by bob: over [shop/web-1 -- psql -c select 1 for the"
        " same requester]",
    ]


def test_how_many_have_agreed() -> None:
    case = Case(approval=approval(State.PENDING), ask=replace(ASK, needed=(Needed(rule="r", count=2),)))
    assert agreed(case) == "0 of 2"


def test_what_a_run_is_called() -> None:
    assert run_words(2, "kubectl apply").startswith("2 questions of one run of kubectl apply, as it says")
    assert "of one run of one command" in run_words(3, "")


def test_a_run_is_of_one_session() -> None:
    one = Case(approval=approval(State.PENDING), ask=replace(ASK, run="1"))
    first, other = (replace(one, ask=replace(one.ask, session=each)) for each in ("s1", "s2"))
    assert together([first, other, first], run_of) == [[first, first], [other]]
