"""The Elastic Common Schema: a row per fact."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.audit import Stage
from addons.core.pipelines.ecs import ecs
from tests.core.pipelines.events import ALLOWED, ID, alert_of, call, denied, facts, made

DOCUMENT = ecs(facts(denied()))
ALERT = ecs(facts(denied()), alert_of(denied()))


def at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("@timestamp", "2025-11-23T20:16:41.750000Z"),
        ("ecs.version", "8.17.0"),
        ("message", "https://idp#agent get secrets key in shop: deny by secrets"),
        ("data_stream", {"type": "logs", "dataset": "kubernetes.audit_logs", "namespace": "default"}),
        ("event.kind", "event"),
        ("event.category", ["api"]),
        ("event.type", ["access", "denied"]),
        ("event.action", "get"),
        ("event.outcome", "failure"),
        ("event.id", f"{ID}/ResponseComplete"),
        ("event.dataset", "kubernetes.audit_logs"),
        ("event.reason", "reads secrets"),
        ("event.risk_score", 95),
        ("event.severity", None),
        ("event.start", "2025-11-23T20:16:40.250000Z"),
        ("event.end", "2025-11-23T20:16:41.750000Z"),
        ("event.duration", 1_500_000_000),
        ("observer.product", "kube-chaperone"),
        ("orchestrator.type", "kubernetes"),
        ("orchestrator.cluster.name", "prod"),
        ("orchestrator.namespace", "shop"),
        ("orchestrator.api_version", "v1"),
        ("orchestrator.resource", {"type": "secrets", "name": "key"}),
        ("trace.id", ID.replace("-", "")),
        ("user.name", "https://idp#agent"),
        ("source", {"ip": "10.0.0.9", "address": "10.0.0.9"}),
        ("user_agent.original", "kubectl/v1.37.1"),
        ("url.original", "/api/v1/namespaces/shop/secrets/key?x=1"),
        ("http.response.status_code", 403),
        ("related.user", ["https://idp#agent", "bot", "bob"]),
        ("related.ip", ["10.0.0.9"]),
        ("rule", {"name": "secrets", "description": "reads secrets"}),
        ("kubernetes.audit.verb", "get"),
        ("kubernetes.audit.objectRef.resource", "secrets"),
        ("kubernetes.audit.sourceIPs", ["10.0.0.9"]),
        ("kubernetes.audit.user.username", "https://idp#agent"),
    ],
)
def test_an_event(path: str, value: Any) -> None:
    assert at(DOCUMENT, path) == value


def test_annotations_are_named_as_elastics_integration_names_them() -> None:
    notes = DOCUMENT["kubernetes"]["audit"]["annotations"]
    assert notes["authorization_k8s_io/decision"] == "forbid"
    assert [name for name in notes if "." in name] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event.kind", "alert"),
        ("event.id", alert_of(denied()).key),
        ("event.risk_score", 99),
        ("event.severity", 99),
        ("rule", {"name": "secrets", "description": "reads secrets", "category": "critical"}),
        ("message", "secrets: reads secrets: https://idp#agent get secrets key in shop: deny by secrets"),
    ],
)
def test_an_alert(path: str, value: Any) -> None:
    assert at(ALERT, path) == value


@pytest.mark.parametrize(
    ("request_line", "types"),
    [
        ("POST /api/v1/namespaces/a/pods", ["creation", "allowed"]),
        ("PATCH /api/v1/namespaces/a/pods/p", ["change", "allowed"]),
        ("DELETE /api/v1/namespaces/a/pods", ["deletion", "allowed"]),
        ("GET /version", ["access", "allowed"]),
    ],
)
def test_types(request_line: str, types: list[str]) -> None:
    assert ecs(facts(made(call(request_line))))["event"]["type"] == types


def test_a_call_that_goes_on_has_no_end() -> None:
    event = ecs(facts(made(call(decision=ALLOWED), Stage.REQUEST_RECEIVED, 0)))
    assert {"end", "duration"} & event["event"].keys() == set()
    assert "http" not in event
    assert "rule" not in event


@pytest.mark.parametrize("notes", [None, "odd"])
def test_an_event_without_annotations_is_whole(notes: Any) -> None:
    event = {**denied(), "annotations": notes}
    assert ecs(facts(event))["kubernetes"]["audit"] == event
