"""`explain` answers with the reading and the rules of the gateway; the shipped rules are part of the test."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.explain import explain
from addons.core.guardrails import compile_guardrails
from addons.core.inquiry import Judge, UnusableQuestion
from addons.core.profile import THRESHOLDS, Profile
from addons.core.resources import BUILTIN

RULES = Path(__file__).parents[2] / "rules" / "guardrails"
NS = "/api/v1/namespaces/team-a"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
POD = {"spec": {"containers": [{"name": "a", "image": "b"}]}}


def _judge() -> Judge:
    documents: list[Document] = []
    for file in RULES.glob("*.yaml"):
        documents += parse_documents(file.read_text(), file.name)[0]
    guardrails, problems = compile_guardrails([document for document in documents if document.kind == "Guardrail"])
    assert not problems
    return Judge(guardrails=guardrails, resources=BUILTIN)


JUDGE = _judge()


def ask(method: str, target: str, **more: Any) -> dict[str, Any]:
    return explain({"id": 1, "method": method, "target": target, **more}, JUDGE, 0.0)


PATCH = {"content-type": "application/merge-patch+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}


@pytest.mark.parametrize(
    ("method", "target", "more", "verdict", "rule"),
    [
        pytest.param("GET", f"{NS}/pods", {}, "allow", "", id="list"),
        pytest.param("GET", "/api/v1/secrets", {}, "deny", "no-lists-of-all-secrets", id="secrets"),
        pytest.param("DELETE", NS, {}, "require_approval", "delete-namespace-needs-approval", id="namespace"),
        pytest.param("GET", f"{NS}/pods%2fp", {}, "refuse", "ambiguous-request", id="encoded slash"),
        pytest.param("GET", "/api/v1/foos", {}, "deny", "unknown-resource", id="unknown kind"),
        pytest.param("GET", f"{NS}/pods/p/foo", {}, "deny", "unknown-subresource", id="unknown subresource"),
        pytest.param("GET", f"{NS}/nodes/n", {}, "deny", "wrong-scope", id="wrong scope"),
        pytest.param("GET", "/metrics", {}, "deny", "non-resource-path", id="path"),
        pytest.param("POST", f"{NS}/pods", {"body": '{"a":1,"a":2}'}, "refuse", "unreadable-body", id="B-60"),
        pytest.param("POST", f"{NS}/pods", {"body": POD}, "warn", "pods-without-restrictions", id="a plain pod"),
        pytest.param(
            "POST", f"{NS}/pods", {"body": json.dumps({"spec": {**POD["spec"], "hostPID": True}})}, "deny",
            "no-host-namespaces", id="host pid",
        ),
        pytest.param(
            "POST", f"{NS}/pods", {"object": {"spec": {**POD["spec"], "hostPID": True}}}, "deny", "no-host-namespaces",
            id="object given",
        ),
        pytest.param(
            "PATCH", f"{NS}/pods/p", {"headers": PATCH, "body": '{"spec":{"hostPID":true}}', "old_object": POD}, "deny",
            "no-host-namespaces", id="merge patch",
        ),
        pytest.param(
            "PATCH", f"{NS}/pods/p",
            {"headers": JSON_PATCH, "body": '[{"op":"add","path":"/spec/hostPID","value":true}]', "old_object": POD},
            "deny", "no-host-namespaces", id="JSON patch",
        ),
        pytest.param(
            "PATCH", f"{NS}/pods/p",
            {"headers": JSON_PATCH, "body": '[{"op":"remove","path":"/nothing"}]', "old_object": POD},
            "deny", None, id="a patch whose result nobody knows",
        ),
        pytest.param("GET", f"{NS}/pods", {"headers": {"Host": "a\r\nb"}}, "refuse", "ambiguous-header", id="header"),
        pytest.param("GET", f"{NS}/pods", {"headers": UPGRADE}, "refuse", "ambiguous-request", id="B-35"),
        pytest.param(
            "GET", f"{NS}/pods", {"headers": [["Host", "a"], ["host", "b"]]}, "refuse", "ambiguous-header", id="hosts"
        ),
    ],
)  # fmt: skip
def test_verdicts(method: str, target: str, more: dict[str, Any], verdict: str, rule: str | None) -> None:
    answer = ask(method, target, **more)
    assert answer["verdict"] == verdict, answer
    assert rule is None or answer["rule"] == rule


def test_the_answer_shows_the_reading() -> None:
    answer = ask("GET", f"{NS}/pods/p/exec?command=ls&command=-l", headers=UPGRADE)
    assert answer["id"] == 1
    assert answer["request"] == {
        "verb": "get", "api_group": "", "api_version": "v1", "namespace": "team-a", "resource": "pods",
        "subresource": "exec", "name": "p", "argv": ["ls", "-l"],
    }  # fmt: skip
    assert answer["rule"] in answer["rules"]
    assert answer["risk"] >= 50
    assert answer["reason"]
    assert ask("GET", f"{NS}/pods%2fp")["request"] is None
    assert ask("GET", "/api/v1/foos")["request"]["resource"] == "foos"


def test_binary_bodies() -> None:
    body = base64.b64encode(json.dumps({"spec": {"hostPID": True}}).encode()).decode()
    assert ask("POST", f"{NS}/pods", body_base64=body)["verdict"] == "deny"


SITUATION = """apiVersion: chaperone/v1
kind: Guardrail
metadata: {name: r}
spec:
  description: d
  match: {apiGroups: ["*"], resources: ["*"], verbs: ["*"]}
  when: frozen.size() > 0 || rate.requests > 100 || affected > 10
  risk: 60
  reason: because
  hint: do
  tests:
    - {expect: match, request: DELETE /api/v1/nodes/n, frozen: [w]}
    - {expect: no-match, request: DELETE /api/v1/nodes/n}
