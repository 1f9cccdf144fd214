from __future__ import annotations

from typing import Any

import pytest

from addons.core.decision import Alert, Decision, Thresholds, Verdict
from addons.core.guardrails import Facts, GuardrailSet, Needs
from addons.core.guardrails import ruleset as module
from addons.core.guardrails.selftest import request_of
from tests.core.guardrails.support import compiled, facts, judged, loaded, names, rule

CREATE = "POST /api/v1/namespaces/a/pods"
NARROW = "apiGroups: [''], resources: [configmaps], verbs: ['*'], namespaces: [kube-system], names: [aws-*]"
NARROW_TESTS = """  tests:
    - {expect: match, request: GET /api/v1/namespaces/kube-system/configmaps/aws-auth}
    - {expect: match, request: POST /api/v1/namespaces/kube-system/configmaps, object: {metadata: {generateName: aws-}}}
    - {expect: no-match, request: GET /api/v1/namespaces/a/configmaps/aws-auth}
"""


WRITES = "apiGroups: [''], resources: [pods], verbs: [create, update, patch]"
WRITE_TESTS = """  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/pods, object: {bad: true}}
    - {expect: no-match, request: POST /api/v1/namespaces/a/pods, object: {}}
"""


def test_candidates_are_structural_and_cached() -> None:
    rules = loaded(rule("pods"), rule("narrow", match=NARROW, tests=NARROW_TESTS))
    pod, other = request_of("GET /api/v1/namespaces/a/pods/p"), request_of("GET /api/v1/namespaces/a/pods/q")
    assert names(rules.candidates(pod, "prod")) == ["pods"]
    assert rules.candidates(other, "prod") is rules.candidates(pod, "prod")
    assert rules.candidates(request_of("GET /version"), "prod") == ()
    assert names(rules.candidates(request_of("GET /api/v1/namespaces/kube-system/configmaps/aws-auth"), "prod")) == [
        "pods",
        "narrow",
    ]
    assert names(rules.candidates(request_of("GET /api/v1/namespaces/a/configmaps/aws-auth"), "prod")) == ["pods"]


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHE_LIMIT", 2)
    rules = loaded(rule())
    for resource in ("a", "b", "c", "d"):
        rules.candidates(request_of(f"GET /api/v1/{resource}"), "prod")
    assert len(rules._shapes) <= 2


@pytest.mark.parametrize(
    ("when", "request_text", "needs"),
    [
        ("object.bad", CREATE, Needs(object=True)),
        ("object.bad", "GET /api/v1/namespaces/a/pods/p", Needs()),
        ("object.bad", "DELETE /api/v1/namespaces/a/pods/p", Needs()),
        ("object.bad", "POST /api/v1/namespaces/a/pods/p/exec", Needs()),
        ("object == null || oldObject.bad", "PATCH /api/v1/namespaces/a/pods/p", Needs(object=True, old_object=True)),
        ("object == null || oldObject.bad", CREATE, Needs(object=True)),
        ("object == null || oldObject.bad", "DELETE /api/v1/namespaces/a/pods/p", Needs(old_object=True)),
        ("podSpecs.size() > 8", CREATE, Needs(object=True)),
        ("containers.size() > 8", "PATCH /apis/apps/v1/namespaces/a/deployments/d", Needs(object=True)),
        ("containers.size() > 8", "PATCH /api/v1/namespaces/a/configmaps/c", Needs()),
        ("request.name == ''", CREATE, Needs()),
        ("affected > 1", "DELETE /api/v1/namespaces/a/pods", Needs(affected=True)),
        ("affected > 1", "DELETE /api/v1/namespaces/a/pods/p", Needs()),
        ("frozen == []", "DELETE /api/v1/namespaces/a/pods/p", Needs(frozen=True)),
        ("rate.requests > 1", "GET /api/v1/pods", Needs()),
    ],
)
def test_needs_follow_what_conditions_read(when: str, request_text: str, needs: Needs) -> None:
    rules, _ = compiled(rule(body=f'when: "{when}"\n  risk: 1'))
    request = request_of(request_text)
    candidates = rules.candidates(request, "prod")
    assert names(candidates) == ["r"]
    assert rules.needs(candidates, request) == needs


