"""The tree says at which step a request ends, who decides, and why others do not."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.access import AccessPolicy, compile_access
from addons.core.decision_tree import Access, tree_of_question
from addons.core.documents import parse_documents
from addons.core.identity_provider import IdentityProvider
from addons.core.inquiry import Judge
from addons.core.masking import compile_masking
from addons.core.profile import Profile
from addons.core.resources import BUILTIN_AND_OPTIONAL
from tests.core.guardrails.support import compiled, rule

PODS = "/api/v1/namespaces/a/pods"
MASKER, _ = compile_masking(
    parse_documents(
        "apiVersion: chaperone/v1\nkind: Masking\nmetadata: {name: m}\nspec: {description: d, match: {apiGroups: [''],"
        " resources: [secrets]}, base64: [$.data.*], tests: [{given: {data: {a: YQ==}}, expect: {data: {a: MASKED}}},"
        " {given: {}, expect: unchanged}]}",
        "m.yaml",
    )[0],
    b"k" * 16,
)
PROVIDERS = [
    IdentityProvider(name=name, issuer=f"https://{name}", audiences=("x",), algorithms=frozenset({"RS256"}))
    for name in ("one", "two")
]
RULES, _ = compile_access(
    parse_documents(
        "apiVersion: chaperone/v1\nkind: Access\nmetadata: {name: web}\nspec: {groups: [web], connections: [prod],"
        " identityProvider: two, role: 'arn:aws:iam::123456789012:role/r', scope: {namespaces: [a]}}",
        "a.yaml",
    )[0]
)
ACCESS = Access(policy=AccessPolicy(RULES, PROVIDERS), issuers=[provider.issuer for provider in PROVIDERS])


def tree(*rules: str, profile: Profile = Profile.STANDARD, access: Access | None = None, **question: Any) -> Any:
    judge = Judge(guardrails=compiled(*rules)[0], resources=BUILTIN_AND_OPTIONAL, profile=profile, connection="prod")
    return tree_of_question({"method": "POST", "target": PODS, **question}, judge, MASKER, access, 0.0)


def outcomes(found: Any) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in found["steps"]}


def test_a_request_that_cannot_be_read_ends_there() -> None:
    found = tree(target="/api/v1/namespaces/a%2fb/pods")
    assert (found["request"], found["decision"], outcomes(found)) == (None, None, {"commands": "refused"})
    assert found["steps"][0]["why"].startswith("400 ambiguous-request: ")
    assert tree(target="/apis/example.com/v1/foos")["request"]["resource"] == "foos"


@pytest.mark.parametrize(
    ("question", "access", "outcome", "words"),
    [
        pytest.param({}, ACCESS, "not examined", "name a connection and a caller", id="nobody"),
        pytest.param({"identity": {"groups": ["web"]}}, None, "not examined", "name", id="no rules"),
        pytest.param({"identity": {"groups": ["web"]}}, ACCESS, "passed", "web grants arn:aws", id="granted"),
        pytest.param({"identity": {"groups": ["web"]}, "grant": {"intent": "x"}}, ACCESS, "passed", "https://two",
                     id="with an intent"),
        pytest.param({"identity": {"groups": ["db"]}}, ACCESS, "refused", "403 no-grant", id="no grant"),
        pytest.param({"identity": {"groups": ["web"]}, "target": "/api/v1/namespaces/b/pods"}, ACCESS, "refused",
                     "403 out-of-scope", id="out of scope"),
    ],
)  # fmt: skip
def test_access(question: dict[str, Any], access: Access | None, outcome: str, words: str) -> None:
    step = tree(access=access, **question)["steps"][1]
    assert (step["step"], step["outcome"]) == ("access", outcome)
    assert words in step["why"]


def test_what_masking_refuses() -> None:
    secret = {"data": {"a": "bWFza2VkOnYxOjAxMjM0NTY3ODlhYmNkZWY="}}
    found = tree(target="/api/v1/namespaces/a/secrets", body=secret, headers={"Content-Type": "application/json"})
    assert outcomes(found)["masking"] == "refused"


@pytest.mark.parametrize(
    ("risk", "how", "steps"),
    [
        ("risk: 10", "risk 10, below 30 nothing is said", {"guardrails": "passed"}),
        ("risk: 40", "risk 40, from 30 warned of, from 50 a human is asked", {"guardrails": "passed"}),
        ("risk: 60", "risk 60, from 50 a human is asked, from 90 denied",
         {"guardrails": "passed", "approvals": "asks"}),
        ("risk: 95", "risk 95, from 90 denied", {"guardrails": "refused"}),
        ("verdict: warn", "names its verdict: warn", {"guardrails": "passed"}),
        ("when: object.a\n  risk: 1", "cannot be evaluated, which denies", {"guardrails": "refused"}),
    ],
)  # fmt: skip
def test_how_a_match_comes_to_its_verdict(risk: str, how: str, steps: dict[str, str]) -> None:
    found = tree(rule(body=risk), object={"metadata": {"name": "p"}})
    assert found["candidates"][0]["how"] == how
    assert {name: outcome for name, outcome in outcomes(found).items() if name in ("guardrails", "approvals")} == steps


def test_winners_and_losers() -> None:
    found = tree(
        rule("a", body="risk: 95"),
        rule("b", body="risk: 95"),
        rule("c", body="risk: 91"),
        rule("d", body="risk: 60"),
        rule("e", body="verdict: deny\n  retryAfterSeconds: 5"),
        rule("f", body="risk: 99\n  mode: shadow"),
        rule("g", body="when: object.?bad.orValue(false)\n  risk: 99"),
        object={"metadata": {"name": "p"}},
    )
    assert {candidate["rule"]: candidate["place"] for candidate in found["candidates"]} == {
        "a": "decides",
        "b": "a comes first by name",
        "c": "a has the higher risk",
        "d": "a is stricter",
        "e": "a denies for good",
        "f": "shadow: only reported",
        "g": "",
    }
    assert (found["decision"]["rule"], found["decision"]["verdict"]) == ("a", "deny")


def test_near_misses_say_what_was_asked_and_what_they_are_about() -> None:
    found = tree(
        rule("r", match="apiGroups: [''], resources: [pods], verbs: [get, list], namespaces: [b], connections: [dev]"),
        rule("s", match="apiGroups: [''], resources: [nodes], verbs: [get]"),
        rule("t", match="apiGroups: [''], resources: ['*'], excludeResources: [pods], verbs: ['*']"),
    )
    near, excluded = found["near"]
    assert excluded["misses"] == [{"field": "excludeResources", "asked": "pods", "wanted": ["pods"]}]
    assert near["misses"] == [
        {"field": "verbs", "asked": "create", "wanted": ["get", "list"]},
        {"field": "namespaces", "asked": "a", "wanted": ["b"]},
        {"field": "connections", "asked": "prod", "wanted": ["dev"]},
    ]
    assert found["others"] == 1


def test_names_of_objects_and_clauses() -> None:
    named = rule(match="apiGroups: [''], resources: [pods], verbs: ['*'], names: [x, y]", body="risk: 1")
    assert tree(named, object={"metadata": {"name": "p"}})["candidates"][0]["names"] == ["x", "y"]
    clause = tree(rule(body="when: object.a && request.name == ''\n  risk: 1"), object={"a": True})
    when = clause["candidates"][0]["when"]
    assert (when["operator"], when["value"], [part["value"] for part in when["parts"]]) == ("&&", True, [True, True])


def test_what_is_only_observed() -> None:
    found = tree(rule(body="risk: 95"), profile=Profile.OBSERVE, object={"metadata": {"name": "p"}})
    assert (found["profile"], found["decision"]["verdict"], found["decision"]["observed"]) == (
        "observe",
        "warn",
        "deny",
    )
