"""What a session did as a person reads it: one entry per call, out of the events of its stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from addons.core.audit import Stage

_PREFIX = "chaperone.dev/"
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A call. Times are as in events, "" for none; everything is untrusted text. `offset`: of its first event here."""

    id: str
    offset: int
    received: str
    ended: str
    """"" while it goes on, as far as the events tell."""
    user: str
    verb: str
    what: str
    """The object, or the path of what is none."""
    argv: tuple[str, ...]
    verdict: str
    risk: str
    rule: str
    reason: str
    code: int
    milliseconds: float | None
    approver: str
    command: str
    cast: str
    retry_of: str
    stream_at: float
    """When its stream began, in Unix seconds; 0 for none."""


def entries(events: Iterable[tuple[int, Event]]) -> list[Entry]:
    """One entry per call, in the order of their first events; each comes with its offset in the log."""
    calls: dict[str, list[tuple[int, Event]]] = {}
    for offset, event in events:
        calls.setdefault(str(event.get("auditID") or f"at {offset}"), []).append((offset, event))
    return [entry(found[0][0], [event for _, event in found]) for found in calls.values()]


def entry(offset: int, events: Sequence[Event]) -> Entry:
    """The call of these events, at least one; what a later one says counts."""
    last, notes = events[-1], _mapping(events[-1].get("annotations"))
    stages = {str(event.get("stage")): event for event in events}
    received, ended = str(last.get("requestReceivedTimestamp", "")), _ended(stages)
    code = _mapping(last.get("responseStatus")).get("code")
    begun = seconds(str(stages.get(Stage.RESPONSE_STARTED, {}).get("stageTimestamp", "")))
    return Entry(
        id=str(last.get("auditID", "")),
        offset=offset,
        received=received,
        ended=ended,
        user=str(_mapping(last.get("user")).get("username", "")),
        verb=str(last.get("verb", "")),
        what=_what(last),
        argv=_argv(notes),
        verdict=_note(notes, "decision"),
        risk=_note(notes, "risk"),
        rule=_note(notes, "rule"),
        reason=_note(notes, "reason"),
        code=code if isinstance(code, int) else 0,
        milliseconds=_between(received, ended),
        approver=_note(notes, "approver"),
        command=_note(notes, "command"),
        cast=_note(notes, "cast") or _cast(last),
        retry_of=_note(notes, "retry-of"),
        stream_at=begun,
    )


def seconds(time: str) -> float:
    """A time of an event as Unix seconds; 0 for what is none."""
    try:
        return max(0.0, datetime.fromisoformat(time).timestamp())
    except (ValueError, OverflowError):
        return 0.0


def words(found: Entry) -> list[str]:
    """An entry in a line of text."""
    code = str(found.code) if found.code else ""
    argv = ["--", *found.argv] if found.argv else []
    rule = f"({found.rule})" if found.rule else ""
    return [
        " ".join(filter(None, [found.verb, found.what, *argv])),
        code,
        f"{found.verdict} {rule}".strip(),
        found.user,
    ]


def _ended(stages: Mapping[str, Event]) -> str:
    last = stages.get(Stage.RESPONSE_COMPLETE) or stages.get(Stage.PANIC) or {}
    return str(last.get("stageTimestamp", ""))


def _between(received: str, ended: str) -> float | None:
    first, last = seconds(received), seconds(ended)
    return round((last - first) * 1000, 1) if first and last else None


def _what(event: Event) -> str:
    ref = _mapping(event.get("objectRef"))
    if not ref:
        return str(event.get("requestURI", ""))
    resource, sub, group = (str(ref.get(name, "")) for name in ("resource", "subresource", "apiGroup"))
    kind = (f"{resource}.{group}" if group else resource) + (f"/{sub}" if sub else "")
    place = "/".join(str(ref[name]) for name in ("namespace", "name") if ref.get(name))
    return f"{kind} {place}".strip()


def _cast(event: Event) -> str:
    """The name of the recording of an exec or attach that goes on; the event that ends it says it."""
    sub = _mapping(event.get("objectRef")).get("subresource")
    running = event.get("stage") == Stage.RESPONSE_STARTED
    return f"exec-{event.get('auditID', '')}.cast" if running and sub in ("exec", "attach") else ""


def _argv(notes: Event) -> tuple[str, ...]:
    try:
        found = orjson.loads(_note(notes, "argv") or "[]")
    except ValueError:
        found = [_note(notes, "argv")]  # too long to be whole
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _note(notes: Event, name: str) -> str:
    return str(notes.get(_PREFIX + name, ""))


def _mapping(value: Any) -> Event:
    return value if isinstance(value, dict) else {}
