"""The text of a cast, in pieces that can be searched one by one: its command, what was typed, and what was printed.

Typed text is lines as far as the keys tell (`core/typed.py`); printed text has no colours and the like. Whatever is in
a piece is data. Neighbouring pieces overlap, so that any text of at most MAX_TEXT characters is whole in one of them.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import orjson

from addons.core.typed import LineReader

MAX_TEXT = 1000
"""Characters of a text that is looked for; the rest of a longer one is not."""
PIECE = 16 * 1024
"""Characters of a piece, at most."""
_AROUND = 100
_MAX_PENDING = 4 * 1024
"""Characters of an escape sequence; a longer one is text."""
_MARK_SECONDS = 0.1
_LONGEST, _LATEST = 1e9, 1e11
"""Seconds that a cast may last, and when it may begin, so that each of its times is one."""
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|\r")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[ -/]*)\Z")

COMMAND, TYPED, PRINTED = "command", "typed", "printed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`fresh`: how many characters the piece before has, too. `marks`: from which place on, which second."""

    kind: str
    text: str
    fresh: int = 0
    marks: tuple[tuple[int, float], ...] = ((0, 0.0),)

    def places(self, wanted: str) -> Iterator[int]:
        """Where the text, `folded`, begins in the piece; not where the piece before has it already."""
        text = self.text.casefold()
        if wanted not in text:
            return
        starts = _starts(self.text) if len(text) != len(self.text) else range(len(text))
        known = starts[self.fresh] if self.fresh else 0
        place = text.find(wanted, max(0, known - len(wanted) + 1))
        while place >= 0:
            yield bisect_right(starts, place) - 1
            place = text.find(wanted, place + len(wanted))

    def around(self, place: int, length: int) -> tuple[str, str, str]:
        """What is at a place, and what is before and after it on its line, shortened."""
        end = place + length
        begun = max(self.text.rfind("\n", 0, place) + 1, place - _AROUND)
        line_end = self.text.find("\n", end)
        ended = min(line_end if line_end >= 0 else len(self.text), end + _AROUND)
        return self.text[begun:place], self.text[place:end], self.text[end:ended]

    def seconds(self, place: int) -> float:
        """When what is at this place was typed or printed, in seconds since the cast began."""
        return self.marks[max(0, bisect_right(self.marks, (place, float("inf"))) - 1)][1]


def folded(text: str) -> str:
    """A text as it is looked for: whatever its case, no longer than MAX_TEXT."""
    return _clean(text[:MAX_TEXT]).casefold()


def cast_has(text: str, lines: Iterable[str]) -> bool:
    """True if a cast's command, what was typed, or what was printed holds a text, whatever its case.

    Of a file that is no cast, or torn, what can be read counts.
    """
    wanted = folded(text)
    return any(wanted in piece.text.casefold() for piece in pieces(lines))


def pieces(lines: Iterable[str]) -> Iterator[Piece]:
    """All of a cast."""
    reader = CastText()
    for line in lines:
        yield from reader.feed(line)
    yield from reader.rest()


@dataclass(slots=True)
class _Run:
    """Text that grows, and is given away piece by piece."""

    kind: str
    text: str = ""
    fresh: int = 0
    marks: list[tuple[int, float]] = field(default_factory=list)

    def add(self, text: str, seconds: float) -> list[Piece]:
        if not text:
            return []
        if not self.marks or seconds - self.marks[-1][1] >= _MARK_SECONDS:
            self.marks.append((len(self.text), seconds))
        given: list[Piece] = []
        for start in range(0, len(text), PIECE):  # an event may be long: what is held is not
            self.text += _clean(text[start : start + PIECE])
            while len(self.text) >= PIECE:
                given.append(self._give(PIECE))
                self._drop(PIECE - MAX_TEXT)
        return given

    def rest(self) -> list[Piece]:
        return [self._give(len(self.text))] if len(self.text) > self.fresh else []

    def _give(self, length: int) -> Piece:
        marks = tuple(mark for mark in self.marks if mark[0] < length)
        return Piece(kind=self.kind, text=self.text[:length], fresh=self.fresh, marks=marks)

    def _drop(self, length: int) -> None:
        last = max((mark for mark in self.marks if mark[0] <= length), default=(0, 0.0))
        self.marks = [(0, last[1]), *((place - length, at) for place, at in self.marks if place > length)]
        self.text, self.fresh = self.text[length:], MAX_TEXT


