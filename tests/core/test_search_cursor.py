"""Places in lists that were found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.search_cursor import Place, read, written


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), "W10"),
        (("a", 1), "WyJhIiwxXQ"),
        (("2026-01-01T00:00:00Z", 0, 2**60), "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsMCwxMTUyOTIxNTA0NjA2ODQ2OTc2XQ"),
        (("é?>",), "WyLDqT8-Il0"),
    ],
)
def test_a_place_is_written_for_an_address_and_read_again(place: Place, text: str) -> None:
    assert written(place) == text
    assert read(text, [type(part) for part in place]) == place


@given(st.text(), st.integers(0, 2**60), st.integers(0, 2**60))
def test_a_place_is_what_was_written(time: str, session: int, offset: int) -> None:
    assert read(written((time, session, offset)), (str, int, int)) == (time, session, offset)


@pytest.mark.parametrize("text", ["", "x", "é", "W10", "bnVsbA", written((1, "a", 2)), written(("a", 1)), "W1sxXSwyXQ"])
def test_what_nobody_was_given(text: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        read(text, (str, int, int))
