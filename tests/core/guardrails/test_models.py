"""What a rule file may say, and what each mistake is answered with."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from addons.core.approval_terms import NO_TERMS, Reuse, Terms
from addons.core.decision import Thresholds
from addons.core.guardrails.models import GuardrailSpec
from tests.core.guardrails.support import TESTS, compiled, facts, loaded, rule

CONNECT = "apiGroups: [''], resources: [pods/exec], verbs: [get, create]"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(
            rule(body="risk: 60\n  colour: red"), 8, "colour: Extra inputs are not permitted", id="unknown key"
        ),
        pytest.param(
            rule(match=CONNECT.replace("get", "fetch")), 6, "match.verbs.0: Input should be", id="unknown verb"
        ),
        pytest.param(rule(body="risk: 101"), 7, "risk: Input should be less than or equal to 100", id="risk too high"),
        pytest.param(rule(body="risk: '60'"), 7, "risk: Input should be a valid integer", id="risk is a string"),
        pytest.param(rule(body="verdict: allow"), 7, "verdict: Input should be 'warn'", id="rules cannot allow"),
        pytest.param(rule(body="mode: off\n  risk: 1"), 7, "mode: Input should be 'enforce'", id="mode"),
        pytest.param(rule(body="covers: [rba-1]\n  risk: 1"), 7, "covers.0: String should match", id="covers"),
        pytest.param(rule(body="risk: 1\n  verdict: deny"), 4, "exactly one of risk and verdict", id="both"),
        pytest.param(rule(body="risk: 95\n  retryAfterSeconds: 5"), 4, "goes with verdict: deny", id="retry by risk"),
        pytest.param(rule(body="verdict: deny\n  retryAfterSeconds: 0"), 8, "retryAfterSeconds: Input", id="retry now"),
        pytest.param(
            rule(body="verdict: deny\n  approvals: {count: 2}"), 8, "nobody is asked where this rule denies", id="asks"
        ),
        pytest.param(rule(body="risk: 60\n  approvals: {count: 0}"), 8, "greater than or equal to 1", id="nobody"),
        pytest.param(rule(body="risk: 60\n  approvals: {reuse: always}"), 8, "approvals.reuse: Input", id="reuse"),
        pytest.param(
            rule(body="risk: 60\n  approvals: {reuse: session, maxMinutes: 481}"), 8, "equal to 480", id="too long"
        ),
        pytest.param(rule(body="risk: 60\n  approvals: {maxMinutes: 5}"), 8, "go with reuse: session", id="no reuse"),
        pytest.param(rule(body="risk: 60\n  approvals: {anyName: true}"), 8, "go with reuse: session", id="no name"),
        pytest.param(
            rule(body="when: has(object.bad)\n  risk: 60\n  approvals: {reuse: session, anyName: true}"),
            9,
            "the condition reads the object",
            id="any name of what is read",
        ),
        pytest.param(
            rule(
                match="apiGroups: [''], resources: [pods], verbs: [create, patch]",
                body="webhook: {url: 'https://x', caFile: x}\n  risk: 60\n  approvals: {reuse: session, anyName: true}",
            ),
            9,
            "the policy service is asked about the object",
            id="any name of what is asked about",
        ),
        pytest.param(
            rule(
                match="apiGroups: [''], resources: [pods/exec], verbs: [connect], each: line",
                body="risk: 60\n  approvals: {reuse: session}",
            ),
            8,
            "inside a session is approved once",
            id="reuse inside",
        ),
        pytest.param(rule(body="mode: shadow"), 4, "exactly one of risk and verdict", id="neither"),
        pytest.param(
            rule(match="apiGroups: [''], resources: [], verbs: ['*']"), 6, "at least 1 item", id="no resource"
        ),
        pytest.param(rule(match="apiGroups: [''], resources: [a/b/c], verbs: ['*']"), 6, "resources.0", id="resource"),
        pytest.param(rule(match="resources: [pods], verbs: ['*']"), 6, "apiGroups: Field required", id="no group"),
        pytest.param(
            rule(match=CONNECT),
            6,
            "pods/exec is opened by GET as well as POST, so its only verb is connect",
            id="connect",
        ),
        pytest.param(
            rule(match="apiGroups: [''], resources: [pods], verbs: [create, update]"),
            6,
            "server-side apply creates and updates with PATCH, so add patch",
            id="apply",
        ),
        pytest.param(rule(body="when: object.bad ==\n  risk: 1"), 7, "when: at 1:14: Syntax error", id="CEL syntax"),
        pytest.param(rule(body="when: '\"a\"'\n  risk: 1"), 7, "when: gives STRING", id="CEL type"),
        pytest.param(
            rule(tests=TESTS.replace("match, ", "match, harmless: true, ", 1)), 11, "is not harmless", id="harmless"
        ),
        pytest.param(rule(tests=""), 4, "tests: at least one test must expect match", id="no tests"),
        pytest.param(
            rule(tests=TESTS.replace("expect: no-match", "expect: perhaps")),
            12,
            "tests.1.expect: Input",
            id="expectation",
        ),
        pytest.param(
            rule(tests=TESTS.replace("GET /version", "version")),
            12,
            "tests.1.request: String should match",
            id="request",
        ),
        pytest.param(rule(body="risk: 1\n  alert: {severity: dire}"), 8, "alert.severity: Input should be", id="alert"),
        pytest.param(
            rule(
                match="apiGroups: [''], resources: [pods/exec], verbs: [connect], each: line",
                body="risk: 1\n  alert: {severity: low}",
            ),
            8,
            "alert: is about requests, not about what happens in the session",
            id="alert in a session",
        ),
        pytest.param(rule(name="r").replace("Guardrail", "Masking"), 2, "kind must be Guardrail here", id="kind"),
    ],
)
def test_mistakes_are_reported_at_their_line(text: str, line: int, message: str) -> None:
    _, problems = compiled(text)
    assert [(problem.line, True) for problem in problems if message in problem.message] == [(line, True)], problems
    assert {problem.file for problem in problems} == {"rules.yaml"}


def test_what_an_approval_takes_is_in_the_match() -> None:
    terms = "approvals: {groups: [oncall], count: 2, reuse: minutes, maxMinutes: 30, anyName: true}"
    plain, asking = loaded(rule("plain"), rule("asking", body=f"risk: 60\n  {terms}")).rules.values()
    assert plain.match(Thresholds(), facts("GET /version")).terms == NO_TERMS
    assert asking.match(Thresholds(), facts("GET /version")).terms == Terms(
        groups=("oncall",), count=2, reuse=Reuse.MINUTES, max_seconds=1800, any_name=True
    )


def test_all_mistakes_of_all_rules_at_once() -> None:
    guardrails, problems = compiled(
        rule("a", body="risk: -1\n  colour: red"),
        rule("b", body="when: nothing.x\n  risk: 1", match=CONNECT, tests=""),
        rule("b"),
    )
    assert [problem.message.partition(":")[0] for problem in problems] == [
        "risk",
        "colour",
        "match.verbs",
        "tests",
        "tests",
        "when",
        "a guardrail named b is already at rules.yaml",
    ]
    assert list(guardrails.rules) == ["b"]


@pytest.mark.parametrize(
    "match",
    [
        "apiGroups: [''], resources: [pods, pods/ephemeralcontainers], verbs: [create, update, patch]",
        "apiGroups: [''], resources: [pods], verbs: ['*']",
        "apiGroups: ['', apps], resources: ['*', pods/eviction], verbs: [create, patch]",
        "apiGroups: [''], resources: ['*', pods/exec], verbs: [create, patch, connect]",
    ],
)
def test_matches_without_a_mistake(match: str) -> None:
    assert compiled(rule(match=match))[1] == []


def test_what_has_no_patch_needs_none() -> None:
    tests = """
  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/pods/p/eviction}
    - {expect: no-match, request: GET /version}
"""
    assert compiled(rule(match="apiGroups: [''], resources: [pods/eviction], verbs: [create]", tests=tests))[1] == []


def test_the_models_give_a_json_schema() -> None:
    schema = TypeAdapter(GuardrailSpec).json_schema(by_alias=True)
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"description", "match", "reason", "hint"}
    assert "apiGroups" in schema["$defs"]["MatchSpec"]["properties"]
