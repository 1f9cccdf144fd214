"""What channels say of a question: its texts escaped and bounded, and nothing left out without saying how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from addons.core.approval import Ask
from addons.core.printable import printable, printable_lines

MAX_TEXT = 1000
MAX_LINES = 200
MAX_WIDTH = 500
_HEADERS = ("--- before", "+++ after")


def what(ask: Ask) -> str:
    """The request as one line for people, whole."""
    place = "/".join(part for part in (ask.namespace, ask.name) if part)
    words = [ask.verb, ask.resource, place, *(["--", *ask.argv] if ask.argv else []), "on", ask.connection]
    return " ".join(printable(word) for word in words if word)


def bounded(text: str, most: int = MAX_TEXT) -> str:
    """On one line, escaped, and cut where it is too long: then it says by how much."""
    return _cut(printable(text), most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a write changes. `lines` are escaped; `added` and `removed` count all lines of the difference."""

    added: int
    removed: int
    lines: tuple[str, ...]
    more_lines: int


def change(diff: str, most: int = MAX_LINES, width: int = MAX_WIDTH) -> Change:
    """The first lines of a difference, and how many more there are."""
    lines = printable_lines(diff).split("\n") if diff else []
    changed = _without_headers(lines)
    return Change(
        added=sum(line.startswith("+") for line in changed),
        removed=sum(line.startswith("-") for line in changed),
        lines=tuple(_cut(line, width) for line in lines[:most]),
        more_lines=max(0, len(lines) - most),
    )


def _without_headers(lines: Sequence[str]) -> Sequence[str]:
    """Headers are where a difference begins; further on, what looks like one is a line of an object."""
    start = 1 if lines and lines[0].startswith("! ") else 0  # core/difference.py: not all lines are there
    return lines[start + 2 :] if tuple(lines[start : start + 2]) == _HEADERS else lines


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… {len(text) - most} more characters"
