"""What a write changes, for the human who is asked; nothing goes missing silently (B-81)."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.difference import MAX_LINES, MAX_WIDTH, difference


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        pytest.param(None, None, [], id="nothing"),
        pytest.param({"a": 1}, {"a": 1}, [], id="equal"),
        pytest.param({"b": 1, "a": 2}, {"a": 2, "b": 1}, [], id="order-does-not-count"),
        pytest.param({"a": 1}, {"a": 2}, ['-  "a": 1', '+  "a": 2'], id="changed"),
        pytest.param(None, {"a": 1}, ['+  "a": 1'], id="created"),
        pytest.param({"a": 1}, None, ['-  "a": 1'], id="deleted"),
        pytest.param({"a": ""}, {"a": "\x1b[2J\u202e"}, ['+  "a": "\\u001b[2J\\u202e"'], id="hostile-text-is-escaped"),
    ],
)
def test_differences(before: dict[str, Any] | None, after: dict[str, Any] | None, shown: list[str]) -> None:
    lines = difference(before, after).splitlines()
    assert set(shown) <= set(lines)
    assert bool(lines) is bool(shown)


def test_a_long_difference_says_so_first() -> None:
    lines = difference(None, {str(number): number for number in range(2 * MAX_LINES)}).splitlines()
    assert lines[0].startswith(f"! the first {MAX_LINES} of ")
    assert len(lines) == MAX_LINES + 1


def test_a_long_line_says_so() -> None:
    line = difference(None, {"a": "x" * 2 * MAX_WIDTH}).splitlines()[-2]
    assert line.endswith("characters)")
    assert len(line) < MAX_WIDTH + 40
