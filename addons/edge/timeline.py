"""Part of a session's audit log, as calls: from a place in the file on, or around one. For threads: it reads files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson

from addons.core.audit import Stage
from addons.core.timeline import Entry, entry
from addons.edge.audit_log import AUDIT_FILE
from addons.edge.search_rows import whole_lines

LIMIT = 100
_BACK_BYTES = 1024 * 1024
_AHEAD_BYTES = 32 * 1024 * 1024
"""How far the end of a call is looked for."""
_FIND_BYTES = 1024 * 1024 * 1024
_AROUND = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`before` and `after` are where the parts next to this one begin, -1 for nowhere; `here` is the call asked for."""

    entries: list[Entry]
    before: int
    after: int
    here: str = ""


def window(folder: Path, start: int = 0, limit: int = LIMIT) -> Window:
    """The calls from an offset on, each with its end as far as that is found; within a line, from the next one on."""
    try:
        with (folder / AUDIT_FILE).open("rb") as file:
            return _window(file, _line_at(file, start), limit, "")
    except FileNotFoundError:
        return Window(entries=[], before=-1, after=-1)


def around(folder: Path, offset: int, limit: int = LIMIT) -> Window:
    """The calls around the event at an offset, whose call is `here`."""
    try:
        with (folder / AUDIT_FILE).open("rb") as file:
            offset = _line_at(file, offset)
            here = next((_id(event, offset) for _, event in _events(file, offset, offset + 1)), "")
            return _window(file, _back(file, offset, _AROUND), limit, here)
    except FileNotFoundError:
        return Window(entries=[], before=-1, after=-1)


def offset_of(folder: Path, call: str) -> int:
    """Where the first event of a call is; 0 if it is not found."""
    wanted, before = call.encode(), 0
    try:
        with (folder / AUDIT_FILE).open("rb") as file:
            for end, line in whole_lines(file, 0, _FIND_BYTES):
                if wanted in line and (event := _parsed(line)) is not None and _id(event, -1) == call:
                    return before
                before = end
    except FileNotFoundError:
        pass
    return 0


def _window(file: BufferedReader, start: int, limit: int, here: str) -> Window:
    begun_before = {_id(event, place) for place, event in _events(file, _back(file, start, limit), start)
                    if event.get("stage") == Stage.REQUEST_RECEIVED} - {here}  # fmt: skip
    calls: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    after = -1
    for place, event in _events(file, start, start + _AHEAD_BYTES):
        call = _id(event, place)
        if call in calls:
            calls[call].append((place, event))
        elif after < 0 and call not in begun_before:
            if len(calls) < limit:
                calls[call] = [(place, event)]
            else:
                after = place
        if after >= 0 and all(found[-1][1].get("stage") in _LAST for found in calls.values()):
            break
    found = [entry(each[0][0], [event for _, event in each]) for each in calls.values()]
    return Window(entries=found, before=_back(file, start, limit) if start else -1, after=after, here=here)


_LAST = (Stage.RESPONSE_COMPLETE, Stage.PANIC)


def _events(file: BufferedReader, start: int, end: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Those that begin between two places."""
    place = start
    for after, line in whole_lines(file, start, end - start):
        if (event := _parsed(line)) is not None:
            yield place, event
        place = after


def _back(file: BufferedReader, start: int, limit: int) -> int:
    """Where a window begins that ends before `start` and has so many calls, as far as it is looked for."""
    first = max(0, start - _BACK_BYTES)
    place = _line_at(file, first)
    begins: dict[str, int] = {}
    for offset, event in _events(file, place, start):
        begins.setdefault(_id(event, offset), offset)
    return [*begins.values()][-limit] if len(begins) >= limit else place


def _line_at(file: BufferedReader, offset: int) -> int:
    """The offset itself if a line begins there, else that of the next line."""
    if offset <= 0:
        return 0
    file.seek(offset - 1)
    return offset - 1 + len(file.readline())


def _id(event: dict[str, Any], place: int) -> str:
    return str(event.get("auditID") or f"at {place}")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
