"""Events and alerts in the Elastic Common Schema, with the whole event below `kubernetes.audit`.

That part, and `data_stream.dataset`, are as in Elastic's own integration for Kubernetes audit logs, which Elastic's
detection rules are written for: dots in the names of annotations are underscores.
Source: https://www.elastic.co/docs/reference/ecs, version 8.17.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addons.core.alert import Fired
from addons.core.pipelines.known import PRODUCT, VENDOR, VERSION, Known, present

ECS_VERSION = "8.17.0"
DATASET = "kubernetes.audit_logs"
SEVERITY = {"low": 21, "medium": 47, "high": 73, "critical": 99}
"""As Elastic maps the severities of detection rules to risk scores."""
_TYPES = {
    "create": "creation",
    "update": "change",
    "patch": "change",
    "delete": "deletion",
    "deletecollection": "deletion",
}


def ecs(known: Known, alert: Fired | None = None) -> dict[str, Any]:
    """The document of an event, or of an alert that is about it."""
    notes = known.notes
    return {
        "@timestamp": known.event.get("stageTimestamp"),
        "ecs": {"version": ECS_VERSION},
        "message": f"{alert.rule}: {alert.reason}: {known.summary}" if alert else known.summary,
        "data_stream": {"type": "logs", "dataset": DATASET, "namespace": "default"},
        "event": _event(known, alert),
        "observer": {"vendor": VENDOR, "product": PRODUCT, "version": VERSION, "type": "gateway"},
        "orchestrator": _orchestrator(known),
        "trace": {"id": known.id.replace("-", "")},
        **present(
            {
                "user": present({"name": known.username}),
                "source": present({"ip": known.source, "address": known.source}),
                "user_agent": present({"original": known.user_agent}),
                "url": present({"original": known.uri}),
                "http": {"response": {"status_code": known.code}} if known.code else None,
                "related": present({"user": list(_people(known)), "ip": [known.source] if known.source else []}),
                "rule": _rule(notes, alert),
            }
        ),
        "kubernetes": {"audit": _audit(known.event)},
    }


def _event(known: Known, alert: Fired | None) -> dict[str, Any]:
    forbidden = known.notes.get("decision") in ("deny", "refuse")
    ended = {"end": known.event.get("stageTimestamp"), "duration": known.at - known.received_at} if known.over else {}
    return present(
        {
            "kind": "alert" if alert else "event",
            "category": ["api"],
            "type": [_TYPES.get(known.verb, "access"), "denied" if forbidden else "allowed"],
            "action": known.verb,
            "outcome": known.outcome,
            "id": alert.key if alert else f"{known.id}/{known.stage}",
            "dataset": DATASET,
            "module": "kubernetes",
            "provider": PRODUCT,
            "reason": alert.reason if alert else known.notes.get("reason"),
            "risk_score": SEVERITY[alert.severity] if alert else known.risk,
            "severity": SEVERITY[alert.severity] if alert else None,
            "start": known.event.get("requestReceivedTimestamp"),
            **ended,
        }
    )


def _orchestrator(known: Known) -> dict[str, Any]:
    return present(
        {
            "type": "kubernetes",
            "cluster": present({"name": known.notes.get("connection")}),
            "namespace": known.namespace,
            "api_version": f"{known.api_group}/{known.api_version}".strip("/"),
            "resource": present({"type": known.kind, "name": known.name}),
        }
    )


def _rule(notes: Mapping[str, str], alert: Fired | None) -> dict[str, Any]:
    if alert is not None:
        return present({"name": alert.rule, "description": alert.reason, "category": alert.severity})
    return present({"name": notes.get("rule"), "description": notes.get("reason") if notes.get("rule") else ""})


def _people(known: Known) -> tuple[str, ...]:
    named = (known.username, known.extra.get("act"), known.extra.get("owner"), known.notes.get("approver"))
    return tuple(dict.fromkeys(name for name in named if name))


def _audit(event: Mapping[str, Any]) -> dict[str, Any]:
    notes = event.get("annotations")
    if not isinstance(notes, dict):
        return dict(event)
    return {**event, "annotations": {name.replace(".", "_"): value for name, value in notes.items()}}
