"""What approving does and what was decided before, in words for whoever is asked, wherever that is.

Texts of agents are in it as they are: whoever shows it makes them printable.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime

from addons.core.approval import Approval, Ask, Case, State, state_at
from addons.core.approval_terms import Reuse, Scope
from addons.core.approvers import progress
from addons.core.audit import timestamp

_VERDICTS = {State.DENIED: "denied", State.REVOKED: "revoked"}


def allows_again(ask: Ask, scope: Scope, until: float) -> str:
    """What an approval that goes so far allows beyond this request; "" for one that does not."""
    if scope.reuse is Reuse.NEVER:
        return ""
    other_name = ask.offer.any_name and ask.name
    place = "/".join(part for part in (ask.namespace, "any name" if other_name else ask.name) if part)
    inside = f"in container {ask.container}" if ask.container else ""
    argv = ["--", *ask.argv] if ask.argv else []
    words = " ".join(word for word in (ask.verb, ask.resource, place, inside, *argv, "on", ask.connection) if word)
    object_ = "whatever the name" if other_name else "of this very object"
    intent = f' with the intent "{ask.intent}"' if ask.intent else " without an intent"
    where = "in this session" if scope.reuse is Reuse.SESSION else f"in any session{intent}"
    return (
        f"until {clock(until)}, without asking again: {words}; with the same options and body, {object_},"
        f" by {ask.requester_sub} {where}"
    )


def offers(ask: Ask) -> list[Scope]:
    """How far an approval may go beyond once, the narrowest first."""
    wide = [Reuse.SESSION, Reuse.MINUTES] if ask.offer.reuse is Reuse.MINUTES else [Reuse.SESSION]
    return [] if ask.offer.reuse is Reuse.NEVER else [Scope(reuse=each, seconds=ask.offer.max_seconds) for each in wide]


def stands(approval: Approval, now: float) -> str:
    """For what an approval stands, or stood, and how often it was used; "" for one that is good once."""
    if approval.reuse is Reuse.NEVER:
        return ""
    over = "" if state_at(approval, now) is State.STANDING else "stood "
    return f"{over}until {clock(approval.expires_at)} for this {_FOR[approval.reuse]}, used {approval.uses} times"


_FOR = {Reuse.SESSION: "session", Reuse.MINUTES: "caller"}


def run_of(case: Case) -> tuple[str, ...]:
    """What questions have in common that one run of a client asks, by its own account; each is decided by itself."""
    ask = case.ask
    return (ask.requester_iss, ask.requester_sub, ask.session, ask.run or case.approval.id)


def together[T](things: Iterable[T], run: Callable[[T], Hashable]) -> list[list[T]]:
    """Those of one run stand together, where the first of them is."""
    runs: dict[Hashable, list[T]] = {}
    for each in things:
        runs.setdefault(run(each), []).append(each)
    return list(runs.values())


def run_words(count: int, claimed: str) -> str:
    """The headline of several questions of one run."""
    return f"{count} questions of one run of {claimed or 'one command'}, as it says; each is decided by itself:"


def agreed(case: Case) -> str:
    """How many of several people have agreed; "" where one decides."""
    return progress(case.ask.needed, case.votes)


def earlier(cases: Iterable[Case], ask: Ask) -> list[str]:
    """What people decided about requests of the same kind, one line each."""
    return [_earlier(each, ask) for each in cases]


def _earlier(case: Case, ask: Ask) -> str:
    approval, other = case.approval, case.ask
    mine = (other.requester_iss, other.requester_sub) == (ask.requester_iss, ask.requester_sub)
    place = "/".join(part for part in (other.namespace, other.name) if part)
    words = " ".join(word for word in (place, *(["--", *other.argv] if other.argv else [])) if word)
    note = f": {approval.note}" if approval.note else ""
    who = "the same requester" if mine else other.requester_sub
    verdict = _VERDICTS.get(approval.state, "approved")
    return f"{timestamp(approval.answered_at or 0)[:16]}Z {verdict} by {approval.approver}{note} [{words} for {who}]"


def clock(at: float) -> str:
    """Unix seconds as people read a clock."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M} UTC"
