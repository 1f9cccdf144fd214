"""What a pipeline sends next: events that are new in the logs of all sessions, in order within each, as parcels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from addons.core.alert import fired
from addons.core.pipelines.known import known
from addons.core.pipelines.pipeline import Otlp, Pipeline
from addons.core.pipelines.selection import Selection
from addons.core.pipelines.traces import Progress, spans
from addons.edge.audit_files import Line, Log, Place, new_lines
from addons.edge.pipeline_cursor import Cursor
from addons.edge.pipeline_targets import Parcel

MAX_PARCELS = 500
_MAX_BYTES = 1024 * 1024
"""Of the log, for one batch."""


@dataclass(slots=True)
class Batch:
    """Parcels, and what is to be noted when they were taken."""

    parcels: list[Parcel] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    fired: dict[str, str] = field(default_factory=dict)
    calls: dict[str, Progress | None] = field(default_factory=dict)
    events: int = 0

    @property
    def empty(self) -> bool:
        """True if nothing was new."""
        return not self.places


class Batches:
    """Of one pipeline, for one thread at a time."""

    def __init__(self, pipeline: Pipeline, cursor: Cursor) -> None:
        self._send, self._cursor = pipeline.send, cursor
        self._selection = Selection(pipeline.select, of_alerts=pipeline.send == "alerts")
        self._trusted = isinstance(pipeline.target, Otlp) and pipeline.target.trusted
        self._places = cursor.places()
        self._turn = 0

    def behind(self, logs: Mapping[str, Log]) -> int:
        """Bytes of the logs that were not looked at."""
        return sum(max(0, log.waiting(self._places.get(session))) for session, log in logs.items())

    def next(self, logs: Mapping[str, Log], most: int = MAX_PARCELS) -> Batch:
        """The next batch, of at most so many parcels; each session has its turn. Raises OSError."""
        batch, size = Batch(), 0
        waiting = [log for name, log in sorted(logs.items()) if log.waiting(self._places.get(name))]
        self._turn = self._turn % len(waiting) if waiting else 0
        for log in waiting[self._turn :] + waiting[: self._turn]:
            if len(batch.parcels) >= most or size >= _MAX_BYTES:
                break
            place = self._places.get(log.session)
            try:
                lines, after = new_lines(log, place, _MAX_BYTES - size)
            except FileNotFoundError:  # removed meanwhile
                continue
            self._turn += 1
            size += after.offset - (place.offset if place is not None and place.inode == after.inode else 0)
            self._fill(batch, log.session, lines, after, most)
        return batch

    def done(self, batch: Batch) -> None:
        """All of it was taken: note so. Raises OSError."""
        self._cursor.commit(batch.places, batch.fired, batch.calls)
        self._places |= batch.places

    def forget(self, logs: Mapping[str, Log]) -> None:
        """Forgets sessions that are gone; where there is nothing at all, it is the volume that is not there."""
        gone = [session for session in self._places if session not in logs] if logs else []
        if gone:
            self._cursor.forget(gone)
            for session in gone:
                del self._places[session]

    def _fill(self, batch: Batch, session: str, lines: list[Line], after: Place, most: int) -> None:
        for line in lines:
            if len(batch.parcels) >= most:
                return
            parcels = list(self._parcels(batch, session, line.event))
            batch.parcels += parcels
            batch.events += 1
            batch.places[session] = line.after
        if after != self._places.get(session):
            batch.places[session] = after

    def _parcels(self, batch: Batch, session: str, event: dict[str, Any]) -> Iterator[Parcel]:
        if not self._selection.takes(event):
            return
        match self._send:
            case "events":
                yield Parcel(known=known(event))
            case "alerts":
                yield from self._alerts(batch, session, event)
            case "traces":
                yield from self._traces(batch, event)

    def _alerts(self, batch: Batch, session: str, event: dict[str, Any]) -> Iterator[Parcel]:
        alerts = [alert for alert in fired(event) if self._selection.tells(alert) and alert.key not in batch.fired]
        known_keys = self._cursor.fired(alert.key for alert in alerts)
        for alert in alerts:
            if alert.key not in known_keys:
                batch.fired[alert.key] = session
                yield Parcel(known=known(event), alert=alert)

    def _traces(self, batch: Batch, event: dict[str, Any]) -> Iterator[Parcel]:
        facts = known(event)
        before = batch.calls.get(facts.id) or self._cursor.call(facts.id)
        found, batch.calls[facts.id] = spans(facts, before, self._trusted)
        if found:
            yield Parcel(known=facts, spans=tuple(found))
