from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from addons.core.approval import State
from addons.core.approval_terms import Needed
from addons.core.approvers import Vote
from addons.core.notify.event import Event, decision_of, document, ending
from tests.core.notify.cases import NOW, case

PAGE = Path(__file__).parents[3] / "docs" / "notifications.md"
URL = "https://chaperone.example/approvals/webhook/pager"
HOSTILE = "\x1b[2J\u202e<!channel>\x00\ud800" + "x" * 5000


def published() -> Draft7Validator:
    (schema,) = re.findall(r"```json schema\n(.*?)```", PAGE.read_text(), re.DOTALL)
    Draft7Validator.check_schema(json.loads(schema))
    return Draft7Validator(json.loads(schema))


def told(event: Event = Event.REQUESTED, **changes: Any) -> dict[str, Any]:
    return document(case(**changes), event, "pager", "o" * 64, URL)


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (Event.REQUESTED, {}),
        (Event.REQUESTED, {"diff": "--- before\n+++ after\n@@ -1 +1 @@\n-a\n+b"}),
        (Event.DECIDED, {"state": State.CONSUMED, "answered": ("https://idp#bob", "ok")}),
        (Event.DECIDED, {"state": State.DENIED, "answered": ("https://idp#bob", HOSTILE)}),
        (Event.EXPIRED, {"state": State.EXPIRED}),
        (Event.REQUESTED, dict.fromkeys(("intent", "name", "reason", "rule", "requester_sub", "diff"), HOSTILE)),
        (Event.REQUESTED, {"argv": (HOSTILE,) * 300, "requester_groups": ("g",) * 200}),
    ],
)
def test_what_is_told_keeps_to_the_published_schema(event: Event, changes: dict[str, Any]) -> None:
    sent = told(event, **changes)
    assert list(published().iter_errors(sent)) == []
    text = json.dumps(sent, ensure_ascii=False)
    assert text.isprintable()
    assert len(text) < 150_000


def test_the_published_schema_allows_nothing_else() -> None:
    validator = published()
    assert not validator.is_valid(told() | {"event": "unheard-of"})
    for key in told():
        assert not validator.is_valid({name: value for name, value in told().items() if name != key}), key


def test_every_field() -> None:
    sent = told(Event.DECIDED, state=State.GRANTED, answered=("https://idp#bob", "fine"), diff="+a")
    assert sent == {
        "schema": "chaperone.dev/approval/v1",
        "event": "decided",
        "event_id": "abcd2345.decided",
        "channel": "pager",
        "id": "abcd2345",
        "digest": "o" * 64,
        "asked_at": NOW,
        "expires_at": NOW + 900,
        "requester": {
            "iss": "https://idp.example",
            "sub": "agent-7",
            "act": "bot",
            "owner": "carol@example.com",
            "groups": ["agents"],
        },
        "session": "s1",
        "intent": "INC-7",
        "connection": "prod",
        "command": "connect pods/exec shop/web-1 -- sh -c id on prod",
        "request": {
            "verb": "connect",
            "resource": "pods/exec",
            "namespace": "shop",
            "name": "web-1",
            "argv": ["sh", "-c", "id"],
            "method": "CONNECT",
            "target": "/api/v1/namespaces/shop/pods/web-1/exec?command=sh",
            "looks_like": "kubectl exec",
        },
        "rule": "exec-needs-approval",
        "reaches": [],
        "agreement": None,
        "run": None,
        "risk": 60,
        "reason": "runs code",
        "change": {"added": 1, "removed": 0, "lines": ("+a",), "more_lines": 0},
        "decide": {"command": "chaperone approvals show abcd2345", "url": URL},
        "decision": {"decision": "approve", "approver": "https://idp#bob", "note": "fine", "answered_at": NOW + 5},
    }


def test_who_has_to_agree_how_far_it_reaches_and_what_belongs_together() -> None:
    vote = Vote(approver="https://idp#bob", person=("p",), groups=("oncall",), at=NOW)
    needed = (Needed(rule="r", groups=("oncall",), count=2),)
    asked = case(needed=needed, blast=(("replicas", "3 → 0"),), run="id-1", claimed="kubectl scale")
    sent = document(replace(asked, votes=(vote,)), Event.REQUESTED, "pager", "o" * 64, URL)
    assert list(published().iter_errors(sent)) == []
    assert sent["reaches"] == [{"name": "replicas", "value": "3 → 0"}]
    assert sent["run"] == {"id": "id-1", "command": "kubectl scale"}
    assert sent["agreement"] == {
        "said": "1 of 2 of oncall, by https://idp#bob",
        "needed": [{"rule": "r", "groups": ["oncall"], "count": 2}],
        "approvers": ["https://idp#bob"],
    }


def test_what_is_left_out_is_counted() -> None:
    sent = told(argv=("a",) * 130, diff="\n".join(f"+{number}" for number in range(250)))
    assert sent["request"]["argv"][-2:] == ["a", "… 30 more"]
    assert sent["change"]["more_lines"] == 50 and sent["change"]["added"] == 250
    assert told(intent="i" * 1001)["intent"].endswith("… 1 more characters")


@pytest.mark.parametrize(
    ("state", "answered", "event", "decision"),
    [
        (State.GRANTED, ("b", ""), Event.DECIDED, "approve"),
        (State.CONSUMED, ("b", ""), Event.DECIDED, "approve"),
        (State.EXPIRED, ("b", ""), Event.DECIDED, "approve"),
        (State.DENIED, ("b", ""), Event.DECIDED, "deny"),
        (State.EXPIRED, None, Event.EXPIRED, ""),
        (State.PENDING, None, Event.EXPIRED, ""),
    ],
)
def test_how_a_question_ends(state: State, answered: tuple[str, str] | None, event: Event, decision: str) -> None:
    approval = case(state, answered).approval
    assert (ending(approval), decision_of(approval)) == (event, decision)
