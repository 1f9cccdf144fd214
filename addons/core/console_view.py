"""What the console's pages show: what waits, and all that is known of one of it, as plain text for a page to escape.

Nothing is left out without a word: what is shortened in a list says how long it is; the page behind it has it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from addons.core import access_request, approval
from addons.core.access_request import AccessRequest
from addons.core.approval import Ask, Case
from addons.core.approval_terms import Scope
from addons.core.approval_words import agreed, allows_again, offers, run_of, stands, together
from addons.core.audit import timestamp
from addons.core.printable import printable

LONGEST = 200
"""Characters of one thing in a list."""
Facts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a list; `page` is where the rest is."""

    page: str
    what: str
    who: str
    why: str
    detail: str
    state: str
    asked_at: float
    left: int
    run: tuple[str, ...] = ()
    """Which run of a client it belongs to, and what that says it is; empty where it says nothing."""
    claimed: str = ""


def inbox(cases: Iterable[Case], requests: Iterable[AccessRequest], now: float) -> list[Item]:
    """What waits for people, newest first."""
    waiting = [each for each in requests if access_request.state_at(each, now) is access_request.State.PENDING]
    items = [*(approval_item(case, now) for case in cases), *(request_item(each, now) for each in waiting)]
    return sorted(items, key=lambda item: item.asked_at, reverse=True)


def by_run(items: Iterable[Item]) -> list[list[Item]]:
    """What stands together in a list."""
    return together(items, lambda item: item.run or item.page)


def approval_item(case: Case, now: float) -> Item:
    """A question about one request."""
    ask = case.ask
    return Item(
        page=f"/approvals/{case.approval.id}",
        what=clipped(what(ask)),
        who=clipped(who(ask.requester_iss, ask.requester_sub, ask.requester_act)),
        why=clipped(ask.intent),
        detail=clipped(", ".join(filter(None, _detail(case, now)))),
        state=approval.state_at(case.approval, now),
        asked_at=case.approval.asked_at,
        left=max(0, int(case.approval.expires_at - now)),
        run=run_of(case),
        claimed=clipped(ask.claimed),
    )


def _detail(case: Case, now: float) -> tuple[str, ...]:
    ask = case.ask
    return ask.rule, f"risk {ask.risk}", agreed(case), stands(case.approval, now), ask.claimed


def request_item(request: AccessRequest, now: float) -> Item:
    """A request for access."""
    agreed = f"{len(request.approved_by)} of {request.approvals} approvals"
    return Item(
        page=f"/grants/{request.id}",
        what=clipped(f"access: {request.role} on {request.connection} for {duration(request.seconds)}"),
        who=clipped(who(request.iss, request.sub, request.act)),
        why=clipped(request.intent),
        detail=agreed,
        state=access_request.state_at(request, now),
        asked_at=request.asked_at,
        left=max(0, int(request.expires_at - now)),
    )


def approval_facts(case: Case, now: float) -> Facts:
    """All that is known of a question, but for its difference; what is empty is left out."""
    ask, found = case.ask, case.approval
    return _told(
        ("state", approval.state_at(found, now)),
        ("who", f"{ask.requester_iss}#{ask.requester_sub}"),
        ("acting", ask.requester_act),
        ("owner", ask.requester_owner),
        ("groups", ", ".join(ask.requester_groups)),
        ("intent", ask.intent),
        ("connection", ask.connection),
        ("what", what(ask)),
        ("command", ask.command),
        ("request", f"{ask.method} {ask.target}"),
        ("rule", ask.rule),
        ("risk", str(ask.risk)),
        ("reason", ask.reason),
        ("session", ask.session),
        ("asked", timestamp(found.asked_at)),
        ("expires in", duration(found.expires_at - now)),
        ("answered by", found.approver),
        ("note", found.note),
        ("stands", stands(found, now)),
        ("approved by", agreed(case)),
        ("container", ask.container),
        ("says it runs", ask.claimed),
        *ask.blast,
    )


def request_facts(request: AccessRequest, now: float) -> Facts:
    """All that is known of a request for access, but for its history; what is empty is left out."""
    return _told(
        ("state", access_request.state_at(request, now)),
        ("who", f"{request.iss}#{request.sub}"),
        ("acting", request.act),
        ("owner", request.owner),
        ("intent", request.intent),
        ("connection", request.connection),
        ("role", request.role),
        ("for", duration(request.seconds)),
        ("rule", request.rule),
        ("decided by", f"{request.approvals} of {', '.join(request.approvers) or 'nobody'}"),
        ("approved by", ", ".join(request.approved_by)),
        ("asked", timestamp(request.asked_at)),
        ("expires in", duration(request.expires_at - now)),
    )


