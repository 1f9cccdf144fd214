from __future__ import annotations

from dataclasses import replace

from addons.core.access_rule import check_unmask, compile_access, cross_check
from tests.core.access_documents import FULL, IDP, OTHER, documents, rule, rules
from tests.support.flows import CONNECTION


def test_rules_come_by_falling_priority_then_name() -> None:
    compiled = rules(rule("b"), rule("c", priority=1), rule("a"))
    assert [each.name for each in compiled] == ["c", "a", "b"]


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