def test_needs_of_nothing() -> None:
    assert GuardrailSet().needs((), request_of(CREATE)) == Needs()


def test_a_name_is_looked_for_in_the_object_of_a_create() -> None:
    rules = loaded(rule(match=NARROW, tests=NARROW_TESTS))
    create = "POST /api/v1/namespaces/kube-system/configmaps"
    request = request_of(create)
    assert rules.needs(rules.candidates(request, "prod"), request) == Needs(object=True)
    assert judged(rules, create, {"metadata": {"name": "aws-auth"}}).rule == "r"
    assert judged(rules, create, {"metadata": {"generateName": "aws-x"}}).rule == "r"
    assert judged(rules, create, {"metadata": {"name": "other"}}).verdict is Verdict.ALLOW
    nameless: list[dict[str, Any] | None] = [{"metadata": {}}, {"metadata": None}, {}, None]
    for unnamed in nameless:
        assert judged(rules, create, unnamed).verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("risk", "verdict"),
    [
        (0, Verdict.ALLOW),
        (29, Verdict.ALLOW),
        (30, Verdict.WARN),
        (50, Verdict.REQUIRE_APPROVAL),
        (90, Verdict.DENY),
    ],
)
def test_thresholds_turn_risk_into_a_verdict(risk: int, verdict: Verdict) -> None:
    decision = judged(loaded(rule(body=f"risk: {risk}")), CREATE)
    assert (decision.verdict, decision.risk, decision.rule) == (verdict, risk, "r")
    assert (decision.reason, decision.hint) == ("because r", "do r")


def test_thresholds_are_the_connections() -> None:
    rules, what = loaded(rule(body="risk: 60")), facts(CREATE)
    candidates = rules.candidates(what.request, "prod")
    assert rules.judge(candidates, what, Thresholds(warn=61, approve=62, deny=63)).verdict is Verdict.ALLOW
    assert rules.judge(candidates, what, Thresholds(warn=1, approve=2, deny=3)).verdict is Verdict.DENY


@pytest.mark.parametrize("verdict", ["warn", "require_approval", "deny"])
def test_a_verdict_overrides_thresholds(verdict: str) -> None:
    rules, what = loaded(rule(body=f"verdict: {verdict}")), facts(CREATE)
    decision = rules.judge(rules.candidates(what.request, "prod"), what, Thresholds(warn=101, approve=101, deny=101))
    assert decision.verdict.word == verdict


def test_strictest_wins_then_risk_then_name_whatever_the_order() -> None:
    texts = [
        rule("warns", body="verdict: warn"),
        rule("asks", body="risk: 60"),
        rule("denies-b", body="risk: 95"),
        rule("denies-a", body="risk: 95"),
        rule("denies", body="verdict: deny"),
    ]
    for order in (texts, texts[::-1]):
        decision = judged(loaded(*order), CREATE)
        assert [match.rule for match in decision.matches] == ["denies", "denies-a", "denies-b", "asks", "warns"]
        assert (decision.verdict, decision.rule, decision.risk) == (Verdict.DENY, "denies", 100)


def test_a_denial_for_good_comes_before_one_that_passes() -> None:
    later = rule("later", body="verdict: deny\n  retryAfterSeconds: 5")
    assert judged(loaded(later), CREATE).retry_after_seconds == 5
    decision = judged(loaded(later, rule("never", body="risk: 90")), CREATE)
    assert (decision.rule, decision.retry_after_seconds) == ("never", None)


