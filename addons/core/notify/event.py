"""What a webhook is told: one JSON document, version 1 of a schema that is published in docs/notifications.md.

Adapters (PagerDuty, Teams, chat) are written against it: fields are added within a version, never changed or removed.
"""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Any

from addons.core.approval import Approval, Ask, Case, State
from addons.core.approval_words import agreed
from addons.core.notify.wording import bounded, change, what

SCHEMA = "chaperone.dev/approval/v1"
MAX_COMMAND = 4000
MAX_WORDS = 100


class Event(StrEnum):
    """What has happened to a question."""

    REQUESTED = "requested"
    DECIDED = "decided"
    EXPIRED = "expired"


def ending(approval: Approval) -> Event:
    """How a question that is open no longer has ended."""
    return Event.EXPIRED if approval.answered_at is None else Event.DECIDED


def decision_of(approval: Approval) -> str:
    """`approve`, `deny`, or "" if nobody has answered."""
    if approval.answered_at is None:
        return ""
    return "deny" if approval.state in (State.DENIED, State.REVOKED) else "approve"


def document(case: Case, event: Event, channel: str, digest: str, answer_url: str) -> dict[str, Any]:
    """The body of a webhook. `digest` is what an answer repeats; `answer_url` is "" where none is taken."""
    approval, ask = case.approval, case.ask
    return {
        "schema": SCHEMA,
        "event": event.value,
        "event_id": f"{approval.id}.{event}",
        "channel": channel,
        "id": approval.id,
        "digest": digest,
        "asked_at": approval.asked_at,
        "expires_at": approval.expires_at,
        "requester": _requester(ask),
        "session": bounded(ask.session),
        "intent": bounded(ask.intent),
        "connection": bounded(ask.connection),
        "command": bounded(what(ask), MAX_COMMAND),
        "request": _request(ask),
        "rule": bounded(ask.rule),
        "risk": ask.risk,
        "reason": bounded(ask.reason),
        "change": asdict(change(ask.diff)) if ask.diff else None,
        "reaches": [{"name": bounded(name), "value": bounded(value)} for name, value in ask.blast],
        "agreement": _agreement(case) if ask.needed else None,
        "run": {"id": bounded(ask.run), "command": bounded(ask.claimed)} if ask.run else None,
        "decide": {"command": f"chaperone approvals show {approval.id}", "url": answer_url},
        "decision": _decision(approval) if event is Event.DECIDED else None,
    }


def _requester(ask: Ask) -> dict[str, Any]:
    return {
        "iss": bounded(ask.requester_iss),
        "sub": bounded(ask.requester_sub),
        "act": bounded(ask.requester_act),
        "owner": bounded(ask.requester_owner),
        "groups": _words(ask.requester_groups),
    }


def _request(ask: Ask) -> dict[str, Any]:
    return {
        "verb": bounded(ask.verb),
        "resource": bounded(ask.resource),
        "namespace": bounded(ask.namespace),
        "name": bounded(ask.name),
        "argv": _words(ask.argv),
        "method": bounded(ask.method),
        "target": bounded(ask.target),
        "looks_like": bounded(ask.command),
    }


def _agreement(case: Case) -> dict[str, Any]:
    """Who has to agree, where one person does not decide, and who has."""
    return {
        "said": bounded(agreed(case)),
        "needed": [
            {"rule": bounded(each.rule), "groups": _words(each.groups), "count": each.count} for each in case.ask.needed
        ],
        "approvers": _words(tuple(each.approver for each in case.votes)),
    }


def _words(words: tuple[str, ...]) -> list[str]:
    more = len(words) - MAX_WORDS
    return [*(bounded(word) for word in words[:MAX_WORDS]), *([f"… {more} more"] if more > 0 else [])]


def _decision(approval: Approval) -> dict[str, Any]:
    return {
        "decision": decision_of(approval),
        "approver": bounded(approval.approver),
        "note": bounded(approval.note),
        "answered_at": approval.answered_at,
    }
