"""The rules that come with Chaperone: they load, answer the whole catalogue, and let an agent's ordinary work pass.

Each rule's own examples are in its file; here is what no single rule can say.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.decision import Verdict
from addons.core.documents import Document, parse_documents
from addons.core.guardrails import GuardrailSet, compile_guardrails
from addons.core.guardrails.catalogue import EntrySpec, compile_catalogue, coverage, uncatalogued
from addons.core.guardrails.facts import Facts
from addons.core.guardrails.rate import rate_of_one
from addons.core.guardrails.recall import examples_of, judged_example, recall
from tests.core.guardrails.support import facts

ROOT = Path(__file__).parents[3]
A = "/api/v1/namespaces/a"
APPS = "/apis/apps/v1/namespaces/a"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROOT_SPEC = {"containers": [{"name": "web", "securityContext": {"privileged": True}}]}


def read_pack() -> list[Document]:
    documents: list[Document] = []
    for file in sorted((ROOT / "rules" / "guardrails").glob("*.yaml")):
        found, mistakes = parse_documents(file.read_text(), file.name)
        assert mistakes == []
        documents += found
    return documents


DOCUMENTS = read_pack()
EXAMPLES = examples_of(DOCUMENTS)


@pytest.fixture(scope="module")
def pack() -> GuardrailSet:
    guardrails, mistakes = compile_guardrails([document for document in DOCUMENTS if document.kind == "Guardrail"])
    assert mistakes == []
    return guardrails


@pytest.fixture(scope="module")
def catalogue() -> dict[str, EntrySpec]:
    entries, mistakes = compile_catalogue(DOCUMENTS)
    assert [*mistakes, *uncatalogued(DOCUMENTS, entries)] == []
    return entries


def test_every_danger_is_answered(pack: GuardrailSet, catalogue: dict[str, EntrySpec]) -> None:
    assert [item.entry.id for item in coverage(catalogue, pack.rules.values()) if item.gap] == []
    assert [rule.name for rule in pack.rules.values() if not rule.covers] == []


def test_what_is_answered_elsewhere_can_be_looked_up(catalogue: dict[str, EntrySpec]) -> None:
    for entry in catalogue.values():
        for evidence in entry.elsewhere.evidence if entry.elsewhere else ():
            path, _, test = evidence.partition("::")
            assert (ROOT / path).is_file(), evidence
            assert not test or f"def {test}(" in (ROOT / path).read_text(), evidence


def test_every_example_meets_the_answer_its_danger_asks_for(
    pack: GuardrailSet, catalogue: dict[str, EntrySpec]
) -> None:
    """Judged by all rules together, and none of the rules falls over at another's example."""
    for row in recall(pack, coverage(catalogue, pack.rules.values()), EXAMPLES):
        found = row.coverage.entry.id, row.caught, row.strict, row.stopped
        assert found == (row.coverage.entry.id, row.dangers, True, 0)
    for what in (*(what for _, what in EXAMPLES.dangers), *EXAMPLES.harmless):
        assert unevaluable(pack, what) == [], what.request


def asked(text: str, **given: Any) -> Facts:
    """A request on a calm day."""
    known = facts(text, **given)
    return replace(known, frozen=(), rate=rate_of_one(known.request))


def unevaluable(rules: GuardrailSet, what: Facts) -> list[str]:
    return [match.reason for match in judged_example(rules, what).matches if match.unevaluable]


def test_every_condition_is_short_enough_to_read(pack: GuardrailSet) -> None:
    conditions = [rule.condition.expression for rule in pack.rules.values() if rule.condition]
    assert max(expression.count("\n") for expression in conditions) <= 8


def test_reading_one_object_is_judged_by_no_condition(pack: GuardrailSet) -> None:
    """Reads are most of the traffic. A rule about them looks at their shape alone, but for streams and proxies."""
    conditions = {
        rule.name
        for rule in pack.rules.values()
        if rule.condition and not {"get", "list", "watch", "*"}.isdisjoint(rule.matcher.verbs)
    }
    assert conditions == {"no-node-proxy", "too-many-requests"}


