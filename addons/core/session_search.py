"""Which sessions an investigator looks for: by whose they were, by one of their calls, by what a terminal carried."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from addons.core.audit import timestamp
from addons.core.typed import LineReader

_AGO = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|\r")
_PIECE = 64 * 1024
_CARRIED = 4 * 1024
"""Characters that are searched again with what follows them: a text, and the escapes in it, are shorter."""
MAX_TEXT = 1000


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
        return _any(self.who, *names) and _any(self.connection, str(about.get("connection", "")))

    def event(self, event: Mapping[str, Any]) -> bool:
        """True for an event that has all that is looked for."""
        notes, ref = _mapping(event.get("annotations")), _mapping(event.get("objectRef"))
        when = str(event.get("stageTimestamp", ""))
        return (
            _any(self.verb, str(event.get("verb", "")))
            and _any(self.resource, *_resource(ref))
            and _any(self.namespace, str(ref.get("namespace", "")))
            and _any(self.verdict, str(notes.get("chaperone.dev/decision", "")))
            and _any(self.rule, str(notes.get("chaperone.dev/rule", "")))
            and (not self.since or when >= self.since)
            and (not self.until or "" < when < self.until)
        )


def _any(patterns: Sequence[str], *values: str) -> bool:
    return not patterns or any(value and fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _resource(ref: Mapping[str, Any]) -> tuple[str, ...]:
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


def cast_has(text: str, lines: Iterable[str]) -> bool:
    """True if a cast's command, what was typed, line by line, or what was printed holds a text, whatever its case.

    Colours and the like do not count. Of a file that is no cast, or torn, what can be read counts.
    """
    wanted = text[:MAX_TEXT].casefold()
    return any(wanted in piece.casefold() for piece in _texts(lines))


def _texts(lines: Iterable[str]) -> Iterator[str]:
    events = iter(lines)
    header = _mapping(_parsed(next(events, "")))
    yield str(header.get("command", ""))
    reader = LineReader("tty" in header.get("tags", ()))
    printed = ""
    for line in events:
        match _parsed(line):
            case [_, "i", str(text)]:
                yield from reader.feed(text.encode("utf-8", "replace"))
            case [_, "o", str(text)]:
                printed += text
                if len(printed) >= _PIECE:
                    yield _ESCAPES.sub("", printed)
                    printed = printed[-_CARRIED:]
    yield from reader.feed(b"", ends=True)
    yield _ESCAPES.sub("", printed)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
