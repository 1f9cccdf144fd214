"""Freeze windows: times in which rules may treat changes differently. A window by itself refuses nothing; rules read
the names of the active ones as `frozen`.

Times of day are those on the wall in the window's time zone: when clocks change, a window is an hour longer or shorter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from addons.core.documents import Document, SpecModel, validate
from addons.core.guardrails.matching import COLLECTION_VERBS, Patterns, compile_patterns, fits
from addons.core.guardrails.models import Text
from addons.core.kube_request import KubeRequest
from addons.core.problem import Problem

KIND = "FreezeWindow"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _quoted(value: Any) -> Any:
    if isinstance(value, int):  # YAML 1.1 reads 18:00 as 18 times 60
        raise ValueError('put the time in quotes, as in "18:00": YAML reads it as a number otherwise')
    return value


TimeOfDay = Annotated[
    str, StringConstraints(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"), BeforeValidator(_quoted)
]


Moment = Annotated[
    datetime,
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}"}),
]
"""JSON Schema's `date-time` would demand an offset."""


class WeeklySpec(SpecModel):
    """One span of the week."""

    days: list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]] = Field(
        min_length=1, description="days on which it begins"
    )
    begin: TimeOfDay = Field(default="00:00", alias="from", description='when it begins, "HH:MM" in quotes')
    end: TimeOfDay = Field(
        default="24:00", alias="to", description="when it ends; a time that is not later than `from` is the next day's"
    )


class FreezeExampleSpec(SpecModel):
    """One moment and whether changes are frozen then."""

    expect: Literal["frozen", "open"] = Field(description="what the window must make of it")
    now: Moment = Field(description="without an offset, in the window's time zone")
    connection: Text = Field(default="test", description="name of the connection")
    namespace: str = Field(default="", description='"" is a cluster-scoped object')


class FreezeWindowSpec(SpecModel):
    """When, and for what, `frozen` names this window. Either `from` and `to`, or `weekly`."""

    description: Text = Field(description="what the freeze is for, in a sentence")
    time_zone: Text = Field(description="IANA name such as Europe/Berlin, for every time without an offset")
    begin: Moment | None = Field(default=None, alias="from", description="when it begins, if it happens once")
    end: Moment | None = Field(default=None, alias="to", description="when it ends")
    weekly: list[WeeklySpec] = Field(default=[], description="when, if it happens every week; any of these spans")
    connections: list[Text] = Field(default=[], description="connections it is for, with `*` as wildcard; default all")
    namespaces: list[str] = Field(
        default=[], description='namespaces it is for, with `*` as wildcard; "" is cluster-scoped; default all'
    )
    tests: list[FreezeExampleSpec] = Field(
        default=[], description="at least one moment in it and one outside; run whenever it is loaded"
    )

    @model_validator(mode="after")
    def _once_or_weekly(self) -> FreezeWindowSpec:
        once = (self.begin is not None, self.end is not None)
        if once not in ((True, True), (False, False)) or any(once) == bool(self.weekly):
            raise ValueError("either from and to, or weekly, must be given")
        return self


@dataclass(frozen=True, slots=True)
class _Span:
    """Weekdays (Monday is 0) on which it begins, and minutes of the day; `end` after 1440 is the next day's."""

    days: frozenset[int]
    begin: int
    end: int

    def covers(self, weekday: int, minute: int) -> bool:
        yesterday = (weekday - 1) % 7
        return (weekday in self.days and self.begin <= minute < self.end) or (
            yesterday in self.days and self.begin <= minute + 1440 < self.end
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """One compiled window: `once` in Unix seconds, or weekly `spans` of the local week."""

    name: str
    zone: ZoneInfo
    once: tuple[float, float] | None
    spans: tuple[_Span, ...]
    connections: Patterns
    namespaces: Patterns

    def active(self, now: float) -> bool:
        """True while it lasts."""
        if self.once is not None:
            return self.once[0] <= now < self.once[1]
        local = datetime.fromtimestamp(now, self.zone)
        minute = local.hour * 60 + local.minute
        return any(span.covers(local.weekday(), minute) for span in self.spans)

    def reaches(self, connection: str, namespace: str, everywhere: bool = False) -> bool:
        """True for what it is about. A request over all namespaces (`everywhere`) reaches those of the window, too."""
        return (not self.connections or fits(self.connections, connection)) and (
            not self.namespaces or everywhere or fits(self.namespaces, namespace)
        )


def frozen(windows: Iterable[FreezeWindow], request: KubeRequest, connection: str, now: float) -> tuple[str, ...]:
    """The names of the windows that a request falls into at `now` (Unix seconds)."""
    everywhere = request.verb in COLLECTION_VERBS and not request.namespace
    return tuple(
        window.name
        for window in windows
        if window.active(now) and window.reaches(connection, request.namespace, everywhere)
    )


def compile_windows(documents: Sequence[Document]) -> tuple[list[FreezeWindow], list[Problem]]:
    """The windows of these documents, and every mistake in them, tests included."""
    windows: dict[str, FreezeWindow] = {}
    problems: list[Problem] = []
    for document in documents:
        spec, found = validate(document, FreezeWindowSpec)
        problems += found
        if spec is None:
            continue
        window, mistakes = _window(document.name, spec)
        if document.name in windows:
            mistakes = [(("metadata", "name"), f"two freeze windows are named {document.name}"), *mistakes]
        if window is not None:
            windows.setdefault(document.name, window)
            mistakes += _failures(window, spec)
        problems += [document.problem(path, message) for path, message in mistakes]
    return list(windows.values()), problems


_Mistakes = list[tuple[tuple[str | int, ...], str]]


def _window(name: str, spec: FreezeWindowSpec) -> tuple[FreezeWindow | None, _Mistakes]:
    try:
        zone = ZoneInfo(spec.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None, [(("spec", "timeZone"), f"timeZone: {spec.time_zone} is no IANA time zone this machine knows")]
    once = None
    if spec.begin is not None and spec.end is not None:
        # Of an hour that happens twice, from the first until the end of the second.
        once = _at(spec.begin, zone), _at(spec.end.replace(fold=1), zone)
        if once[0] >= once[1]:
            return None, [(("spec", "to"), "to: must be later than from")]
    window = FreezeWindow(
        name=name,
        zone=zone,
        once=once,
        spans=tuple(map(_span, spec.weekly)),
        connections=compile_patterns(spec.connections),
        namespaces=compile_patterns(spec.namespaces),
    )
    return window, []


def _at(moment: datetime, zone: ZoneInfo) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _span(spec: WeeklySpec) -> _Span:
    begin, end = _minute(spec.begin), _minute(spec.end)
    return _Span(frozenset(_DAYS.index(day) for day in spec.days), begin, end if end > begin else end + 1440)


def _minute(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def _failures(window: FreezeWindow, spec: FreezeWindowSpec) -> _Mistakes:
    failed: _Mistakes = []
    for index, example in enumerate(spec.tests):
        now = _at(example.now, window.zone)
        holds = window.active(now) and window.reaches(example.connection, example.namespace)
        if holds != (example.expect == "frozen"):
            when = datetime.fromtimestamp(now, window.zone).isoformat()
            failed.append((("spec", "tests", index), f"test {index + 1} failed: expected {example.expect} at {when}"))
    for outcome in ("frozen", "open"):
        if outcome not in {example.expect for example in spec.tests}:
            failed.append((("spec", "tests"), f"tests: at least one test must expect {outcome}"))
    return failed
