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


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waiting_grows_and_is_spread(failures: int, jitter: float) -> None:
    least, most = backoff(failures, 0), backoff(failures, 1)
    assert least <= backoff(failures, jitter) <= most <= MOST_SECONDS
    assert most == 2 * least
    assert backoff(failures + 1, 0) >= least
