"""Places in lists that were found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.search_cursor import read, written


@given(st.text(), st.integers(0, 2**60), st.integers(0, 2**60))
def test_a_place_is_what_was_written(time: str, session: int, offset: int) -> None:
    assert read(written((time, session, offset)), (str, int, int)) == (time, session, offset)


@pytest.mark.parametrize("text", ["", "x", "é", "W10", "bnVsbA", written((1, "a", 2)), written(("a", 1)), "W1sxXSwyXQ"])
def test_what_nobody_was_given(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        read(text, (str, int, int))
