from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from addons.core.approval import State, may_decide
from addons.core.approval_terms import Needed
from addons.core.notify.callback import Decision, Unreadable
from addons.core.notify.channel import Person, Slack
from addons.core.notify.event import Event
from addons.core.notify.slack import escaped, identity, message, read_click
from tests.core.notify.cases import NOW, case

LIMITS = {"header": 150, "section": 3000, "field": 2000, "button": 75}
ALICE = Person(issuer="https://idp.example", subject="alice", groups=("oncall",), email="alice@example.com")
PLACE = Slack(
    channel="C1",
    bot_token_file="t",
    signing_secret_file="s",
    people={"UALICE": ALICE, "UBOB": Person(issuer="https://idp.example", subject="agent-7")},
)


def texts(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        if "text" in block:
            yield block["type"], block["text"]
        yield from (("field", each) for each in block.get("fields", ()))
        yield from (("button", each["text"]) for each in block.get("elements", ()))


def shown(sent: dict[str, Any]) -> str:
    return "\n".join(text["text"] for _, text in texts(sent["blocks"]))


@pytest.mark.parametrize("hostile", ["", "<!channel> <@U1> *b* `c` &amp;\x1b[2J\u202e", "&" * 9000, "x\n" * 9000])
@pytest.mark.parametrize("event", Event)
def test_whatever_the_texts_a_message_is_plain_escaped_and_within_limits(event: Event, hostile: str) -> None:
    names = ("intent", "name", "reason", "rule", "requester_sub", "requester_act", "requester_owner", "command")
    sent = message(
        case(
            State.DENIED,
            ("bob", hostile),
            diff=hostile,
            argv=(hostile,),
            blast=((hostile, hostile),),
            needed=(Needed(rule=hostile, groups=(hostile,)),),
            **dict.fromkeys(names, hostile),
        ),
        event,
        "d" * 64,
        buttons=True,
    )
    assert len(sent["blocks"]) <= 50
    for kind, text in texts(sent["blocks"]):
        assert text["type"] == "plain_text" and text["emoji"] is False
        assert 0 < len(text["text"]) <= LIMITS[kind]
        assert "<" not in text["text"] and text["text"].replace("\n", "").isprintable()
    for block in sent["blocks"]:
        assert len(block.get("fields", ())) <= 10
    assert "<" not in sent["text"] and sent["mrkdwn"] is False and sent["link_names"] is False


def test_a_question_shows_who_what_and_why_and_can_be_answered() -> None:
    sent = message(case(diff="--- before\n+++ after\n-a <b>\n+c"), Event.REQUESTED, "d" * 64, buttons=True)
    said = shown(sent)
    for part in (
        "An approval is needed", "connect pods/exec shop/web-1 -- sh -c id on prod", "https://idp.example#agent-7",
        "Owner: carol@example.com", "Intent: INC-7", "exec-needs-approval (risk 60)", "abcd2345", "-a &lt;b&gt;\n+c",
        "1 lines added, 1 removed", "Approve", "Deny",
    ):  # fmt: skip
        assert part in said, part
    (actions,) = [block for block in sent["blocks"] if block["type"] == "actions"]
    values = [json.loads(each["value"]) for each in actions["elements"]]
    assert values == [{"id": "abcd2345", "digest": "d" * 64}] * 2


def test_a_question_shows_how_far_it_reaches_and_who_has_to_agree() -> None:
    asked = case(needed=(Needed(rule="r", groups=("oncall",), count=2),), blast=(("objects", "1"), ("owns", "pods")))
    said = shown(message(asked, Event.REQUESTED, "d", buttons=True))
    assert "Reaches: objects 1, owns pods" in said and "Approved by: 0 of 2 of oncall" in said


def test_lines_that_do_not_fit_are_counted() -> None:
    sent = message(case(diff="\n".join(f"+{number}" for number in range(100))), Event.REQUESTED, "d", buttons=False)
    assert "\n… 40 more lines: chaperone approvals show abcd2345" in shown(sent)
    assert not any(block["type"] == "actions" for block in sent["blocks"])
    wide = message(case(diff="\n".join(["+" + "<" * 400] * 5)), Event.REQUESTED, "d", buttons=False)
    assert "… 4 more lines" in shown(wide)


@pytest.mark.parametrize(
    ("state", "answered", "event", "said"),
    [
        (State.CONSUMED, ("https://idp#bob", ""), Event.DECIDED, "Approved by https://idp#bob"),
        (State.DENIED, ("https://idp#bob", "no"), Event.DECIDED, "Denied by https://idp#bob: no"),
        (State.EXPIRED, None, Event.EXPIRED, "Nobody answered in time"),
    ],
)
def test_what_has_become_of_it(state: State, answered: tuple[str, str] | None, event: Event, said: str) -> None:
    sent = message(case(state, answered), event, "d", buttons=True)
    assert said in shown(sent)
    assert not any(block["type"] == "actions" for block in sent["blocks"])


def test_escaping() -> None:
    assert escaped("<a&b>") == "&lt;a&amp;b&gt;"


def body(**changes: Any) -> bytes:
    value = json.dumps({"id": "abcd2345", "digest": "d"})
    payload = {
        "type": "block_actions",
        "user": {"id": "UALICE", "username": "alice"},
        "actions": [{"action_id": "chaperone_approve", "value": value, "block_id": "x"}],
        "response_url": "https://evil.example",
    }
    return b"payload=" + quote(json.dumps(payload | changes)).encode()


def action(**changes: Any) -> list[dict[str, Any]]:
    return [{"action_id": "chaperone_deny", "value": json.dumps({"id": "a", "digest": "d"})} | changes]


@pytest.mark.parametrize(
    ("sent", "approve"), [(body(), True), (body(actions=action()), False), (body(actions=action(more=1)), False)]
)
def test_a_click(sent: bytes, approve: bool) -> None:
    click = read_click(sent)
    assert (click.user, click.decision.approve, click.decision.digest) == ("UALICE", approve, "d")
    assert isinstance(click.decision, Decision)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\xff",
        b"payload",
        b"payload=%5B%5D",
        b"payload=no",
        body() + b"&" + body(),
        b"&".join(b"a=1" for _ in range(20)),
        body(type="view_submission"),
        body(user={}),
        body(user="UALICE"),
        body(actions=[]),
        body(actions=action() * 2),
        body(actions=action(action_id="other")),
        body(actions=action(value="no")),
        body(actions=action(value=json.dumps({"id": "a"}))),
    ],
)
def test_what_is_no_click(sent: bytes) -> None:
    with pytest.raises(Unreadable, match="not a click"):
        read_click(sent)


def test_who_somebody_is() -> None:
    alice = identity(PLACE, "UALICE", NOW)
    assert alice is not None
    assert (alice.username, alice.groups) == ("https://idp.example#alice", ("oncall",))
    assert identity(PLACE, "UMALLORY", NOW) is None


@pytest.mark.parametrize(
    ("user", "owner", "why"),
    [
        ("UALICE", "", ""),
        ("UALICE", "Alice@Example.com", "the owner of an agent"),
        ("UALICE", "alice", "the owner of an agent"),
        ("UALICE", "oncall", "the owner of an agent"),
        ("UBOB", "", "nobody approves their own request"),
    ],
)
def test_nobody_approves_their_own_in_slack_either(user: str, owner: str, why: str) -> None:
    person = identity(PLACE, user, NOW)
    assert person is not None
    said = may_decide(case(requester_owner=owner).ask, person)
    assert said.startswith(why) and bool(said) == bool(why)