def test_requests_are_counted_only_for_rules_that_read_the_rate() -> None:
    assert not loaded(rule()).counts
    assert compiled(rule(body="when: rate.writes > 9\n  risk: 1"))[0].counts


@pytest.mark.parametrize("when", ["frozen == []", "rate.requests > 0", "affected > 0"])
def test_what_nobody_asked_for_is_not_guessed(when: str) -> None:
    rules, _ = compiled(rule(body=f'when: "{when}"\n  risk: 1'))
    decision = judged(rules, "DELETE /api/v1/namespaces/a/pods")
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "r")


def test_no_match_is_allowed() -> None:
    rules = loaded(rule(body="when: object.bad\n  risk: 60"))
    assert judged(rules, CREATE, {"bad": False}) == Decision(verdict=Verdict.ALLOW)
    assert judged(rules, "GET /version") == Decision(verdict=Verdict.ALLOW)


def test_shadow_reports_and_never_decides() -> None:
    rules = loaded(
        rule("real", body="risk: 40"),
        rule("shadow", body="verdict: deny\n  mode: shadow"),
        rule("broken", body="when: object.bad\n  mode: shadow\n  risk: 1"),
    )
    decision = judged(rules, CREATE, {})
    assert (decision.verdict, decision.rule) == (Verdict.WARN, "real")
    assert [(match.rule, match.shadow) for match in decision.matches] == [
        ("real", False),
        ("broken", True),
        ("shadow", True),
    ]
    alone = judged(loaded(rule("shadow", body="verdict: deny\n  mode: shadow")), CREATE, {})
    assert (alone.verdict, alone.rule, len(alone.matches)) == (Verdict.ALLOW, "", 1)


@pytest.mark.parametrize(
    ("when", "content"),
    [
        pytest.param("object.bad", {}, id="missing field"),
        pytest.param("object.bad", None, id="no object was to be had"),
        pytest.param("podSpecs.exists(p, p.?hostPID.orValue(false))", None, id="no PodSpec was to be had"),
    ],
)
def test_what_cannot_be_evaluated_is_denied(when: str, content: dict[str, object] | None) -> None:
    rules, _ = compiled(rule(body=f"when: {when}\n  risk: 1"))
    decision = judged(rules, CREATE, content)
    assert (decision.verdict, decision.rule, decision.risk) == (Verdict.DENY, "r", 100)
    assert decision.reason.startswith("the expression of this rule could not be evaluated: ")


def test_an_object_too_deep_for_the_engine_is_denied_by_every_rule() -> None:
    deep: dict[str, Any] = {}
    for _ in range(20_000):
        deep = {"a": deep}
    rules = loaded(rule("a", body="when: object.?bad.orValue(false)\n  risk: 1", tests=WRITE_TESTS, match=WRITES))
    decision = judged(rules, CREATE, deep)
    assert (decision.verdict, decision.rule) == (Verdict.DENY, "a")
    assert "nested more than 254 levels" in decision.reason


def test_the_order_of_rules_is_that_of_the_documents() -> None:
    assert list(loaded(rule("b"), rule("a")).rules) == ["b", "a"]


def test_facts_need_only_a_request() -> None:
    what = Facts(request=request_of(CREATE))
    rules = loaded(rule())
    assert rules.judge(rules.candidates(what.request, ""), what, Thresholds()).rule == "r"


def test_an_alert_goes_with_every_match_of_its_rule() -> None:
    body = "when: object.bad\n  risk: 60\n  alert: {severity: high, per: [namespace]}"
    rules = loaded(rule("told", body=body), rule("plain"))
    alert = Alert(severity="high", per=("namespace",))
    found = {
        match.rule: match.alert for match in judged(rules, "POST /api/v1/namespaces/a/pods", {"bad": True}).matches
    }
    assert found == {"told": alert, "plain": None}
    unknown = judged(rules, "POST /api/v1/namespaces/a/pods", {})
    assert {match.rule: match.alert for match in unknown.matches}["told"] == alert
