"""Profiles: what the same matches come to on three connections."""

from __future__ import annotations

import pytest

from addons.core.decision import Decision, Verdict
from addons.core.guardrails.announce import refusal_of, warnings_of
from addons.core.guardrails.selftest import request_of
from addons.core.profile import THRESHOLDS, Profile
from tests.core.guardrails.support import compiled, facts, rule

CREATE = "POST /api/v1/namespaces/a/pods"
ALL = "apiGroups: ['*'], resources: ['*/*'], verbs: ['*']"
WIDGET = "/apis/example.com/v1/namespaces/a/widgets"


def judged(profile: Profile, request: str, *rules: str) -> Decision:
    guardrails, _ = compiled(*rules)
    what = facts(request, object={})
    return guardrails.judge(guardrails.candidates(what.request, "prod"), what, THRESHOLDS[profile], profile)


@pytest.mark.parametrize(
    ("body", "observe", "standard", "strict"),
    [
        ("risk: 5", "allow", "allow", "allow"),
        ("risk: 10", "allow", "allow", "warn"),
        ("risk: 30", "warn", "warn", "require_approval"),
        ("risk: 50", "warn", "require_approval", "require_approval"),
        ("risk: 79", "warn", "require_approval", "require_approval"),
        ("risk: 80", "warn", "require_approval", "deny"),
        ("risk: 90", "warn", "deny", "deny"),
        ("verdict: warn", "warn", "warn", "require_approval"),
        ("verdict: require_approval", "warn", "require_approval", "require_approval"),
        ("verdict: deny", "warn", "deny", "deny"),
        ("verdict: deny\n  mode: shadow", "allow", "allow", "allow"),
        ("when: object.nothing\n  risk: 1", "deny", "deny", "deny"),
    ],
)
def test_one_rule_under_three_profiles(body: str, observe: str, standard: str, strict: str) -> None:
    verdicts = [judged(profile, CREATE, rule(body=body)).verdict.word for profile in Profile]
    assert verdicts == [observe, standard, strict]


def test_observing_tells_what_it_would_have_been() -> None:
    decision = judged(Profile.OBSERVE, CREATE, rule("a", body="verdict: deny\n  retryAfterSeconds: 5"), rule("b"))
    assert (decision.verdict, decision.observed, decision.rule) == (Verdict.WARN, Verdict.DENY, "a")
    assert refusal_of(decision, request_of(CREATE)) is None
    assert warnings_of(decision) == [
        "observed: a would deny this: because a; do a",
        "observed: b would ask a person about this: because b; do b",
    ]


def test_observing_a_warning_is_a_warning() -> None:
    decision = judged(Profile.OBSERVE, CREATE, rule(body="risk: 30"))
    assert (decision.verdict, decision.observed) == (Verdict.WARN, None)
    assert warnings_of(decision) == ["r: because r; do r"]


def test_observing_an_unevaluable_rule_denies_by_that_rule() -> None:
    broken = rule("b", body="when: object.x\n  risk: 1")
    decision = judged(Profile.OBSERVE, CREATE, rule("a", body="verdict: deny"), broken)
    assert (decision.verdict, decision.observed, decision.rule) == (Verdict.DENY, None, "b")
    shadow = rule("b", body="when: object.x\n  mode: shadow\n  risk: 1")
    assert judged(Profile.OBSERVE, CREATE, rule("a", body="verdict: deny"), shadow).rule == "a"


@pytest.mark.parametrize(
    ("request_text", "asked"),
    [
        ("DELETE /api/v1/nodes/n", True),
        ("PATCH /api/v1/namespaces/a", True),
        ("POST /apis/rbac.authorization.k8s.io/v1/clusterroles", True),
        ("GET /api/v1/nodes/n/proxy/metrics", True),
        (f"POST {WIDGET}", True),
        (f"PATCH {WIDGET}/w/status", True),
        (f"DELETE {WIDGET}", True),
        (f"GET {WIDGET}", False),
        ("GET /api/v1/nodes", False),
        ("GET /version", False),
        (CREATE, False),
        ("PATCH /apis/apps/v1/namespaces/a/deployments/d/scale", False),
        ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", False),
        ("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", True),
    ],
)
def test_strict_asks_about_writes_no_rule_speaks_about(request_text: str, asked: bool) -> None:
    decision = judged(Profile.STRICT, request_text)
    assert (decision.verdict, decision.rule) == (
        (Verdict.REQUIRE_APPROVAL, "unjudged-write") if asked else (Verdict.ALLOW, "")
    )
    assert judged(Profile.STANDARD, request_text).verdict is Verdict.ALLOW


def test_a_rule_that_matches_has_spoken_unless_it_only_tries() -> None:
    delete = "DELETE /api/v1/nodes/n"
    assert judged(Profile.STRICT, delete, rule(match=ALL, body="risk: 0")).verdict is Verdict.ALLOW
    decision = judged(Profile.STRICT, delete, rule(match=ALL, body="risk: 95\n  mode: shadow"))
    assert (decision.verdict, len(decision.matches)) == (Verdict.REQUIRE_APPROVAL, 2)
