"""Audit events that tools for a cluster's own audit log understand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.approval import Approval, State
from addons.core.approval_terms import Reuse
from addons.core.audit import MAX_TEXT, Call, Stage, event, line, timestamp
from addons.core.command import Command
from addons.core.decision import Alert, Decision, Match, Verdict
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal

IDENTITY = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=1, groups=("a", "b"), jti="j", owner="bob")
REQUEST = KubeRequest(
    method="GET", path="/api/v1/namespaces/n/pods/p/exec", is_resource_request=True, verb="get", api_version="v1",
    namespace="n", resource="pods", subresource="exec", name="p", argv=("sh", "-c", "id"),
)  # fmt: skip
CALL = Call(
    id="0b6a", received_at=1_763_929_000.25, method="GET", target="/api/v1/namespaces/n/pods/p/exec?command=sh",
    source="10.0.0.9", user_agent="kubectl/v1.37.1", connection="prod", session="s1", intent="INC-1",
    identity=IDENTITY, request=REQUEST, command=Command(claimed="kubectl exec", inferred="kubectl exec p"),
    decision=Decision(
        verdict=Verdict.REQUIRE_APPROVAL, risk=60, rule="exec", reason="runs code",
        matches=(Match(rule="new", verdict=Verdict.DENY, risk=99, reason="", shadow=True),
                 Match(rule="exec", verdict=Verdict.REQUIRE_APPROVAL, risk=60, reason="runs code")),
    ),
    grant=Grant(id="g1", identity=IDENTITY, connection="prod", role="arn:r", not_before_at=0, expires_at=9),
    approval=Approval(
        id="abcdefgh", digest="d", state=State.CONSUMED, asked_at=1, expires_at=2, approver="idp#alice", note="ok"
    ),
    masked=True, policy="0123456789abcdef",
)  # fmt: skip


def _event(call: Call, stage: Stage = Stage.REQUEST_RECEIVED, code: int = 0, message: str = "") -> dict[str, Any]:
    return json.loads(line(event(call, stage, 1_763_929_001, code, message)))  # type: ignore[no-any-return]


def test_the_whole_event() -> None:
    assert _event(CALL) == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "0b6a",
        "stage": "RequestReceived",
        "requestURI": "/api/v1/namespaces/n/pods/p/exec?command=sh",
        "verb": "get",
        "user": {
            "username": "https://idp#agent",
            "groups": ["a", "b"],
            "extra": {
                "chaperone.dev/iss": ["https://idp"],
                "chaperone.dev/owner": ["bob"],
                "chaperone.dev/jti": ["j"],
            },
        },
        "sourceIPs": ["10.0.0.9"],
        "userAgent": "kubectl/v1.37.1",
        "objectRef": {"resource": "pods", "namespace": "n", "name": "p", "apiVersion": "v1", "subresource": "exec"},
        "requestReceivedTimestamp": "2025-11-23T20:16:40.250000Z",
        "stageTimestamp": "2025-11-23T20:16:41.000000Z",
        "annotations": {
            "chaperone.dev/connection": "prod",
            "chaperone.dev/policy": "0123456789ab",
            "chaperone.dev/session": "s1",
            "chaperone.dev/intent": "INC-1",
            "chaperone.dev/decision": "require_approval",
            "chaperone.dev/risk": "60",
            "chaperone.dev/rule": "exec",
            "chaperone.dev/reason": "runs code",
            "chaperone.dev/shadow": "new",
            "chaperone.dev/grant": "g1",
            "chaperone.dev/role": "arn:r",
            "chaperone.dev/approval": "abcdefgh",
            "chaperone.dev/approval-state": "consumed",
            "chaperone.dev/approver": "idp#alice",
            "chaperone.dev/approval-note": "ok",
            "chaperone.dev/command": "kubectl exec p",
            "chaperone.dev/claimed-command": "kubectl exec",
            "chaperone.dev/argv": '["sh","-c","id"]',
            "chaperone.dev/masked": "true",
            "authorization.k8s.io/decision": "allow",
        },
    }


def test_the_second_try_of_a_session_names_the_first() -> None:
    assert _event(replace(CALL, retry_of="id-1"))["annotations"]["chaperone.dev/retry-of"] == "id-1"


def test_a_match_that_somebody_is_told_of() -> None:
    match = Match(rule="exec", verdict=Verdict.WARN, risk=60, reason="runs code", alert=Alert(severity="high"))
    told = _event(replace(CALL, decision=Decision(verdict=Verdict.WARN, matches=(match,))))
    (alert,) = json.loads(told["annotations"]["chaperone.dev/alert"])
    assert alert | {"key": ""} == {"rule": "exec", "severity": "high", "key": "", "reason": "runs code"}


def test_an_object_that_is_created_is_named() -> None:
    request = replace(REQUEST, verb="create", subresource="", name="")
    assert "name" not in _event(replace(CALL, request=request))["objectRef"]
    assert _event(replace(CALL, request=request, object_name="web"))["objectRef"]["name"] == "web"
    assert len(_event(replace(CALL, request=request, object_name="x" * 999))["objectRef"]["name"]) == 253


def test_what_a_caller_says_of_its_trace() -> None:
    assert "chaperone.dev/traceparent" not in _event(CALL)["annotations"]
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    assert _event(replace(CALL, traceparent=parent))["annotations"]["chaperone.dev/traceparent"] == parent
    assert len(_event(replace(CALL, traceparent="x" * 999))["annotations"]["chaperone.dev/traceparent"]) == 55


def test_what_was_only_observed_says_what_it_would_have_been() -> None:
    decision = Decision(verdict=Verdict.WARN, rule="r", risk=95, observed=Verdict.DENY)
    annotations = _event(replace(CALL, decision=decision))["annotations"]
    assert (annotations["chaperone.dev/decision"], annotations["chaperone.dev/observed"]) == ("warn", "deny")


GARBAGE = Call(id="1", received_at=0, method="BREW", target="/x")


def test_an_unidentified_caller() -> None:
    record = _event(GARBAGE)
    assert record["user"] == {"username": "system:anonymous", "groups": ["system:unauthenticated"]}
    assert (record["verb"], record["sourceIPs"], record["annotations"]) == ("brew", [], {})
    assert "objectRef" not in record
    assert "responseStatus" not in record


def test_a_non_resource_request_has_no_object() -> None:
    request = KubeRequest(method="GET", path="/version", verb="get")
    assert "objectRef" not in _event(replace(GARBAGE, request=request))


REFUSAL = Refusal(code=403, rule="no-grant", why="nothing allows it")


@pytest.mark.parametrize(
    ("verdict", "word"),
    [(None, "refuse"), (Verdict.ALLOW, "refuse"), (Verdict.REQUIRE_APPROVAL, "refuse"), (Verdict.DENY, "deny")],
)
def test_refusals(verdict: Verdict | None, word: str) -> None:
    decision = None if verdict is None else Decision(verdict=verdict, rule="r", reason="s")
    record = _event(replace(CALL, decision=decision, refusal=REFUSAL), Stage.RESPONSE_COMPLETE, 403)
    assert record["responseStatus"] == {"metadata": {}, "status": "Failure", "reason": "no-grant", "code": 403}
    annotations = record["annotations"]
    assert annotations["chaperone.dev/decision"] == word
    assert annotations["chaperone.dev/rule"] == "no-grant"
    assert annotations["authorization.k8s.io/decision"] == "forbid"


@pytest.mark.parametrize(
    ("code", "message", "status"),
    [
        pytest.param(200, "", {"metadata": {}, "code": 200}, id="success"),
        pytest.param(500, "", {"metadata": {}, "status": "Failure", "code": 500}, id="failure"),
        pytest.param(0, "gone", {"metadata": {}, "status": "Failure", "message": "gone"}, id="no-answer"),
    ],
)
def test_response_status(code: int, message: str, status: dict[str, object]) -> None:
    assert _event(CALL, Stage.RESPONSE_COMPLETE, code, message)["responseStatus"] == status


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"


def test_no_token_gets_in() -> None:
    request = replace(REQUEST, argv=("curl", JWT))
    call = replace(CALL, target=f"/x?access_token=abc123&command={JWT}", user_agent=JWT, request=request)
    written = line(event(call, Stage.RESPONSE_COMPLETE, 1, 0, JWT))
    assert b"eyJ" not in written
    assert b"abc123" not in written


def test_long_text_is_cut() -> None:
    record = _event(replace(CALL, target="/" + "a" * 2 * MAX_TEXT, user_agent="b" * 2 * MAX_TEXT))
    assert len(record["requestURI"]) == len(record["userAgent"]) == MAX_TEXT


def test_extra_annotations() -> None:
    record = event(CALL, Stage.RESPONSE_COMPLETE, 1, 101, "", {"exit-code": "0", "empty": ""})
    assert record["annotations"]["chaperone.dev/exit-code"] == "0"
    assert "chaperone.dev/empty" not in record["annotations"]


_ANY_TEXT = st.text(st.characters(codec=None, categories=None))


@given(_ANY_TEXT, _ANY_TEXT, st.tuples(_ANY_TEXT, _ANY_TEXT))
def test_b27_any_text_is_one_line_of_json(target: str, agent: str, argv: tuple[str, str]) -> None:
    call = replace(CALL, target=target, user_agent=agent, request=replace(REQUEST, argv=argv))
    written = line(event(call, Stage.PANIC, 1))
    assert written.count(b"\n") == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f]", written.decode()[:-1])
    assert json.loads(written)["stage"] == "Panic"


def test_b27_terminals_are_told_nothing() -> None:
    written = line(event(replace(CALL, user_agent="a\x7f\x9b2J\x85\x1b[2J\u00e9"), Stage.PANIC, 1))
    assert json.loads(written)["userAgent"] == "a\x7f\x9b2J\x85\x1b[2J\u00e9"
    assert rb"a\u007f\u009b2J\u0085\u001b[2J" in written


def test_what_is_no_unicode_is_escaped() -> None:
    record = _event(replace(CALL, target="/\udcff"))
    assert record["requestURI"] == "/\\udcff"


def test_other_values_survive_the_escaping() -> None:
    call = replace(CALL, target="/\udcff")
    record = json.loads(line(event(call, Stage.RESPONSE_COMPLETE, 1, 200)))
    assert record["responseStatus"]["code"] == 200


def test_timestamps_are_utc_microseconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"


def test_mappings_that_are_read_only_are_written_as_others() -> None:
    claims = MappingProxyType({"repository": "web", "nested": MappingProxyType({"a": [1]})})
    assert line({"claims": claims}) == b'{"claims":{"repository":"web","nested":{"a":[1]}}}\n'
    assert line({"claims": claims, "text": "\udcff"}) == (
        rb'{"claims":{"repository":"web","nested":{"a":[1]}},"text":"\\udcff"}' + b"\n"
    )


def test_what_has_no_form_in_json_is_not_written() -> None:
    with pytest.raises(TypeError):
        line({"odd": {1, 2}})


def test_a_use_of_an_approval_that_stands_says_so() -> None:
    assert CALL.approval is not None
    stands = replace(CALL.approval, state=State.STANDING, reuse=Reuse.SESSION, expires_at=1_763_929_600)
    annotations = _event(replace(CALL, approval=stands))["annotations"]
    assert annotations["chaperone.dev/approval-state"] == "standing"
    assert annotations["chaperone.dev/approval-scope"] == "session until 2025-11-23T20:26:40.000000Z"
    assert annotations["chaperone.dev/approver"] == "idp#alice"
