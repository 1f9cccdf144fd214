"""A recorded terminal as plain text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addons.core.cast_view import told


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([[1, "i", "lx\x7fs\r"]], [("typed", "ls", 1)]),
        ([[1, "i", "l"], [0.5, "i", "s\r"]], [("typed", "ls", 1.5)]),
        ([[1, "o", "a\x1b[2J\u202e\r\n"]], [("printed", "a\\x1b[2J\\u202e\n", 1)]),
        ([[1, "x", "3"]], [("note", "\n[exit status 3]\n", 1)]),
        ([[1, "m", "n\x1b"]], [("note", "\n[n\\x1b]\n", 1)]),
        ([[1, "r", "80x24"], ["x", "o", "a"], 5, [1]], []),
    ],
)
def test_what_is_told(events: list[Any], expected: list[Any]) -> None:
    assert list(told(["torn {", *map(json.dumps, events)], tty=True)) == expected
