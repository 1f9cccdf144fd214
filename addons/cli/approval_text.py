"""Approvals as the command line shows them: a line each, everything about one, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from addons.core.approval import Case, State, state_at
from addons.core.approval_words import agreed, allows_again, offers, run_of, run_words, stands, together
from addons.core.notify.wording import what
from addons.core.printable import printable


def lines(cases: Sequence[Case], now: float) -> list[str]:
    """One for each; what one run of a client asks for, by its own account, stands together."""
    found: list[str] = []
    for run in together(cases, run_of):
        if len(run) > 1:
            found.append(run_words(len(run), printable(run[0].ask.claimed)))
        found += [f"{'  ' if len(run) > 1 else ''}{line(case, now)}" for case in run]
    return found


def line(case: Case, now: float) -> str:
    """How it stands with one, in a line."""
    state, left = state_at(case.approval, now), int(case.approval.expires_at - now)
    when = f"{left}s left" if state in (State.PENDING, State.GRANTED, State.STANDING) else ""
    risk = f"{printable(case.ask.rule)} risk {case.ask.risk}"
    votes = f", {printable(agreed(case))}" if case.ask.needed else ""
    return f"{case.approval.id}  {state:<8} {when:<9} {who(case)}  {what(case.ask)}  [{risk}{votes}]"


def who(case: Case) -> str:
    """Who asks, for a terminal."""
    return printable(case.ask.requester_sub)


def facts(case: Case, now: float) -> list[tuple[str, str]]:
    """All that is known of one but for its difference, as it is: to be made printable."""
    ask, approval = case.ask, case.approval
    also = [(f"--for {each.reuse}", f"allows, {allows_again(ask, each, now + each.seconds)}") for each in offers(ask)]
    return [
        ("id", approval.id),
        ("state", state_at(approval, now)),
        ("who", f"{ask.requester_iss}#{ask.requester_sub}"),
        ("acting", ask.requester_act),
        ("owner", ask.requester_owner),
        ("groups", ", ".join(ask.requester_groups)),
        ("intent", ask.intent),
        ("connection", ask.connection),
        ("session", ask.session),
        ("what", what(ask)),
        ("container", ask.container),
        ("command", ask.command),
        ("says it runs", ask.claimed),
        ("request", f"{ask.method} {ask.target}"),
        ("rule", f"{ask.rule} (risk {ask.risk}): {ask.reason}"),
        *ask.blast,
        ("expires in", f"{max(0, int(approval.expires_at - now))}s"),
        ("approved by", agreed(case)),
        ("answered by", approval.approver),
        ("note", approval.note),
        ("stands", stands(approval, now)),
        ("means", "this one request, once, unchanged; nothing else"),
        *(also if approval.state is State.PENDING else ()),
    ]


def as_json(case: Case, now: float) -> dict[str, object]:
    """All that is known of one, for programs."""
    values = {**asdict(case.approval), **asdict(case.ask), "state": state_at(case.approval, now).value}
    votes = [{"approver": each.approver, "at": each.at, "note": each.note} for each in case.votes]
    values |= {"blast": dict(case.ask.blast), "votes": votes, "stands_for": stands(case.approval, now)}
    for secret in ("digest", "shape"):
        del values[secret]
    return values
