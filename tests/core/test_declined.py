"""A short memory."""

from __future__ import annotations

from addons.core.declined import SECONDS, Declined


def test_for_a_moment_and_no_longer() -> None:
    declined = Declined()
    declined.add("a", 100)
    assert declined.lately("a", 100 + SECONDS - 1)
    assert not declined.lately("a", 100 + SECONDS)
    assert not declined.lately("b", 100)
    declined.add("b", 200)
    assert list(declined._until) == ["b"]
