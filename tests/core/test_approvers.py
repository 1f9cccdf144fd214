"""Several people who have to agree: different ones, of the right groups, and nobody twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addons.core.approval_terms import ONCE, Needed
from addons.core.approvers import Vote, has_agreed, missing, person_of, progress, stranger, vote
from addons.core.identity import Identity

ALICE = Identity(iss="https://idp", sub="alice", aud=(), exp=1, groups=("oncall", "staff"))
BOB = replace(ALICE, sub="bob", groups=("security",))
CAROL = replace(ALICE, sub="carol", groups=())
TWO = (Needed(rule="two", count=2),)
ONCALL = (Needed(rule="two", groups=("oncall",), count=2),)
BOTH = (Needed(rule="a", groups=("oncall",)), Needed(rule="b", groups=("security",)))


def votes(needed: tuple[Needed, ...], *people: Identity) -> list[Vote]:
    return [vote(needed, each, "", ONCE, 10) for each in people]


@pytest.mark.parametrize(
    ("needed", "people", "left"),
    [
        ((), [], 1),
        ((), [CAROL], 0),
        (TWO, [ALICE], 1),
        (TWO, [ALICE, CAROL], 0),
        (ONCALL, [ALICE, BOB], 1),
        (ONCALL, [ALICE, replace(ALICE, sub="dave")], 0),
        (BOTH, [ALICE], 1),
        (BOTH, [ALICE, BOB], 0),
        (BOTH, [replace(ALICE, groups=("oncall", "security"))], 0),
    ],
)
def test_how_many_are_missing(needed: tuple[Needed, ...], people: list[Identity], left: int) -> None:
    assert sum(each.count for each in missing(needed, votes(needed, *people))) == left


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ALICE, True),
        (replace(ALICE, groups=("security",)), True),
        (replace(ALICE, claims={"sub": "internal-7"}), True),
        (replace(ALICE, sub="other", claims={"sub": "alice"}), True),
        (replace(ALICE, iss="https://other"), False),
        (replace(ALICE, sub="al", iss="https://other", claims={"email": "Alice@example.com"}), True),
        (replace(BOB, claims={"email": "bob@example.com"}), False),
        (replace(BOB, claims={"email": ["alice@example.com"]}), False),
    ],
)
def test_nobody_counts_twice(other: Identity, same: bool) -> None:
    first = replace(ALICE, claims={"email": "alice@example.com"})
    assert has_agreed(votes(TWO, first), other) is same


def test_only_groups_that_count_are_kept() -> None:
    (kept,) = votes(ONCALL, ALICE)
    assert (kept.groups, kept.approver, kept.at) == (("oncall",), "https://idp#alice", 10)
    assert person_of(ALICE) == ("https://idp#alice",)


def test_strangers() -> None:
    assert stranger((), CAROL) == stranger(TWO, CAROL) == stranger(BOTH, BOB) == ""
    assert stranger(BOTH, CAROL) == "only members of these groups decide: oncall, security"


def test_how_far_it_has_got() -> None:
    assert progress((), []) == ""
    assert progress(TWO, []) == "0 of 2"
    assert progress(ONCALL, votes(ONCALL, ALICE)) == "1 of 2 of oncall, by https://idp#alice"
    three = votes(BOTH, ALICE, replace(ALICE, sub="dave"), BOB)
    assert progress(BOTH, three).startswith("1 of 1 of oncall; 1 of 1 of security, by https://idp#alice, ")
