from __future__ import annotations

import pytest

from addons.core import throttle
from addons.core.throttle import Throttle


def test_so_many_in_so_many_seconds_each() -> None:
    limit = Throttle(2, 60)
    assert [limit.allows("a", now) for now in (0, 1, 2, 59)] == [True, True, False, False]
    assert limit.allows("b", 59)
    assert [limit.allows("a", now) for now in (60, 61, 62)] == [True, True, False]


def test_who_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST", 2)
    limit = Throttle(1, 60)
    assert [limit.allows(who, 0) for who in ("a", "b", "a", "c", "b", "a")] == [True, True, False, True, True, True]
