"""What to do about errors of S3 and KMS, and how long to wait after them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.archive.trouble import MOST_SECONDS, backoff, remedy


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("RequestTimeTooSkewed", "clock"),
        ("NoSuchBucket", "make the bucket"),
        ("AccessDenied", "Storage"),
        ("Odd", "look"),
    ],
)
def test_an_error_says_what_to_do(code: str, what: str) -> None:
    assert what in remedy(code)


@pytest.mark.parametrize(
    ("failures", "jitter", "seconds"),
    [
        (1, 0, 0.5),
        (1, 1, 1),
        (2, 1, 2),
        (3, 0, 2),
        (3, 0.5, 3),
        (6, 1, 32),
        (7, 1, MOST_SECONDS),
        (10_000, 0, MOST_SECONDS / 2),
        (10_000, 1, MOST_SECONDS),
    ],
)
def test_waiting_is_doubled_up_to_a_minute(failures: int, jitter: float, seconds: float) -> None:
    assert backoff(failures, jitter) == seconds


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waiting_grows_and_is_spread(failures: int, jitter: float) -> None:
    least, most = backoff(failures, 0), backoff(failures, 1)
    assert least <= backoff(failures, jitter) <= most <= MOST_SECONDS
    assert most == 2 * least
    assert backoff(failures + 1, 0) >= least