class CastText:
    """Reads a cast line by line, as far as it is written; `state` is how far it has come."""

    def __init__(self, state: bytes = b"") -> None:
        """From the beginning, or from a `state`. Raises ValueError for what is none."""
        self.started_at = 0.0
        """Unix seconds; 0 before the first line."""
        self._lines = 0
        self._tty, self._seconds, self._pending = False, 0.0, ""
        self._typed, self._printed, self._keys = _Run(TYPED), _Run(PRINTED), LineReader(False)
        if state:
            self._restore(orjson.loads(state))

    def feed(self, line: str) -> list[Piece]:
        """The pieces that are complete with this line of the file."""
        self._lines += 1
        found = _parsed(line)
        if self._lines == 1:
            return self._header(found)
        match found:
            case [int() | float() as interval, code, str(text)]:
                self._seconds = min(self._seconds + max(interval, 0.0), _LONGEST)
                if code == "i":
                    return self._typed.add(_lines(self._keys.feed(text.encode("utf-8", "replace"))), self._seconds)
                if code == "o":
                    return self._printed.add(self._without_escapes(text), self._seconds)
        return []

    def rest(self) -> list[Piece]:
        """What is in no piece yet; the reader does not change, and what goes on will be in other pieces."""
        typed, printed = _copy(self._typed), _copy(self._printed)
        return [
            *typed.add(_lines(LineReader.of(*self._keys.state()).feed(b"", ends=True)), self._seconds),
            *typed.rest(),
            *printed.add(self._pending, self._seconds),
            *printed.rest(),
        ]

    def state(self) -> bytes:
        """All that it knows, for another reader to go on."""
        runs = [[run.text, run.fresh, run.marks] for run in (self._typed, self._printed)]
        tty, line, escape, rest = self._keys.state()
        keys = [tty, line, escape, base64.b64encode(rest).decode()]
        return orjson.dumps([self.started_at, self._lines, self._tty, self._seconds, self._pending, runs, keys])

    def _restore(self, state: list[Any]) -> None:
        self.started_at, self._lines, self._tty, self._seconds, self._pending, runs, keys = state
        for run, (text, fresh, marks) in zip((self._typed, self._printed), runs, strict=True):
            run.text, run.fresh, run.marks = text, fresh, [(place, at) for place, at in marks]
        tty, line, escape, rest = keys
        self._keys = LineReader.of(tty, line, escape, base64.b64decode(rest))

    def _header(self, found: Any) -> list[Piece]:
        header: Mapping[str, Any] = found if isinstance(found, dict) else {}
        tags, timestamp = header.get("tags"), header.get("timestamp")
        self._tty = "tty" in tags if isinstance(tags, list) else False
        self._keys = LineReader(self._tty)
        self.started_at = float(timestamp) if isinstance(timestamp, int | float) and 0 <= timestamp < _LATEST else 0.0
        command = _clean(str(header.get("command", "")))
        starts = range(0, len(command), PIECE - MAX_TEXT)
        return [
            Piece(kind=COMMAND, text=command[start : start + PIECE], fresh=min(start, MAX_TEXT)) for start in starts
        ]

    def _without_escapes(self, text: str) -> str:
        """What follows the escape sequences before, and is none; one that goes on in the next event is kept back."""
        text = self._pending + text
        begun = _BEGUN.search(text, max(0, len(text) - _MAX_PENDING))
        place = begun.start() if begun is not None else len(text)
        self._pending = text[place:]
        return _ESCAPES.sub("", text[:place])


def _starts(text: str) -> Sequence[int]:
    """Where each character begins in the folded text: some fold into several."""
    return [0, *accumulate(len(character.casefold()) for character in text)][:-1]


def _copy(run: _Run) -> _Run:
    return _Run(run.kind, run.text, run.fresh, [*run.marks])


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _clean(text: str) -> str:
    """As an index can hold it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _parsed(line: str) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return None
