"""Who came, how often a rule decided, how long a CA lasts: in words."""

from __future__ import annotations

import pytest

from addons.core.policy_view import DAY, SOON_SECONDS, Seen, Who, counts, ends_soon, identities, lasts


def seen(who: str, at: float, connection: str = "prod", *groups: str) -> Seen:
    return Seen(who=who, groups=groups, connection=connection, at=at)


def test_identities_are_those_of_all_their_sessions() -> None:
    found = identities([seen("a", 5, "prod", "old"), seen("b", 9), seen("a", 7, "test", "new"), seen("a", 6, "")])
    assert found == [
        Who(name="b", groups=(), connections=("prod",), sessions=1, last_at=9),
        Who(name="a", groups=("new",), connections=("prod", "test"), sessions=3, last_at=7),
    ]
    assert identities([]) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [({}, "none"), ({"deny": 1}, "1 deny"), ({"warn": 3, "deny": 12, "allow": 3}, "12 deny, 3 allow, 3 warn")],
)
def test_counts(given: dict[str, int], text: str) -> None:
    assert counts(given) == text


@pytest.mark.parametrize(
    ("expires_at", "text", "soon"),
    [
        (0.0, "unknown", False),
        (100.0, "expired", True),
        (100.0 + DAY - 1, "0 days", True),
        (100.0 + SOON_SECONDS, "30 days", False),
        (99.0, "expired", True),
    ],
)
def test_how_long_a_ca_lasts(expires_at: float, text: str, soon: bool) -> None:
    assert (lasts(expires_at, 100.0), ends_soon(expires_at, 100.0)) == (text, soon)
