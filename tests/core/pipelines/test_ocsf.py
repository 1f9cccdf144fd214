"""OCSF: a row per fact, and every document against the published schema of the version it names."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from addons.core.audit import Stage
from addons.core.pipelines.known import known
from addons.core.pipelines.ocsf import OCSF_VERSION, ocsf
from tests.core.pipelines.events import ID, WARNED, alert_of, call, denied, facts, made
from tests.core.pipelines.test_ecs import at

DOCUMENT = ocsf(facts(denied()))
FINDING = ocsf(facts(denied()), alert_of(denied()))


@lru_cache
def schema(name: str) -> Draft202012Validator:
    published = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=OCSF_VERSION))
    return Draft202012Validator(published.get_class_schema(class_name=name, profiles=[]))


def mistakes(document: dict[str, Any]) -> list[str]:
    name = {6003: "api_activity", 2004: "detection_finding"}[document["class_uid"]]
    return [f"{error.json_path}: {error.message[:200]}" for error in schema(name).iter_errors(document)]


@pytest.mark.parametrize(
    "request_line", ["GET /version", "POST /apis/apps/v1/namespaces/a/deployments", "GET /api/v1/pods"]
)
@pytest.mark.parametrize(
    ("stage", "code"), [(Stage.REQUEST_RECEIVED, 0), (Stage.RESPONSE_COMPLETE, 200), (Stage.PANIC, 503)]
)
def test_events_are_of_the_schema(request_line: str, stage: Stage, code: int) -> None:
    assert mistakes(ocsf(facts(made(call(request_line), stage, code)))) == []


@pytest.mark.parametrize(
    "event",
    [
        denied(),
        made(call("GET /api/v1/namespaces/a/pods/p/exec?command=sh", decision=WARNED), code=101),
        made(call(identity=None, request=None, decision=None, source="", connection="", session=""), code=401),
        {},
    ],
)
def test_other_events_are_of_the_schema(event: dict[str, Any]) -> None:
    assert mistakes(ocsf(known(event))) == []


def test_alerts_are_of_the_schema() -> None:
    assert mistakes(FINDING) == []


def test_the_schema_would_find_a_mistake() -> None:
    assert mistakes({**DOCUMENT, "colour": "red"})
    assert mistakes({name: value for name, value in FINDING.items() if name != "finding_info"})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("class_uid", 6003),
        ("category_uid", 6),
        ("activity_id", 2),
        ("type_uid", 600302),
        ("type_name", "API Activity: Read"),
        ("severity_id", 1),
        ("time", 1_763_929_001_750),
        ("start_time", 1_763_929_000_250),
        ("end_time", 1_763_929_001_750),
        ("duration", 1500),
        ("status_id", 2),
        ("status_code", "403"),
        ("message", "https://idp#agent get secrets key in shop: deny by secrets"),
        ("metadata.version", "1.5.0"),
        ("metadata.uid", f"{ID}/ResponseComplete"),
        ("metadata.correlation_uid", "s1"),
        ("metadata.product.name", "kube-chaperone"),
        ("actor.user.name", "https://idp#agent"),
        ("actor.user.groups", [{"name": "a"}, {"name": "b"}]),
        ("actor.invoked_by", "bot"),
        ("actor.idp.issuer", "https://idp"),
        ("actor.session.uid", "s1"),
        ("actor.authorizations", [{"decision": "deny", "policy": {"name": "secrets", "desc": "reads secrets"}}]),
        ("api.operation", "get"),
        ("api.request.uid", ID),
        ("api.response", {"code": 403}),
        ("api.service", {"name": "kube-apiserver", "uid": "prod"}),
        ("api.version", "v1"),
        ("src_endpoint", {"ip": "10.0.0.9"}),
        ("dst_endpoint", {"name": "prod"}),
        ("http_request.url", {"path": "/api/v1/namespaces/shop/secrets/key", "query_string": "x=1"}),
        ("http_request.user_agent", "kubectl/v1.37.1"),
        ("http_response.code", 403),
        ("resources", [{"name": "key", "type": "secrets", "namespace": "shop"}]),
        ("unmapped.risk", 95),
        ("unmapped.intent", "INC-1"),
    ],
)
def test_an_event(path: str, value: Any) -> None:
    assert at(DOCUMENT, path) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("class_uid", 2004),
        ("category_uid", 2),
        ("type_uid", 200401),
        ("severity_id", 5),
        ("is_alert", True),
        ("status_id", 1),
        ("finding_info.uid", alert_of(denied()).key),
        ("finding_info.title", "secrets"),
        ("finding_info.desc", "reads secrets"),
        ("finding_info.analytic", {"type_id": 1, "type": "Rule", "name": "secrets", "uid": "secrets"}),
        ("metadata.uid", alert_of(denied()).key),
        ("resources", [{"name": "key", "type": "secrets", "namespace": "shop"}]),
    ],
)
def test_an_alert(path: str, value: Any) -> None:
    assert at(FINDING, path) == value


def test_the_evidence_of_an_alert() -> None:
    (evidence,) = FINDING["evidences"]
    assert evidence["actor"]["user"]["name"] == "https://idp#agent"
    assert evidence["api"]["request"]["uid"] == ID


@pytest.mark.parametrize(
    ("request_line", "activity"),
    [
        ("POST /api/v1/namespaces/a/pods", "Create"),
        ("GET /api/v1/namespaces/a/pods?watch=1", "Read"),
        ("PUT /api/v1/namespaces/a/pods/p", "Update"),
        ("DELETE /api/v1/namespaces/a/pods", "Delete"),
        ("GET /api/v1/namespaces/a/pods/p/exec?command=id", "get"),
        ("GET /api/v1/namespaces/a/pods/p/log", "Read"),
    ],
)
def test_activities(request_line: str, activity: str) -> None:
    assert ocsf(facts(made(call(request_line))))["activity_name"] == activity
