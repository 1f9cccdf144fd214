"""What goes on right now, by the records that a gateway leaves for viewers (`edge/live.py`): who, what, since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A call that runs or waits for a human; `since` in Unix seconds. Everything is untrusted text."""

    call: str
    session: str
    user: str
    connection: str
    intent: str
    what: str
    why: str
    since: float
    waits: bool
    approval: str
    """The question that it waits for."""
    terminal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A session in which something goes on, or was done a short while ago; `last` is its last call in words."""

    session: str
    user: str
    connection: str
    intent: str
    last: str
    last_at: float
    running: tuple[Running, ...] = ()


def running(record: Mapping[str, Any]) -> Running | None:
    """The call of a record; None for one that says nothing of it."""
    told = _mapping(_mapping(record.get("metadata")).get("chaperone"))
    if not told.get("audit_id"):
        return None
    sub = _text(told, "subresource")
    kind = "/".join(filter(None, [_text(told, "resource"), sub]))
    place = "/".join(filter(None, [_text(told, "namespace"), _text(told, "name")]))
    created = record.get("timestamp_created")
    waits = record.get("marked") == ":hourglass_flowing_sand:"
    return Running(
        call=_text(told, "audit_id"),
        session=_text(told, "session"),
        user=_text(told, "user"),
        connection=_text(told, "connection"),
        intent=_text(told, "intent"),
        what=" ".join(filter(None, [_text(told, "verb"), kind, place])),
        why=_text(record, "comment"),
        since=float(created) if isinstance(created, int | float) else 0.0,
        waits=waits,
        approval=_text(told, "approval") if waits else "",
        terminal=sub in ("exec", "attach") and not waits,
    )


def active(found: Iterable[Running], lately: Iterable[Active]) -> list[Active]:
    """Sessions, those in which something goes on first, the longest running first; then the latest first."""
    sessions = {each.session: each for each in lately}
    calls: dict[str, list[Running]] = {}
    for each in sorted(found, key=lambda one: one.since):
        calls.setdefault(each.session, []).append(each)
    busy = [_with(sessions.pop(name, None), mine) for name, mine in calls.items()]
    return [*busy, *sorted(sessions.values(), key=lambda one: one.last_at, reverse=True)]


def _with(known: Active | None, calls: list[Running]) -> Active:
    first = calls[0]
    return Active(
        session=first.session,
        user=first.user,
        connection=first.connection,
        intent=first.intent,
        last=known.last if known is not None else "",
        last_at=known.last_at if known is not None else first.since,
        running=tuple(calls),
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
