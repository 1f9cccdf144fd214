from __future__ import annotations

from typing import Any

import pytest

from addons.core.difference import difference
from addons.core.notify.wording import Change, bounded, change, what
from tests.core.notify.cases import case


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({}, "connect pods/exec shop/web-1 -- sh -c id on prod", id="all"),
        pytest.param({"argv": (), "namespace": "", "name": ""}, "connect pods/exec on prod", id="little"),
        pytest.param(
            {"argv": ("a\nb\x1b[2K", "\u202e")}, r"connect pods/exec shop/web-1 -- a\nb\x1b[2K \u202e on prod"
        ),
    ],
)
def test_a_request_as_one_line(changes: dict[str, Any], line: str) -> None:
    assert what(case(**changes).ask) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("12345", "12345"), ("123456", "12345… 1 more characters"), ("\x1b[2J", r"\x1b[… 2 more characters")],
)  # fmt: skip
def test_what_is_too_long_says_by_how_much(text: str, shown: str) -> None:
    assert bounded(text, 5) == shown


def test_a_difference_is_counted_whole_and_shown_in_part() -> None:
    diff = difference({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    lines = diff.split("\n")
    assert lines[:2] == ["--- before", "+++ after"]
    whole = change(diff)
    assert whole == Change(added=2, removed=1, lines=tuple(lines), more_lines=0)
    assert change(diff, 3) == Change(added=2, removed=1, lines=tuple(lines[:3]), more_lines=len(lines) - 3)


def test_what_looks_like_a_header_is_counted_further_on() -> None:
    lines = ["! the first 2 of 9 lines", "--- before", "+++ after", "+++ after", "--- before", "+\u202eevil"]
    found = change("\n".join(lines), width=10)
    assert (found.added, found.removed) == (2, 1)
    assert found.lines[0] == "! the firs… 14 more characters"
    assert found.lines[-1] == r"+\u202eevi… 1 more characters"


def test_no_difference() -> None:
    assert change("") == Change(added=0, removed=0, lines=(), more_lines=0)
    assert change("+a").added == 1
