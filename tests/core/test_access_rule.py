from __future__ import annotations

from dataclasses import replace

import pytest

from addons.core.access_rule import check_unmask, compile_access, cross_check
from tests.core.access_documents import FULL, IDP, OTHER, documents, rule, rules
from tests.support.flows import CONNECTION

ROLE = "role: arn:aws:iam::123456789012:role/web"


def test_rules_come_by_falling_priority_then_name() -> None:
    compiled = rules(rule("b"), rule("c", priority=1), rule("a"))
    assert [each.name for each in compiled] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        pytest.param("groups: [web-agents]\n  subjects: [alice]", "groups: []", 5, "name somebody", id="nobody"),
        pytest.param("connections: [prod]", "connections: []", 10, "connections", id="nowhere"),
        pytest.param("role: arn:aws:iam::123456789012:role/web", "role: web", 11, "role", id="no ARN"),
        pytest.param(ROLE, "role: user:a group:system:masters", 11, "begin with system:", id="a group of Kubernetes"),
        pytest.param(ROLE, "role: user:system:admin", 11, "begin with system:", id="a user of Kubernetes"),
        pytest.param(ROLE, "role: 'user:a  group:b'", 11, "role", id="a group without a word"),
        pytest.param("durationSeconds: 1800", "durationSeconds: 899", 12, "durationSeconds", id="too short for STS"),
        pytest.param("durationSeconds: 1800", "durationSeconds: 43201", 12, "durationSeconds", id="too long for STS"),
        pytest.param("namespaces: [web]", "namespaces: [we*b]", 13, "namespaces", id="namespace pattern"),
        pytest.param("resources: [pods, pods/log]", "resources: ['*']", 13, "resources", id="bare wildcard"),
        pytest.param("verbs: [get, list]", "verbs: [exec]", 13, "verbs", id="no such verb"),
        pytest.param('pattern: "INC-[0-9]+ .+"', 'pattern: "("', 14, "not a pattern", id="bad pattern"),
        pytest.param("example: INC-42 restart web", "example: restart", 14, "does not match", id="bad example"),
        pytest.param("priority: 5", "onRequest: {}", 15, "name approvers, or", id="nobody decides"),
        pytest.param("priority: 5", "onRequest: {automatic: true, approvers: [a]}", 15, "name approvers", id="both"),
        pytest.param("priority: 5", "priority: high", 15, "priority", id="priority"),
        pytest.param("priority: 5", "prioritty: 5", 15, "prioritty", id="unknown key"),
    ],
)
def test_mistakes_have_their_line(old: str, new: str, line: int, message: str) -> None:
    assert old in FULL
    _, problems = compile_access(documents(FULL.replace(old, new)))
    assert {problem.line for problem in problems} == {line}
    assert message in problems[0].message


def test_a_name_is_used_once_and_other_kinds_are_left_alone() -> None:
    compiled, problems = compile_access(documents(FULL, FULL, FULL.replace("kind: Access", "kind: Guardrail")))
    assert [problem.message for problem in problems] == ["two access rules are named web"]
    assert [rule.name for rule in compiled] == ["web"]


def test_references_must_lead_somewhere() -> None:
    compiled = rules(FULL, rule("lost", connections="[prod, nowhere]"), rule("bad", identityProvider="missing"))
    both = {"prod": CONNECTION, "nowhere": CONNECTION}
    assert cross_check(both, [IDP], rules(FULL, rule("lost", connections="[prod, nowhere]"))) == []
    found = {problem.message for problem in cross_check({"prod": CONNECTION}, [IDP, OTHER], compiled)}
    assert found == {
        "there is no connection nowhere; known: prod",
        "there is no identity provider missing; known: corp, partner",
        "identityProvider must be given unless there is exactly one; known: corp, partner",
    }
    assert "known: none" in cross_check({}, [], rules(FULL))[0].message


def test_a_role_is_of_its_connections_kind() -> None:
    account = rule("account", role="system:serviceaccount:web:agent")
    other = replace(CONNECTION, name="other", eks_cluster="", kubeconfig="/k")
    assert cross_check({"prod": other}, [IDP], rules(account)) == []
    (problem,) = cross_check({"prod": CONNECTION}, [IDP], rules(account))
    assert problem.message == "connection prod is of kind eks, whose role is an IAM role"
    user = rule("user", role="user:agent:{sub} group:agents")
    assert cross_check({"prod": replace(other, impersonates=True)}, [IDP], rules(user)) == []
    (problem,) = cross_check({"prod": replace(other, impersonates=True)}, [IDP], rules(account))
    assert problem.message == "connection prod is of kind impersonate, whose role is a user to impersonate"
    (problem,) = cross_check({"prod": other}, [IDP], rules(FULL))
    assert problem.message == "connection prod is of kind serviceAccount, whose role is a service account"


def test_only_rules_that_exist_can_be_unmasked() -> None:
    compiled = rules(rule("a", unmask="[secrets, secrts]"), rule("b"))
    (problem,) = check_unmask(compiled, frozenset({"secrets", "helm-releases"}))
    assert problem.message == "there is no masking rule secrts; known: helm-releases, secrets"
