from __future__ import annotations

import pytest

from addons.core.notify.outbox import DONE, LEASE_SECONDS, MAX_TRIES, SEND_SECONDS, Stage, given_up, retry_at


@pytest.mark.parametrize(
    ("tries", "chance", "seconds"),
    [(1, 0, 0.5), (1, 1, 1), (2, 0, 1), (4, 0.5, 6), (8, 1, 120), (MAX_TRIES, 0, 60), (MAX_TRIES, 1, 120)],
)
def test_later_and_later_within_bounds(tries: int, chance: float, seconds: float) -> None:
    assert retry_at(1000.0, tries, chance) == 1000.0 + seconds


def test_not_for_ever() -> None:
    assert [given_up(tries) for tries in (1, MAX_TRIES - 1, MAX_TRIES)] == [False, False, True]
    assert sum(retry_at(0, tries, 1) for tries in range(1, MAX_TRIES)) < 15 * 60


def test_a_try_ends_before_another_process_takes_over() -> None:
    assert SEND_SECONDS * 2 < LEASE_SECONDS
    assert set(DONE) | set(DONE.values()) == set(Stage)