@pytest.mark.parametrize(
    ("request_text", "content", "verdict", "rule"),
    [
        (f"GET {A}/pods/p/exec?command=ls", None, "require_approval", "exec-needs-approval"),
        (f"POST {A}/pods/p/exec?command=ls", None, "require_approval", "exec-needs-approval"),
        (f"POST {A}/pods/p/exec?command=sh&stdin=true&tty=true", None, "require_approval", "exec-shell"),
        (f"GET {A}/pods/p/exec?command=tar&command=xmf&command=-", None, "require_approval", "exec-file-copy"),
        (f"GET {A}/pods/p/exec?command=cat&command=/etc/hostname", None, "require_approval", "exec-file-copy"),
        (f"GET {A}/pods/p/exec?command=cat&command=/proc/self/environ", None, "deny", "exec-reads-credentials"),
        (f"GET {A}/pods/p/attach", None, "require_approval", "attach-needs-approval"),
        (f"GET {A}/pods/p/portforward?ports=80", None, "require_approval", "port-forward-needs-approval"),
        (f"GET {A}/pods/p/portforward?ports=5432", None, "deny", "no-port-forward-to-data"),
        ("GET /api/v1/secrets", None, "deny", "no-lists-of-all-secrets"),
        ("GET /api/v1/watch/secrets", None, "deny", "no-lists-of-all-secrets"),
        ("DELETE /api/v1/namespaces/a", None, "require_approval", "delete-namespace-needs-approval"),
        (f"DELETE {A}/configmaps", None, "deny", "no-deletion-of-everything"),
        (f"DELETE {A}/configmaps?labelSelector=a", None, "require_approval", "delete-selected-needs-approval"),
        (
            f"PATCH {A}/pods/p/ephemeralcontainers",
            {"spec": {"containers": [{"name": "web", "image": "nginx:1.29"}]}},
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
        ("GET /api/v1/nodes/n/proxy/pods", None, "require_approval", "node-proxy-needs-approval"),
        ("GET /api/v1/nodes/n/proxy/run/a/p/c", None, "deny", "no-node-proxy"),
        (f"GET {A}/services/s/proxy/x", None, "deny", "no-workload-proxy"),
        (f"PATCH {A}/pods/p", None, "deny", "changeable-images"),
    ],
)
def test_what_is_stopped(pack: GuardrailSet, request_text: str, content: Any, verdict: str, rule: str) -> None:
    decision = judged_example(pack, asked(request_text, object=content))
    assert (decision.verdict.word, decision.rule) == (verdict, rule)


def test_reasons_and_hints_are_one_plain_line(pack: GuardrailSet) -> None:
    for rule in pack.rules.values():
        for text in (rule.reason, rule.hint):
            assert re.fullmatch(r"[^\n]{10,140}[^.\n]", text), f"{rule.name}: {text}"


KEYS = st.sampled_from(
    """
    spec metadata status template templates name namespace labels annotations finalizers containers steps
    initContainers sidecars container script podSpecPatch image command args env envFrom valueFrom secretKeyRef
    secretRef volumes secret projected sources hostPath gitRepo ports hostPort securityContext capabilities add
    privileged runAsUser procMount seccompProfile type sysctls livenessProbe httpGet host lifecycle postStart exec
    nodeName nodeSelector tolerations key affinity nodeAffinity requiredDuringSchedulingIgnoredDuringExecution
    nodeSelectorTerms matchExpressions os hostUsers serviceAccountName imagePullSecrets replicas rules hosts to from
    """.split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=5)
CUSTOM = (
    "example.com/v1/namespaces/a/widgets argoproj.io/v1alpha1/namespaces/a/workflows tekton.dev/v1/namespaces/a/tasks"
    " argoproj.io/v1alpha1/namespaces/a/applications gateway.networking.k8s.io/v1/namespaces/kube-system/httproutes"
    " external-secrets.io/v1/namespaces/a/externalsecrets kyverno.io/v1/clusterpolicies"
).split()


@given(st.sampled_from(CUSTOM), st.sampled_from(["POST", "PUT", "PATCH"]), OBJECTS, st.none() | OBJECTS)
@settings(max_examples=300)
def test_no_shape_of_a_custom_resource_stops_a_rule(
    pack: GuardrailSet, target: str, method: str, content: dict[str, Any], old: dict[str, Any] | None
) -> None:
    """Nobody knows what a custom resource looks like: no rule may deny one because it cannot read it."""
    named = "" if method == "POST" else "/n"
    what = asked(f"{method} /apis/{target}{named}", object=content, old_object=old if named else None)
    assert unevaluable(pack, what) == []


def test_whom_the_rules_tell(pack: GuardrailSet) -> None:
    """Somebody is told of what no ordinary work does: of denials, and never of what asks or warns."""
    told = {name: rule.alert for name, rule in pack.rules.items() if rule.alert is not None}
    assert len(told) == 30
    assert {alert.severity for alert in told.values()} == {"high", "critical"}
    assert {alert.per for alert in told.values()} == {()}
    for name in told:
        rule = pack.rules[name]
        assert rule.verdict is Verdict.DENY or (rule.verdict is None and rule.risk >= 90), name
    assert {"exec-reads-credentials", "no-cluster-admin-bindings", "no-lists-of-all-secrets"} <= told.keys()
