"""What several rules ask for together, and how far an approval may go at most."""

from __future__ import annotations

import pytest

from addons.core.approval_terms import (
    NO_OFFER,
    NO_TERMS,
    ONCE,
    Needed,
    Offer,
    Reuse,
    Scope,
    Terms,
    narrowest,
    needed,
    offer,
    too_wide,
)  # fmt: skip

SESSION = Terms(reuse=Reuse.SESSION, max_seconds=3600)
MINUTES = Terms(reuse=Reuse.MINUTES, max_seconds=900, any_name=True)


def test_only_rules_that_ask_for_more_than_anybody_are_named() -> None:
    rules = [("plain", NO_TERMS), ("two", Terms(count=2)), ("oncall", Terms(groups=("oncall",)))]
    assert needed(rules) == (Needed(rule="two", count=2), Needed(rule="oncall", groups=("oncall",)))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], NO_OFFER),
        ([NO_TERMS], NO_OFFER),
        ([SESSION, NO_TERMS], NO_OFFER),
        ([SESSION], Offer(reuse=Reuse.SESSION, max_seconds=3600)),
        ([MINUTES], Offer(reuse=Reuse.MINUTES, max_seconds=900, any_name=True)),
        ([SESSION, MINUTES], Offer(reuse=Reuse.SESSION, max_seconds=900)),
    ],
)
def test_the_narrowest_rule_counts(terms: list[Terms], expected: Offer) -> None:
    assert offer(terms) == expected


@pytest.mark.parametrize(
    ("offered", "scope", "why"),
    [
        (NO_OFFER, ONCE, ""),
        (NO_OFFER, Scope(reuse=Reuse.SESSION, seconds=60), "once only"),
        (offer([SESSION]), Scope(reuse=Reuse.SESSION, seconds=3600), ""),
        (offer([SESSION]), Scope(reuse=Reuse.SESSION, seconds=3601), "60 minutes at most"),
        (offer([SESSION]), Scope(reuse=Reuse.SESSION, seconds=0), "60 minutes at most"),
        (offer([SESSION]), Scope(reuse=Reuse.SESSION, seconds=-1), "60 minutes at most"),
        (offer([SESSION]), Scope(reuse=Reuse.MINUTES, seconds=60), "this session only"),
        (offer([MINUTES]), Scope(reuse=Reuse.MINUTES, seconds=900), ""),
        (offer([MINUTES]), Scope(reuse=Reuse.SESSION, seconds=900), ""),
        (offer([MINUTES]), Scope(reuse=Reuse.MINUTES, seconds=901), "15 minutes at most"),
    ],
)
def test_nobody_approves_more_than_the_rules_allow(offered: Offer, scope: Scope, why: str) -> None:
    assert (why in too_wide(offered, scope)) if why else too_wide(offered, scope) == ""


def test_of_several_people_the_most_careful_counts() -> None:
    session, minutes = Scope(reuse=Reuse.SESSION, seconds=300), Scope(reuse=Reuse.MINUTES, seconds=60)
    assert narrowest([session, minutes]) == Scope(reuse=Reuse.SESSION, seconds=60)
    assert narrowest([session, ONCE, minutes]) == ONCE


def test_in_words() -> None:
    assert Needed(rule="r", count=2).words() == "2"
    assert Needed(rule="r", groups=("a", "b"), count=2).words() == "2 of a or b"
