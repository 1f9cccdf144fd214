"""What a policy service is asked, what its answers mean, and what a rule makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addons.core.decision import Thresholds, Verdict
from addons.core.guardrails import Facts, GuardrailSet
from addons.core.guardrails.answer import Answer, UnusableAnswer, read_answer
from addons.core.guardrails.cel import Unevaluable
from addons.core.guardrails.selftest import request_of
from addons.core.guardrails.webhook import review
from addons.core.profile import Profile
from tests.core.guardrails.support import compiled, facts, loaded, names, rule

POD = "/api/v1/namespaces/a/pods"
WRITES = "apiGroups: ['*'], resources: ['*', pods/exec], verbs: [create, update, patch, delete, connect]"
WEBHOOK = "webhook: {url: 'https://opa.test/v1/admit', caFile: opa.pem}\n  verdict: deny"
TESTS = f"""  tests:
    - {{expect: match, request: POST {POD}, object: {{}}, webhook: {{allowed: false, message: never}}}}
    - {{expect: no-match, request: POST {POD}, object: {{}}, webhook: {{allowed: true}}}}
"""
UID = "0b6a"


def asking(body: str = WEBHOOK, tests: str = TESTS, match: str = WRITES) -> str:
    return rule("ask", match=match, body=body, tests=tests)


def judged(rules: GuardrailSet, what: Facts, profile: Profile = Profile.STANDARD) -> Any:
    return rules.judge(rules.candidates(what.request, what.connection), what, Thresholds(), profile)


def answer(allowed: bool | None = False, message: str = "", **more: Any) -> Answer:
    return Answer(allowed=allowed, message=message, **more)


@pytest.mark.parametrize(
    ("said", "verdict", "reason"),
    [
        ({"ask": answer(True)}, Verdict.ALLOW, ""),
        ({"ask": answer(False, "three replicas at least")}, Verdict.DENY, "because ask: three replicas at least"),
        ({"ask": answer(False)}, Verdict.DENY, "because ask"),
        ({"ask": answer(None, "it is down")}, Verdict.DENY, "it is down"),
        ({}, Verdict.DENY, "nobody has asked"),
    ],
)
def test_the_last_word_is_the_services(said: dict[str, Answer], verdict: Verdict, reason: str) -> None:
    decision = judged(loaded(asking()), facts(f"POST {POD}", object={}, answers=said))
    assert (decision.verdict, decision.rule) == (verdict, "ask" if verdict is Verdict.DENY else "")
    assert reason in decision.reason


def test_observing_still_denies_what_nobody_answered() -> None:
    what = facts(f"POST {POD}", object={}, answers={"ask": answer(None, "down")})
    assert judged(loaded(asking()), what, Profile.OBSERVE).verdict is Verdict.DENY


def test_only_rules_that_hold_otherwise_ask() -> None:
    rules, _ = compiled(
        asking(),
        rule("not-this", match=WRITES, body=f"when: request.name == 'x'\n  {WEBHOOK}", tests=TESTS),
        rule("broken", match=WRITES, body=f"when: object.nothing\n  {WEBHOOK}", tests=TESTS),
        rule("plain", match=WRITES),
    )
    what = facts(f"POST {POD}", object={})
    candidates = rules.candidates(what.request, "prod")
    assert names(rules.callouts(candidates, what)) == ["ask"]
    assert rules.callouts([], what) == []


def test_the_objects_are_needed() -> None:
    rules = loaded(asking())
    for text, needed in [(f"POST {POD}", (True, False)), (f"PATCH {POD}/p", (True, True)),
                         (f"DELETE {POD}/p", (False, True)), (f"GET {POD}/p/exec", (False, False))]:  # fmt: skip
        request = request_of(text)
        needs = rules.needs(rules.candidates(request, "prod"), request)
        assert (needs.object, needs.old_object) == needed, text


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (asking(body=WEBHOOK.replace("https", "http")), 7, "webhook.url"),
        (asking(body=WEBHOOK.replace("opa.test", "user:pw@opa.test")), 7, "webhook.url"),
        (asking(body=WEBHOOK.replace(", caFile: opa.pem", "")), 7, "webhook.caFile: Field required"),
        (asking(body=WEBHOOK.replace("opa.pem", "opa.pem, timeoutSeconds: 31")), 7, "webhook.timeoutSeconds"),
        (asking(match=WRITES.replace("connect", "get")), 6, "admission is about changes"),
        (asking(match="apiGroups: [''], resources: [pods/exec], verbs: [connect], each: line"), 6, "requests only"),
        (asking(tests=TESTS.replace(", webhook: {allowed: true}", "")), 13, "nobody has asked"),
    ],
)
def test_mistakes(text: str, line: int, message: str) -> None:
    _, problems = compiled(text)
    assert [problem.line for problem in problems if message in problem.message] == [line], problems


def test_where_the_ca_is() -> None:
    webhook = loaded(asking()).rules["ask"].webhook
    assert webhook is not None
    assert (webhook.url, webhook.ca_file, webhook.timeout_seconds) == ("https://opa.test/v1/admit", "opa.pem", 5)


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}


@pytest.mark.parametrize(
    ("text", "after", "before", "kind", "operation", "content"),
    [
        ("POST /apis/apps/v1/namespaces/a/deployments", DEPLOYMENT, None, "Deployment", "CREATE", DEPLOYMENT),
        ("PATCH /apis/apps/v1/namespaces/a/deployments/d", DEPLOYMENT, DEPLOYMENT, "Deployment", "UPDATE", DEPLOYMENT),
        ("DELETE /apis/apps/v1/namespaces/a/deployments/d", None, DEPLOYMENT, "Deployment", "DELETE", None),
        (f"DELETE {POD}", None, None, "Pod", "DELETE", None),
        ("DELETE /apis/x.io/v1/namespaces/a/widgets", None, None, "", "DELETE", None),
        (
            f"GET {POD}/p/exec?command=ls&command=-l&stdout=true", None, None, "PodExecOptions", "CONNECT",
            {"apiVersion": "v1", "kind": "PodExecOptions", "command": ["ls", "-l"], "stdout": True},
        ),
    ],
)  # fmt: skip
def test_the_question(text: str, after: Any, before: Any, kind: str, operation: str, content: Any) -> None:
    document = review(UID, facts(f"{text}{'&' if '?' in text else '?'}dryRun=All"), after, before)
    assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    request = document["request"]
    assert (request["uid"], request["kind"]["kind"], request["operation"]) == (UID, kind, operation)
    assert (request["object"], request["oldObject"], request["dryRun"]) == (content, before, True)
    assert request["userInfo"]["username"] == "https://issuer.test#agent"
    assert request["userInfo"]["extra"] == {"chaperone.dev/owner": ["ann"], "chaperone.dev/intent": ["INC-42"]}
    json.dumps(document)


def test_nobody_and_no_grant() -> None:
    what = Facts(request=request_of(f"DELETE {POD}/p"))
    assert review(UID, what, None, None)["request"]["userInfo"] == {"username": "", "groups": []}
    known = facts(f"DELETE {POD}/p", grant=None)
    assert "chaperone.dev/intent" not in review(UID, known, None, None)["request"]["userInfo"]["extra"]


def test_an_object_that_is_not_known_is_not_asked_about() -> None:
    with pytest.raises(Unevaluable, match="not known"):
        review(UID, facts(f"PATCH {POD}/p"), None, None)


def reply(**response: Any) -> bytes:
    content = {"uid": UID, "allowed": False, **response}
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": content}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (reply(allowed=True), answer(True)),
        (reply(status={"message": "no\x1b[2J"}), answer(False, "no\\x1b[2J")),
        (reply(status="no", warnings="many"), answer(False)),
        (reply(status={"message": 7}, warnings=["a", 7, "b"]), answer(False, warnings=("a", "b"))),
        (reply(warnings=["w" * 999] * 99), answer(False, warnings=("w" * 512,) * 10)),
    ],
)
def test_answers(body: bytes, expected: Answer) -> None:
    assert read_answer(body, UID) == expected


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"allowed", "no JSON"),
        (b"[]", "did not answer with an AdmissionReview"),
        (reply().replace(b"/v1", b"/v1beta1"), "did not answer with an AdmissionReview"),
        (reply().replace(b'"response"', b'"request"'), "did not answer with an AdmissionReview"),
        (reply(uid="other"), "the uid differs"),
        (reply(allowed="true"), "neither allowed nor denied"),
        (reply(allowed=None), "neither allowed nor denied"),
        (reply(allowed=True, patch="W10="), "wants to change the object"),
    ],
)
def test_what_is_no_answer(body: bytes, why: str) -> None:
    with pytest.raises(UnusableAnswer, match=why):
        read_answer(body, UID)
