from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from addons.core import console_view as view
from addons.core.access_request import AccessRequest, Event
from addons.core.access_request import State as Access
from addons.core.approval import Approval, Ask, Case, State
from addons.core.approval_terms import Offer, Reuse

ASK = Ask(
    requester_iss="https://idp", requester_sub="agent", connection="prod", session="s", verb="create",
    resource="pods/exec", namespace="default", name="web", argv=("ls", "-l"), method="CONNECT", target="/api/v1/x",
    rule="exec-needs-approval", risk=60, reason="a shell",
)  # fmt: skip
HOSTILE = "\x1b[2J\u202e<script>" + "x" * 5000


def case(id: str = "abcd2345", asked_at: float = 100, **changes: Any) -> Case:
    approval = Approval(id=id, digest="d", state=State.PENDING, asked_at=asked_at, expires_at=asked_at + 900)
    return Case(approval=approval, ask=replace(ASK, **changes))


def request(**changes: Any) -> AccessRequest:
    values = {
        "id": "r2345678", "iss": "https://idp", "sub": "agent", "connection": "prod", "role": "system:x",
        "rule": "on-request", "intent": "INC-1", "seconds": 3600, "longest_seconds": 7200, "approvers": ("leads",),
        "asked_at": 150, "expires_at": 3750,
    }  # fmt: skip
    return AccessRequest(**{**values, **changes})


def test_the_inbox_has_what_waits_newest_first() -> None:
    over = request(id="over", expires_at=160), request(id="granted", state=Access.GRANTED)
    found = view.inbox([case("first"), case("last", 200)], [request(), *over], 200)
    assert [item.page for item in found] == ["/approvals/last", "/grants/r2345678", "/approvals/first"]
    assert found[1].what == "access: system:x on prod for 1 h"
    assert (found[1].detail, found[1].left, found[1].state) == ("0 of 1 approvals", 3550, "pending")
    assert (found[0].what, found[0].who) == ("create pods/exec default/web -- ls -l on prod", "agent (https://idp)")
    assert (found[0].detail, found[0].left) == ("exec-needs-approval, risk 60", 900)


def test_what_one_run_of_a_client_asks_stands_together() -> None:
    questions = [case(name, at, run=run) for name, at, run in (("a", 100, "1"), ("b", 120, ""), ("c", 130, "1"))]
    groups = view.by_run(view.inbox(questions, [request()], 200))
    assert [[item.page[-1] for item in group] for group in groups] == [["8"], ["c", "a"], ["b"]]


def test_an_item_is_harmless_and_says_how_long_it_is() -> None:
    item = view.approval_item(case(intent=HOSTILE), 100)
    assert item.why.startswith("\\x1b[2J\\u202e<script>xxx") and item.why.endswith("… (5021 characters)")


def test_all_that_is_known_of_a_question() -> None:
    facts = dict(view.approval_facts(case(intent=HOSTILE, requester_act="bot", requester_owner="team"), 130))
    assert (facts["state"], facts["expires in"], facts["acting"], facts["owner"]) == (
        "pending",
        "14 min 30 s",
        "bot",
        "team",
    )
    assert facts["intent"] == HOSTILE
    assert {"answered by", "note", "command"} & facts.keys() == set()
    assert facts["request"] == "CONNECT /api/v1/x"
    assert dict(view.approval_facts(case(), 1000))["state"] == "expired"


def test_all_that_is_known_of_a_request_for_access() -> None:
    facts = dict(view.request_facts(request(approved_by=("i#ann",), approvals=2), 150))
    assert (facts["for"], facts["decided by"], facts["approved by"]) == ("1 h", "2 of leads", "i#ann")
    assert dict(view.request_facts(request(approvers=()), 150))["decided by"] == "1 of nobody"
    told = request(history=(Event(0, "approved", "i#ann"), Event(1, "denied", "i#bob", "no")))
    first, second = view.history(told)
    assert first.endswith("Z approved by i#ann") and second.endswith("Z denied by i#bob: no")


def test_what_approving_does() -> None:
    assert "once and unchanged (it waits, or has to be tried again within 15 min)" in view.approving(case(), 900)
    assert "must come again" in view.approving(case(method="PUT"), 900)
    assert "has the role system:x on prod for 1 h." in view.granting(request())
    assert "once 2 more have approved it, too." in view.granting(request(approvals=3))


def test_what_else_approving_may_do() -> None:
    assert view.approving_again(ASK, 0) == []
    offer = Offer(reuse=Reuse.MINUTES, max_seconds=900)
    (session, button, what), (minutes, _, _) = view.approving_again(replace(ASK, offer=offer), 0)
    assert (session.reuse, minutes.reuse, button) == (
        Reuse.SESSION, Reuse.MINUTES, "Approve for this session, 15 minutes",
    )  # fmt: skip
    assert what.startswith("This request, and also, until 00:15 UTC, without asking again: create pods/exec")


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (replace(ASK, argv=()), "create pods/exec default/web on prod"),
        (replace(ASK, namespace="", argv=()), "create pods/exec web on prod"),
        (replace(ASK, namespace="", name="\u202ea", argv=()), "create pods/exec \\u202ea on prod"),
    ],
)
def test_a_request_in_a_line(ask: Ask, text: str) -> None:
    assert view.what(ask) == text


def test_who_asks() -> None:
    assert view.who("i", "ann", "bot") == "bot for ann (i)"


def test_no_line_of_a_difference_is_lost() -> None:
    assert view.lines("") == []
    assert view.lines("+a\tb\n\n-\x1b[1A\r\n \u2028") == ["+a\tb", "", "-\\x1b[1A\\r", " \\u2028"]
    assert len(view.lines("\n".join("+x" for _ in range(2001)))) == 2001


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (3661, "1 h 1 min 1 s"), (7200, "2 h")],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert view.duration(seconds) == text


def test_a_session() -> None:
    identity = {"sub": "agent", "iss": "https://idp", "act": "bot", "owner": None, "groups": ["g", 1]}
    about = {"identity": identity, "connection": "prod", "intent": "INC-1", "started_at": 1.5}
    facts = dict(view.session_facts("s1", about, 2.0))
    assert facts == {
        "session": "s1", "who": "agent", "issuer": "https://idp", "acting": "bot", "groups": "g, 1", "intent": "INC-1",
        "connection": "prod", "began": "1970-01-01T00:00:01.500000Z", "last at": "1970-01-01T00:00:02.000000Z",
    }  # fmt: skip
    for odd in ({}, {"identity": "x", "started_at": "x"}, {"identity": {"groups": 5}, "started_at": 1e300}):
        assert dict(view.session_facts("s1", odd, 2.0)).keys() == {"session", "who", "last at"}
