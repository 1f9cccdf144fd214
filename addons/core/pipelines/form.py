"""What a receiver is sent of an event or an alert, in the form of its pipeline."""

from __future__ import annotations

from typing import Any

from addons.core.alert import Fired
from addons.core.pipelines.ecs import ecs
from addons.core.pipelines.known import Known
from addons.core.pipelines.ocsf import ocsf
from addons.core.pipelines.pipeline import Format

ALERT_SCHEMA = "chaperone.dev/alert/v1"
EVENTS_SCHEMA = "chaperone.dev/events/v1"


def form(known: Known, alert: Fired | None, its: Format) -> dict[str, Any]:
    """The document of an event, or of an alert about it."""
    match its:
        case "ocsf":
            return ocsf(known, alert)
        case "ecs":
            return ecs(known, alert)
    return dict(known.event) if alert is None else _alert(known, alert)


def batch(pipeline: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a webhook."""
    return {"schema": EVENTS_SCHEMA, "pipeline": pipeline, "events": documents}


def _alert(known: Known, alert: Fired) -> dict[str, Any]:
    return {
        "schema": ALERT_SCHEMA,
        "key": alert.key,
        "severity": alert.severity,
        "rule": alert.rule,
        "reason": alert.reason,
        "at": known.event.get("stageTimestamp"),
        "summary": known.summary,
        "session": known.notes.get("session", ""),
        "event": dict(known.event),
    }
