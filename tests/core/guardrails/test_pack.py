"""The rules that come with Chaperone: they load, and an agent's ordinary work passes under the standard thresholds.

Each rule's own examples are in its file; here is what no single rule can say.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.guardrails import GuardrailSet, compile_guardrails
from tests.core.guardrails.support import judged

FILES = sorted((Path(__file__).parents[3] / "rules" / "guardrails").glob("*.yaml"))
A = "/api/v1/namespaces/a"
APPS = "/apis/apps/v1/namespaces/a"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLAIN_SPEC = {
    "containers": [{"name": "web", "image": "nginx:1.29", "ports": [{"containerPort": 80}], "resources": {}}],
    "volumes": [{"name": "c", "configMap": {"name": "c"}}],
    "securityContext": None,
}
DEPLOYMENT = {"metadata": {"name": "web"}, "spec": {"replicas": 2, "template": {"spec": PLAIN_SPEC}}}
ROOT_SPEC = {"containers": [{"name": "web", "securityContext": {"privileged": True}}]}


def read_pack() -> tuple[list[Document], list[Any]]:
    documents: list[Document] = []
    problems: list[Any] = []
    for file in FILES:
        found, mistakes = parse_documents(file.read_text(), file.name)
        documents += found
        problems += mistakes
    return documents, problems


@pytest.fixture(scope="module")
def pack() -> GuardrailSet:
    documents, problems = read_pack()
    guardrails, mistakes = compile_guardrails(documents)
    assert problems + mistakes == []
    return guardrails


def test_the_pack_covers_what_it_promises(pack: GuardrailSet) -> None:
    covered = {identifier for rule in pack.rules.values() for identifier in rule.covers}
    assert covered >= set(
        "EXE-01 EXE-02 EXE-03 EXE-04 EXE-05 EXE-06 EXE-07 EXE-08 EXE-09 EXE-10 PSS-01 PSS-02 PSS-03 PSS-04 PSS-05"
        " RBA-01 RBA-02 RBA-03 RBA-04 SEC-02 SEC-06 SEC-07 SEC-08 NOD-01 DST-01 DST-02".split()
    )
    assert all(rule.covers for rule in pack.rules.values())


def test_every_condition_is_short_enough_to_read(pack: GuardrailSet) -> None:
    conditions = [rule.condition.expression for rule in pack.rules.values() if rule.condition]
    assert max(expression.count("\n") for expression in conditions) <= 8


@pytest.mark.parametrize(
    ("request_text", "content"),
    [
        ("GET /version", None),
        ("GET /api/v1", None),
        (f"GET {A}/pods", None),
        (f"GET {A}/pods?watch=true&resourceVersion=1", None),
        ("GET /api/v1/pods?limit=500", None),
        (f"GET {A}/pods/p", None),
        (f"GET {A}/pods/p/log?follow=true", None),
        (f"GET {A}/secrets/s", None),
        (f"GET {A}/secrets", None),
        (f"GET {A}/events", None),
        (f"GET {RBAC}/clusterroles", None),
        ("GET /api/v1/nodes", None),
        (f"POST {APPS}/deployments", DEPLOYMENT),
        (f"PATCH {APPS}/deployments/web?fieldManager=kubectl&force=true", DEPLOYMENT),
        (f"PATCH {APPS}/deployments/web/scale", {"spec": {"replicas": 3}}),
        (f"PUT {APPS}/deployments/web/scale", {"spec": {"replicas": 0}}),
        (f"POST {A}/pods", {"metadata": {"generateName": "p-"}, "spec": PLAIN_SPEC}),
        (f"POST {A}/configmaps", {"metadata": {"name": "c"}, "data": {"a": "b"}}),
        (f"PATCH {A}/configmaps/c", {"metadata": {"name": "c"}}),
        (f"POST {A}/secrets", {"metadata": {"name": "s"}, "type": "Opaque"}),
        (f"POST {A}/services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}),
        (f"POST {A}/serviceaccounts", {"metadata": {"name": "s"}}),
        (f"POST {RBAC}/namespaces/a/roles", {"rules": [{"resources": ["pods"], "verbs": ["get"]}]}),
        (f"POST {RBAC}/namespaces/a/rolebindings", {"roleRef": {"name": "r"}, "subjects": [{"name": "builder"}]}),
        ("POST /apis/example.com/v1/namespaces/a/widgets", {"spec": {"volumes": "two", "ports": {"a": 1}}}),
        ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {}}),
        (f"DELETE {A}/pods/p", None),
        (f"DELETE {APPS}/deployments/web", None),
    ],
)
def test_ordinary_work_is_allowed(pack: GuardrailSet, request_text: str, content: Any) -> None:
    decision = judged(pack, request_text, content)
    assert (decision.verdict.word, decision.rule, decision.matches) == ("allow", "", ())


@pytest.mark.parametrize(
    ("request_text", "content", "verdict", "rule"),
    [
        (f"GET {A}/pods/p/exec?command=ls", None, "require_approval", "exec-needs-approval"),
        (f"POST {A}/pods/p/exec?command=ls", None, "require_approval", "exec-needs-approval"),
        (f"POST {A}/pods/p/exec?command=sh&stdin=true&tty=true", None, "require_approval", "exec-shell"),
        (f"GET {A}/pods/p/exec?command=tar&command=xmf&command=-", None, "require_approval", "exec-file-copy"),
        (f"GET {A}/pods/p/exec?command=cat&command=/proc/self/environ", None, "deny", "exec-reads-credentials"),
        (f"GET {A}/pods/p/attach", None, "require_approval", "attach-needs-approval"),
        (f"GET {A}/pods/p/portforward?ports=80", None, "require_approval", "port-forward-needs-approval"),
        ("GET /api/v1/secrets", None, "require_approval", "list-all-secrets-needs-approval"),
        ("GET /api/v1/watch/secrets", None, "require_approval", "list-all-secrets-needs-approval"),
        ("DELETE /api/v1/namespaces/a", None, "require_approval", "delete-namespace-needs-approval"),
        (f"DELETE {A}/configmaps", None, "require_approval", "delete-collection-needs-approval"),
        (
            f"PATCH {A}/pods/p/ephemeralcontainers",
            {"spec": PLAIN_SPEC},
            "require_approval",
            "debug-containers-need-approval",
        ),
        (f"PATCH {A}/pods/p/ephemeralcontainers", {"spec": ROOT_SPEC}, "deny", "no-privileged-containers"),
        (f"PUT {A}/pods/p", {"spec": ROOT_SPEC}, "deny", "no-privileged-containers"),
        (
            f"POST {RBAC}/clusterrolebindings",
            {"roleRef": {"name": "cluster-admin"}},
            "deny",
            "no-cluster-admin-bindings",
        ),
        (f"POST {A}/serviceaccounts/default/token", None, "deny", "no-service-account-tokens"),
        ("GET /api/v1/nodes/n/proxy/pods", None, "deny", "no-node-proxy"),
        (f"GET {A}/services/s/proxy/x", None, "deny", "no-workload-proxy"),
        (f"PATCH {A}/pods/p", None, "deny", "no-added-capabilities"),
    ],
)
def test_what_is_stopped(pack: GuardrailSet, request_text: str, content: Any, verdict: str, rule: str) -> None:
    decision = judged(pack, request_text, content)
    assert (decision.verdict.word, decision.rule) == (verdict, rule)


def test_reasons_and_hints_are_one_plain_line(pack: GuardrailSet) -> None:
    for rule in pack.rules.values():
        for text in (rule.reason, rule.hint):
            assert re.fullmatch(r"[^\n]{10,140}[^.\n]", text), f"{rule.name}: {text}"
