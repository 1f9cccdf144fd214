"""Hostile text is data (B-88, CVE-2021-25743)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("web-1 is grün", "web-1 is grün", id="ordinary"),
        pytest.param("\x1b[2J\x1b]0;x\x07", "\\x1b[2J\\x1b]0;x\\x07", id="escape-sequences"),
        pytest.param("a\u202eb", "a\\u202eb", id="bidi"),
        pytest.param("a\u200bb", "a\\u200bb", id="zero-width"),
        pytest.param("a\nb\rc", "a\\nb\\rc", id="line-ends"),
        pytest.param("\x9b31m", "\\x9b31m", id="8-bit-csi"),
        pytest.param("\udcff", "\\udcff", id="surrogate"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_and_tabs_stay() -> None:
    assert printable_lines("a\tb\nc\x1bd") == "a\tb\nc\\x1bd"


@given(st.text(st.characters(codec=None, categories=None)))
def test_nothing_else_comes_out(text: str) -> None:
    assert printable(text).isprintable()
    assert all(character.isprintable() or character in "\n\t" for character in printable_lines(text))
