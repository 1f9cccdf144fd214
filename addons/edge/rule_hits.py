"""How often each rule decided of late, from the index of what agents did (`search_schema.py`): one bounded query."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from addons.core.audit import timestamp
from addons.edge.search_schema import reading

SECONDS = 3.0
KNOWN_SECONDS = 30.0
DAY, WEEK = 86400.0, 7 * 86400.0
_QUERY = """
SELECT rules.names, verdicts.names, sum(event.time >= :day), count(*), max(event.time), session.name
FROM event
JOIN word AS rules ON rules.id = event.rule
JOIN word AS verdicts ON verdicts.id = event.verdict
JOIN session ON session.id = event.session
WHERE event.time >= :week GROUP BY event.rule, event.verdict
"""
"""With one max(), the other columns are of that row. Source: SQLite, "Bare columns in an aggregate query"."""


@dataclass(slots=True, kw_only=True)
class Hits:
    """Of one rule: decisions by verdict in a day and in a week; the last one's time (as in events) and session."""

    day: dict[str, int] = field(default_factory=dict)
    week: dict[str, int] = field(default_factory=dict)
    last_at: str = ""
    session: str = ""


def rule_hits(state: Path, now: float) -> Mapping[str, Hits]:
    """By rule; one that decided nothing is not among them. Raises NoIndex, SearchTooLong."""
    times = {"day": timestamp(now - DAY), "week": timestamp(now - WEEK)}
    with reading(state, SECONDS) as connection:
        rows = connection.execute(_QUERY, times).fetchall()
    found: dict[str, Hits] = {}
    for rules, verdicts, day, week, last_at, session in rows:
        (verdict,) = json.loads(verdicts)
        for name in filter(None, json.loads(rules)):
            hits = found.setdefault(name, Hits())
            hits.week[verdict] = hits.week.get(verdict, 0) + week
            if day:
                hits.day[verdict] = hits.day.get(verdict, 0) + day
            if last_at > hits.last_at:
                hits.last_at, hits.session = last_at, session
    return found


class HitCounts:
    """The same for all who ask within half a minute. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: Mapping[str, Hits] = {}
        self._counted_at = float("-inf")
        self._counting = asyncio.Lock()

    async def get(self, state: Path) -> Mapping[str, Hits]:
        """By rule. Raises NoIndex, SearchTooLong."""
        async with self._counting:
            if self._now() >= self._counted_at + KNOWN_SECONDS:
                self._known = await asyncio.to_thread(rule_hits, state, self._now())
                self._counted_at = self._now()
            return self._known
