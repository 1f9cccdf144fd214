"""A short memory of first tries."""

from __future__ import annotations

import pytest

from addons.core import attempts
from addons.core.attempts import SECONDS, Attempts


def test_a_second_try_is_known_once_and_for_a_moment() -> None:
    memory = Attempts()
    memory.failed("exec", "id-1", 100)
    assert memory.first_of("another", 100) == ""
    assert memory.first_of("exec", 100 + SECONDS - 1) == "id-1"
    assert memory.first_of("exec", 101) == "", "a third one is no second"
    memory.failed("exec", "id-2", 200)
    assert memory.first_of("exec", 200 + SECONDS) == ""


def test_the_last_first_try_counts() -> None:
    memory = Attempts()
    memory.failed("exec", "id-1", 100)
    memory.failed("exec", "id-2", 101)
    assert memory.first_of("exec", 102) == "id-2"


def test_what_is_over_is_forgotten_and_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOST", 2)
    memory = Attempts()
    memory.failed("a", "1", 100)
    memory.failed("b", "2", 101)
    memory.failed("c", "3", 101)
    assert list(memory._failed) == ["b", "c"]
    memory.failed("d", "4", 101 + SECONDS)
    assert list(memory._failed) == ["d"]
