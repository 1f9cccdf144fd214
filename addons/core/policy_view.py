"""What the console's pages show of who came, the rules in force and the clusters, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DAY = 86400.0
SOON_SECONDS = 30 * DAY
"""Before a CA ends, in which somebody should have seen it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Somebody's session, as the record has it; `at` is when something of it was last recorded, in Unix seconds."""

    who: str
    groups: tuple[str, ...]
    connection: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Somebody, as all their sessions show them together."""

    name: str
    groups: tuple[str, ...]
    connections: tuple[str, ...]
    sessions: int
    last_at: float


def identities(seen: Iterable[Seen]) -> list[Who]:
    """Everybody who came, the latest first; their groups are those of their last session."""
    by_name: dict[str, list[Seen]] = {}
    for each in seen:
        by_name.setdefault(each.who, []).append(each)
    found = [_who(name, sorted(theirs, key=lambda each: each.at)) for name, theirs in by_name.items()]
    return sorted(found, key=lambda who: who.last_at, reverse=True)


def _who(name: str, theirs: list[Seen]) -> Who:
    return Who(
        name=name,
        groups=theirs[-1].groups,
        connections=tuple(sorted({each.connection for each in theirs if each.connection})),
        sessions=len(theirs),
        last_at=theirs[-1].at,
    )


def counts(by_verdict: Mapping[str, int]) -> str:
    """How often, by verdict, the most first: "12 deny, 3 warn"."""
    order = sorted(by_verdict.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{number} {verdict}" for verdict, number in order) or "none"


def lasts(expires_at: float, now: float) -> str:
    """How long a CA is good for, in words."""
    if not expires_at:
        return "unknown"
    left = int((expires_at - now) // DAY)
    return f"{left} days" if expires_at > now else "expired"


def ends_soon(expires_at: float, now: float) -> bool:
    """Whether somebody should do something about it."""
    return 0 < expires_at < now + SOON_SECONDS
