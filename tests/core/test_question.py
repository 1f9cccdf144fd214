"""What a human is asked, and what the agent hears meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from addons.core.approval import Approval, State
from addons.core.command import Command
from addons.core.decision import Decision, Verdict
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.question import CHANGED, TOO_MANY, Extent, ask, object_target, refusal, waiting
from addons.core.session import Session

IDENTITY = Identity(iss="i", sub="agent", aud=(), exp=1, act="bot", owner="bob")
SESSION = Session(id="s1", identity=IDENTITY, connection="prod", started_at=0, intent="INC-1")
EXEC = KubeRequest(
    method="GET", path="/x", target="/x?command=curl&access_token=t0ken", verb="get", namespace="n", resource="pods",
    subresource="exec", name="p", argv=("curl", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"),
)  # fmt: skip
DELETE = KubeRequest(method="DELETE", path="/y", target="/y", verb="delete", resource="nodes", name="n1")
DECISION = Decision(verdict=Verdict.REQUIRE_APPROVAL, rule="exec", risk=60, reason="runs code")
APPROVAL = Approval(id="abcdefgh", digest="d", state=State.PENDING, asked_at=0, expires_at=9, approver="alice")


POD = KubeRequest(
    method="GET", path="/x", verb="get", api_version="v1", namespace="n", resource="pods", name="p"
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, "/api/v1/namespaces/n/pods/p"),
        ({"verb": "create", "subresource": "exec"}, "/api/v1/namespaces/n/pods/p"),
        ({"subresource": "proxy"}, "/api/v1/namespaces/n/pods/p"),
        ({"namespace": "pods", "name": "pods"}, "/api/v1/namespaces/pods/pods/pods"),
        ({"api_group": "apps", "resource": "deployments"}, "/apis/apps/v1/namespaces/n/deployments/p"),
        ({"namespace": "", "resource": "nodes"}, "/api/v1/nodes/p"),
        ({"namespace": "p", "resource": "namespaces"}, "/api/v1/namespaces/p"),
        ({"name": "system:masters"}, "/api/v1/namespaces/n/pods/system:masters"),
        ({"name": ""}, ""),
        ({"verb": "create"}, ""),
    ],
)
def test_b86_the_object_it_is_about(changes: dict[str, Any], target: str) -> None:
    assert object_target(replace(POD, **changes)) == target


def test_the_question() -> None:
    asked = ask(IDENTITY, SESSION, EXEC, Command(inferred="kubectl exec"), DECISION, Extent(diff="+ a"))
    assert (asked.requester_iss, asked.requester_sub, asked.requester_act, asked.requester_owner) == (
        "i", "agent", "bot", "bob",
    )  # fmt: skip
    assert (asked.connection, asked.session, asked.intent) == ("prod", "s1", "INC-1")
    assert (asked.verb, asked.resource, asked.namespace, asked.name) == ("get", "pods/exec", "n", "p")
    assert (asked.method, asked.command, asked.rule, asked.risk, asked.reason, asked.diff) == (
        "CONNECT", "kubectl exec", "exec", 60, "runs code", "+ a",
    )  # fmt: skip


def test_the_question_holds_no_token() -> None:
    asked = ask(IDENTITY, SESSION, EXEC, Command(), DECISION, Extent(diff=""))
    assert asked.argv == ("curl", "[scrubbed]")
    assert asked.target == "/x?command=curl&access_token=[scrubbed]"


def test_a_resource_without_subresource() -> None:
    assert ask(IDENTITY, SESSION, DELETE, Command(), DECISION, Extent(diff="")).resource == "nodes"


@pytest.mark.parametrize(
    ("state", "request_", "code", "why"),
    [
        pytest.param(State.PENDING, DELETE, 429, "approval abcdefgh is still waiting for an answer", id="pending"),
        pytest.param(State.PENDING, EXEC, 403, "approval abcdefgh is still waiting for an answer", id="pending-exec"),
        pytest.param(State.GRANTED, DELETE, 429, "approval abcdefgh is granted", id="granted-but-used-by-another"),
        pytest.param(State.EXPIRED, DELETE, 429, "approval abcdefgh is expired", id="expired"),
        pytest.param(State.DENIED, DELETE, 403, "alice denied approval abcdefgh: not now", id="denied"),
        pytest.param(State.DENIED, EXEC, 403, "alice denied approval abcdefgh: not now", id="denied-exec"),
    ],
)
def test_what_the_agent_hears(state: State, request_: KubeRequest, code: int, why: str) -> None:
    told = refusal(replace(APPROVAL, state=state, note="not now"), request_, "exec", "runs code")
    assert (told.code, told.rule) == (code, "exec")
    assert why in told.why
    if state is State.DENIED:
        assert told.retry_after_seconds is None
    else:
        assert "chaperone approvals approve abcdefgh" in told.hint
        assert told.retry_after_seconds


def test_defaults_say_something() -> None:
    assert "no reason was given" in refusal(replace(APPROVAL, state=State.DENIED), EXEC, "exec", "").why
    assert "this needs a human" in refusal(APPROVAL, EXEC, "exec", "").why


@pytest.mark.parametrize(
    ("request_", "what"),
    [(EXEC, "open pods/exec p in namespace n -- curl [scrubbed]; "), (DELETE, "delete nodes n1; ")],
    ids=["exec", "delete"],
)
def test_whoever_looks_on_sees_who_what_why_and_how_to_decide(request_: KubeRequest, what: str) -> None:
    assert waiting(APPROVAL, IDENTITY, request_, DECISION) == (
        f"waits for approval abcdefgh: {IDENTITY.username}: {what}exec (risk 60): runs code;"
        " decide with: chaperone approvals approve abcdefgh"
    )


@pytest.mark.parametrize("fixed", [CHANGED, TOO_MANY], ids=["changed", "too-many"])
def test_other_refusals_name_a_remedy(fixed: object) -> None:
    assert getattr(fixed, "hint", "")