def session_user(about: Mapping[str, Any]) -> str:
    """Whose session it was, by what is written beside it."""
    identity = about.get("identity")
    return str(identity.get("sub", "unidentified")) if isinstance(identity, dict) else "unidentified"


def session_facts(session_id: str, about: Mapping[str, Any], changed_at: float) -> Facts:
    """All that is known of a session; what is empty is left out."""
    identity = about.get("identity")
    who = identity if isinstance(identity, dict) else {}
    groups, started = who.get("groups"), about.get("started_at")
    return _told(
        ("session", session_id),
        ("part of", str(about.get("session") or "")),
        ("who", session_user(about)),
        ("issuer", str(who.get("iss") or "")),
        ("acting", str(who.get("act") or "")),
        ("owner", str(who.get("owner") or "")),
        ("groups", ", ".join(map(str, groups)) if isinstance(groups, list) else ""),
        ("intent", str(about.get("intent") or "")),
        ("connection", str(about.get("connection") or "")),
        ("began", timestamp(started) if isinstance(started, int | float) and 0 < started < 1e11 else ""),
        ("last at", timestamp(changed_at)),
    )


def history(request: AccessRequest) -> list[str]:
    """What happened to a request for access, oldest first."""
    return [
        f"{timestamp(event.at)} {event.what} by {event.who}" + (f": {event.note}" if event.note else "")
        for event in request.history
    ]


def approving(case: Case, seconds: float) -> str:
    """What it does to approve a question."""
    ask = case.ask
    again = "it waits, or must come again" if ask.method != "CONNECT" else "it waits, or has to be tried again"
    others = f"Once enough people have agreed ({agreed(case)}), " if ask.needed else ""
    return (
        f"{others}{ask.requester_sub} may make this one request on {ask.connection}, once and unchanged ({again} within"
        f" {duration(seconds)}). Nothing else is allowed by it."
    )


def approving_again(ask: Ask, now: float) -> list[tuple[Scope, str, str]]:
    """How else it may be approved: how far, on a button, and what that does."""
    words = {"session": "this session", "minutes": "this caller"}
    return [
        (
            scope,
            f"Approve for {words[scope.reuse]}, {scope.seconds // 60} minutes",
            f"This request, and also, {allows_again(ask, scope, now + scope.seconds)}. It can be revoked at any time.",
        )
        for scope in offers(ask)
    ]


def granting(request: AccessRequest) -> str:
    """What it does to approve a request for access."""
    missing = request.approvals - len(request.approved_by)
    others = "" if missing <= 1 else f" once {missing - 1} more have approved it, too"
    return (
        f"{request.sub} has the role {request.role} on {request.connection} for {duration(request.seconds)}{others}."
        " Guardrails still judge each request, and anybody who may decide can revoke it."
    )


def what(ask: Ask) -> str:
    """A request in a line."""
    place = "/".join(part for part in (ask.namespace, ask.name) if part)
    words = [ask.verb, ask.resource, place, *(["--", *ask.argv] if ask.argv else []), "on", ask.connection]
    return " ".join(printable(word) for word in words if word)


def who(iss: str, sub: str, act: str) -> str:
    """Who asks, in a line."""
    return f"{act} for {sub} ({iss})" if act else f"{sub} ({iss})"


def lines(text: str) -> list[str]:
    """Every line of a difference, safe to show: none is dropped, and what a character hides is spelt out."""
    return ["\t".join(printable(part) for part in line.split("\t")) for line in text.split("\n")] if text else []


def clipped(text: str) -> str:
    """The text for a list; if it is too long, with the number of its characters."""
    safe = printable(text)
    return safe if len(safe) <= LONGEST else f"{safe[:LONGEST]}… ({len(safe)} characters)"


def duration(seconds: float) -> str:
    """A time in words, to the second."""
    left = max(0, int(seconds))
    hours, minutes = left // 3600, left % 3600 // 60
    parts = ((hours, "h"), (minutes, "min"), (left % 60, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _told(*facts: tuple[str, str]) -> Facts:
    return [(name, value) for name, value in facts if value]
