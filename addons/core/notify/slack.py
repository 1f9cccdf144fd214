"""Slack: the message about a question, and what a click on one of its buttons says.

Everything that comes from elsewhere is in plain text objects, where Slack interprets nothing, and escaped as Slack
demands. Sources: https://docs.slack.dev/reference/block-kit and
https://docs.slack.dev/reference/interaction-payloads/block_actions-payload.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field

from addons.core.approval import Approval, Ask, Case
from addons.core.approval_words import agreed
from addons.core.identity import Identity
from addons.core.notify.callback import Decision, Unreadable
from addons.core.notify.channel import Slack
from addons.core.notify.event import Event, decision_of
from addons.core.notify.wording import bounded, change, what

APPROVE, DENY = "chaperone_approve", "chaperone_deny"
_MAX_SECTION = 2800
"""Characters as they are sent, below Slack's limit of 3000; those of a field are 2000."""
_MAX_TEXT, _MAX_FIELD = 570, 380
"""Characters before they are escaped, which makes five of one at most."""
_MAX_DIFF_LINES = 60
_TITLES = {Event.REQUESTED: "An approval is needed", Event.EXPIRED: "Nobody answered in time"}
_DECIDED = {"approve": "Approved", "deny": "Denied"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """A button that somebody pressed; `user` is their Slack id."""

    user: str
    decision: Decision


def message(case: Case, event: Event, digest: str, *, buttons: bool) -> dict[str, Any]:
    """`text` and `blocks` of the message, whatever has become of the question."""
    approval, ask = case.approval, case.ask
    title = _title(approval, event)
    blocks = [
        {"type": "header", "text": _plain(title)},
        _section(what(ask)),
        {"type": "section", "fields": [_plain(f"{name}: {value}") for name, value in _facts(case) if value]},
        *_diff(ask, approval),
    ]
    if event is Event.REQUESTED:
        blocks += [_actions(approval, digest)] if buttons else []
    else:
        blocks.append(_section(_outcome(approval, event)))
    text = escaped(bounded(f"{title}: {what(ask)}", _MAX_FIELD))
    return {"text": text, "blocks": blocks, "mrkdwn": False, "parse": "none", "link_names": False}


def escaped(text: str) -> str:
    """Source: https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def read_click(body: bytes) -> Click:
    """What a request of Slack's says. Raises Unreadable. It must have been verified."""
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)
        (payload,) = fields["payload"]
        return _click(_Payload.model_validate_json(payload))
    except (KeyError, ValueError) as error:  # ValidationError, too
        raise Unreadable("it is not a click on a button of this message") from error


def identity(slack: Slack, user: str, now: float) -> Identity | None:
    """Who a Slack user is here; None for a stranger."""
    person = slack.people.get(user)
    if person is None:
        return None
    claims = {"sub": person.subject} | ({"email": person.email} if person.email else {})
    return Identity(
        iss=person.issuer, sub=person.subject, aud=("slack",), exp=now + 60, groups=person.groups, claims=claims
    )


class _Reading(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Value(_Reading):
    id: str = Field(min_length=1, max_length=64)
    digest: str = Field(min_length=1, max_length=128)


class _Action(_Reading):
    action_id: str
    value: str = Field(max_length=2000)


class _User(_Reading):
    id: str = Field(min_length=1, max_length=64)


class _Payload(_Reading):
    type: str
    user: _User
    actions: list[_Action] = Field(min_length=1, max_length=1)


def _click(payload: _Payload) -> Click:
    (action,) = payload.actions
    if payload.type != "block_actions" or action.action_id not in (APPROVE, DENY):
        raise ValueError("another interaction")
    about = _Value.model_validate_json(action.value)
    approve = action.action_id == APPROVE
    decision = Decision(id=about.id, digest=about.digest, approve=approve)
    return Click(user=payload.user.id, decision=decision)


def _title(approval: Approval, event: Event) -> str:
    return _DECIDED[decision_of(approval)] if event is Event.DECIDED else _TITLES[event]


def _facts(case: Case) -> list[tuple[str, str]]:
    approval, ask = case.approval, case.ask
    return [
        ("Who", f"{ask.requester_iss}#{ask.requester_sub}"),
        ("Acting", ask.requester_act),
        ("Owner", ask.requester_owner),
        ("Intent", ask.intent),
        ("Looks like", ask.command),
        ("Rule", f"{ask.rule} (risk {ask.risk})"),
        ("Reason", ask.reason),
        ("Reaches", ", ".join(f"{name} {value}" for name, value in ask.blast)),
        ("Approved by", agreed(case)),
        ("Approval", f"{approval.id}, for this one request, once"),
    ]


def _diff(ask: Ask, approval: Approval) -> list[dict[str, Any]]:
    """What of the difference fits, whole lines only, and how many lines do not."""
    if not ask.diff:
        return []
    found, kept, room = change(ask.diff, _MAX_DIFF_LINES), 0, _MAX_SECTION
    for line in found.lines:
        room -= len(escaped(line)) + 1
        if room < 0:
            break
        kept += 1
    more = found.more_lines + len(found.lines) - kept
    rest = [f"… {more} more lines: chaperone approvals show {approval.id}"] if more else []
    head = f"The change ({found.added} lines added, {found.removed} removed):"
    return [_section(head), {"type": "section", "text": _plain("\n".join([*found.lines[:kept], *rest]), lines=True)}]


def _outcome(approval: Approval, event: Event) -> str:
    if event is Event.EXPIRED:
        return "The agent has to send the request again."
    note = f": {approval.note}" if approval.note else ""
    return f"{_DECIDED[decision_of(approval)]} by {approval.approver}{note}"


def _actions(approval: Approval, digest: str) -> dict[str, Any]:
    value = json.dumps({"id": approval.id, "digest": digest})
    buttons = [(APPROVE, "Approve", "primary"), (DENY, "Deny", "danger")]
    return {
        "type": "actions",
        "elements": [
            {"type": "button", "action_id": action, "text": _plain(word), "style": style, "value": value}
            for action, word, style in buttons
        ],
    }


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text, _MAX_TEXT)}


def _plain(text: str, most: int = _MAX_FIELD, *, lines: bool = False) -> dict[str, Any]:
    """A text object; `lines` is text that is escaped and bounded already, over several lines."""
    return {"type": "plain_text", "text": escaped(text if lines else bounded(text, most)), "emoji": False}