---
apiVersion: chaperone/v1
kind: FreezeWindow
metadata: {name: w}
spec:
  description: d
  timeZone: UTC
  weekly: [{days: [Sat]}]
  tests:
    - {expect: frozen, now: 2026-11-28T00:00:00Z}
    - {expect: open, now: 2026-11-29T00:00:00Z}
"""
SATURDAY = "2026-11-28T12:00:00Z"


@pytest.mark.parametrize(
    ("target", "more", "verdict"),
    [
        (f"{NS}/pods/p", {}, "allow"),
        (f"{NS}/pods/p", {"now": SATURDAY}, "require_approval"),
        (f"{NS}/pods/p", {"now": SATURDAY, "frozen": []}, "allow"),
        (f"{NS}/pods/p", {"frozen": ["x"]}, "require_approval"),
        (f"{NS}/pods/p", {"rate": {"requests": 101}}, "require_approval"),
        (f"{NS}/pods/p", {"rate": {"denied": 101}}, "allow"),
        (f"{NS}/pods", {"affected": 11}, "require_approval"),
        (f"{NS}/pods", {"affected": 10}, "allow"),
        (f"{NS}/pods", {}, "deny"),
    ],
)
def test_time_rate_and_extent_can_be_said(target: str, more: dict[str, Any], verdict: str) -> None:
    guardrails, problems = compile_guardrails(parse_documents(SITUATION, "s.yaml")[0])
    assert not problems
    judge = Judge(guardrails=guardrails, resources=BUILTIN)
    assert explain({"method": "DELETE", "target": target, **more}, judge, 0.0)["verdict"] == verdict


@pytest.mark.parametrize(
    ("profile", "verdict", "observed"),
    [(Profile.OBSERVE, "warn", "require_approval"), (Profile.STANDARD, "require_approval", ""),
     (Profile.STRICT, "deny", "")],
)  # fmt: skip
def test_profiles(profile: Profile, verdict: str, observed: str) -> None:
    judge = replace(JUDGE, profile=profile, thresholds=THRESHOLDS[profile])
    answer = explain({"method": "DELETE", "target": NS}, judge, 0.0)
    assert (answer["verdict"], answer["observed"]) == (verdict, observed)


@pytest.mark.parametrize(
    "question",
    [
        {"method": "GET", "target": "/api/v1/pods", "now": "soon"},
        {"method": "GET", "target": "/api/v1/pods", "now": "2026-11-28T12:00:00"},
        {"method": "GET", "target": "/api/v1/pods", "rate": {"request": 1}},
        {"method": "GET", "target": "/api/v1/pods", "affected": -1},
        {},
        {"method": "GET"},
        {"method": 1, "target": "/api"},
        {"method": "POST", "target": f"{NS}/pods", "body_base64": "*"},
    ],
)
def test_what_is_no_question(question: dict[str, Any]) -> None:
    with pytest.raises(UnusableQuestion):
        explain(question, JUDGE, 0.0)
