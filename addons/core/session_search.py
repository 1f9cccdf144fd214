"""Which sessions an investigator looks for: by whose they were, by one of their calls, by what a terminal carried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from addons.core.audit import timestamp

_AGO = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FACETS = ("verb", "resource", "namespace", "verdict", "rule")
"""What one event must have all of."""
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for. Of patterns (`*`, `?`, `[…]`) one must match, if there are any; times are as in events."""

    who: Sequence[str] = ()
    connection: Sequence[str] = ()
    verb: Sequence[str] = ()
    resource: Sequence[str] = ()
    namespace: Sequence[str] = ()
    verdict: Sequence[str] = ()
    rule: Sequence[str] = ()
    since: str = ""
    until: str = ""
    text: str = ""

    @property
    def of_events(self) -> bool:
        """True if events have to be looked at."""
        return any((self.verb, self.resource, self.namespace, self.verdict, self.rule, self.since, self.until))

    def session(self, about: Mapping[str, Any]) -> bool:
        """True for a session of whom is looked for: the caller, whom it acts for, who owns it."""
        identity = about.get("identity")
        who = identity if isinstance(identity, dict) else {"sub": "unidentified"}
        names = [str(who.get(name) or "") for name in ("sub", "act", "owner")]
        return wanted(self.who, names) and wanted(self.connection, [str(about.get("connection", ""))])

    @property
    def patterns(self) -> tuple[Sequence[str], ...]:
        """What is looked for in each of the `FACETS`."""
        return self.verb, self.resource, self.namespace, self.verdict, self.rule

    def event(self, event: Mapping[str, Any]) -> bool:
        """True for an event that has all that is looked for."""
        when, names = facets(event)
        return (
            all(map(wanted, self.patterns, names))
            and (not self.since or when >= self.since)
            and (not self.until or "" < when < self.until)
        )


def facets(event: Mapping[str, Any]) -> tuple[str, tuple[Names, ...]]:
    """When an event was, and by which names it is found, for each of the `FACETS`."""
    notes, ref = _mapping(event.get("annotations")), _mapping(event.get("objectRef"))
    return str(event.get("stageTimestamp", "")), (
        (str(event.get("verb", "")),),
        _resource(ref),
        (str(ref.get("namespace", "")),),
        (str(notes.get("chaperone.dev/decision", "")),),
        (str(notes.get("chaperone.dev/rule", "")),),
    )


def wanted(patterns: Sequence[str], names: Iterable[str]) -> bool:
    """True if one of the patterns matches one of the names, or there is no pattern."""
    return not patterns or any(name and fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _resource(ref: Mapping[str, Any]) -> Names:
    """The names an object's kind goes by: `pods`, `pods/exec`, `deployments.apps`."""
    resource, sub, group = (str(ref.get(name, "")) for name in ("resource", "subresource", "apiGroup"))
    return resource, f"{resource}/{sub}" if sub else "", f"{resource}.{group}" if group else ""


def moment(text: str, now: float) -> str:
    """A time as events have it, from "2026-01-31", "2026-01-31T12:00Z" (UTC if it does not say) or, ago, "2h".

    Raises ValueError.
    """
    if (ago := _AGO.fullmatch(text)) is not None:
        return timestamp(now - int(ago[1]) * _SECONDS[ago[2]])
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no time: write 2026-01-31, 2026-01-31T12:00Z, or how long ago: 2h") from error
    return timestamp((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
