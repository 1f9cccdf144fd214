"""OTLP over HTTP in its JSON encoding: log records, and what spans are made of.

Sources: https://opentelemetry.io/docs/specs/otlp/ (JSON Protobuf encoding: ids in hexadecimal, 64-bit integers as
decimal text, enumerations as integers) and opentelemetry-proto 1.x.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from addons.core.alert import Fired
from addons.core.pipelines.known import PRODUCT, VERSION, Known, present

_UUID = re.compile(r"(?!0{32})[0-9a-f]{32}")
LOGS_PATH, TRACES_PATH = "/v1/logs", "/v1/traces"
_INFO, _WARN, _ERROR, _FATAL = 9, 13, 17, 21
_SEVERITIES = {"low": _INFO, "medium": _WARN, "high": _ERROR, "critical": _FATAL}
_NAMES = {_INFO: "INFO", _WARN: "WARN", _ERROR: "ERROR", _FATAL: "FATAL"}


def log_record(known: Known, alert: Fired | None, document: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The log record of an event or alert; `now`, Unix nanoseconds, is when it was seen here."""
    severity = _severity(known, alert)
    return {
        "timeUnixNano": str(known.at),
        "observedTimeUnixNano": str(now),
        "severityNumber": severity,
        "severityText": _NAMES[severity],
        "eventName": "chaperone.alert" if alert else "chaperone.audit",
        "body": any_value(document),
        "attributes": attributes(
            present(
                {
                    "k8s.cluster.name": known.notes.get("connection"),
                    "k8s.namespace.name": known.namespace,
                    "user.name": known.username,
                    "chaperone.session": known.notes.get("session"),
                    "chaperone.decision": known.notes.get("decision"),
                    "chaperone.rule": alert.rule if alert else known.notes.get("rule"),
                    "chaperone.alert.key": alert.key if alert else "",
                }
            )
        ),
        "traceId": trace_id(known.id),
        "spanId": span_id(known.id, "call"),
    }


def logs(records: Iterable[Mapping[str, Any]], host: str) -> dict[str, Any]:
    """An ExportLogsServiceRequest."""
    scope = {"scope": _SCOPE, "logRecords": list(records)}
    return {"resourceLogs": [{"resource": resource(host), "scopeLogs": [scope]}]}


def traces(spans: Iterable[Mapping[str, Any]], host: str) -> dict[str, Any]:
    """An ExportTraceServiceRequest."""
    return {"resourceSpans": [{"resource": resource(host), "scopeSpans": [{"scope": _SCOPE, "spans": list(spans)}]}]}


def resource(host: str) -> dict[str, Any]:
    """What says all of it."""
    return {"attributes": attributes({"service.name": PRODUCT, "service.version": VERSION, "host.name": host})}


def rejected(answer: Any) -> tuple[int, str]:
    """How many records or spans the receiver did not take, and why, from its answer; (0, "") when it took all."""
    said = answer.get("partialSuccess") if isinstance(answer, dict) else None
    if not isinstance(said, dict):
        return 0, ""
    count = said.get("rejectedLogRecords") or said.get("rejectedSpans") or 0
    return (int(count) if str(count).isdigit() else 0), str(said.get("errorMessage", ""))[:200]


def any_value(value: Any) -> dict[str, Any]:
    """A value of JSON as an AnyValue."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
    return {"stringValue": str(value).encode("utf-8", "replace").decode()}


def attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A list of KeyValue."""
    return [{"key": str(name), "value": any_value(value)} for name, value in values.items()]


def trace_id(audit_id: str) -> str:
    """A call's own: its audit id, so that logs, traces and the cluster's audit log are found by each other."""
    plain = audit_id.replace("-", "").lower()
    if _UUID.fullmatch(plain):
        return plain
    return sha256(audit_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def span_id(audit_id: str, name: str) -> str:
    """The same whenever the span is sent again."""
    return sha256(f"{audit_id}/{name}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _severity(known: Known, alert: Fired | None) -> int:
    if alert is not None:
        return _SEVERITIES[alert.severity]
    if known.stage == "Panic":
        return _ERROR
    return _WARN if known.notes.get("decision") in ("deny", "refuse", "warn") else _INFO


_SCOPE = {"name": PRODUCT, "version": VERSION}
