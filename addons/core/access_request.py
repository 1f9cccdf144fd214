"""A request for access, and the right it becomes: somebody asks for a role, people agree, and it ends by itself.

All states and transitions are in `TRANSITIONS`; stores and front ends ask here and invent none. A request is a value:
each function here gives the next one, with what happened appended to `history`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from addons.core.approval import ForbiddenApprover, InvalidTransition, names
from addons.core.identity import Identity
from addons.core.session import Session

PATH = "/chaperone/v1/access-requests"
"""Where callers ask the gateway, on the address of any of its clusters."""
PENDING_SECONDS = 3600
"""How long a request waits for people."""
AUTOMATIC = "rule"
"""Who approves where the access rule does so by itself."""


class Wish(BaseModel):
    """What a caller sends. What may be asked for is for the access rules to say."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Annotated[str, Field(min_length=1, max_length=2048)]
    intent: Annotated[str, Field(min_length=1, max_length=1024)]
    seconds: Annotated[int, Field(gt=0)]


class State(StrEnum):
    """pending → granted | denied | released | expired; granted → released | revoked | expired."""

    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"
    RELEASED = "released"
    REVOKED = "revoked"
    EXPIRED = "expired"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.GRANTED, State.DENIED, State.RELEASED, State.EXPIRED}),
    State.GRANTED: frozenset({State.RELEASED, State.REVOKED, State.EXPIRED}),
    State.DENIED: frozenset(),
    State.RELEASED: frozenset(),
    State.REVOKED: frozenset(),
    State.EXPIRED: frozenset(),
}
"""Released: by the requester, who needs it no more. Revoked: by somebody else."""


class Event(NamedTuple):
    """What happened to a request, when (Unix seconds), by whom."""

    at: float
    what: str
    who: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """Times are Unix seconds. Every text of the requester's may be hostile: show it as data, escaped."""

    id: str
    state: State = State.PENDING
    iss: str
    sub: str
    act: str = ""
    owner: str = ""
    connection: str
    role: str
    rule: str
    """The access rule that allows to ask."""
    intent: str
    seconds: int
    """How long it is asked for; counted from when it is granted."""
    longest_seconds: int
    approvers: tuple[str, ...] = ()
    """The groups whose members decide."""
    approvals: int = 1
    """How many of them have to agree."""
    asked_at: float
    granted_at: float | None = None
    expires_at: float
    approved_by: tuple[str, ...] = ()
    history: tuple[Event, ...] = ()

    def holds(self, session: Session, now: float) -> bool:
        """Whether it is this session's right now."""
        return self.state is State.GRANTED and now < self.expires_at and self.is_of(session)

    def is_of(self, session: Session) -> bool:
        """Whether this caller asked for it, on this connection."""
        who = session.identity
        return (self.iss, self.sub, self.act, self.connection) == (who.iss, who.sub, who.act, session.connection)


def state_at(request: AccessRequest, now: float) -> State:
    """The state at `now`: what is alive expires by the clock alone, whoever has noticed."""
    return State.EXPIRED if TRANSITIONS[request.state] and now >= request.expires_at else request.state


def as_document(request: AccessRequest, now: float) -> dict[str, Any]:
    """For JSON, with the state that it has at `now`."""
    history = [event._asdict() for event in request.history]
    return {**asdict(request), "state": state_at(request, now).value, "history": history}


def approve(request: AccessRequest, approver: Identity, note: str, now: float) -> AccessRequest:
    """With one more approval; granted when it was the last one needed. Raises ForbiddenApprover, InvalidTransition."""
    _check_decides(request, approver)
    _check(request, State.GRANTED, now)
    if approver.username in request.approved_by:
        raise ForbiddenApprover("you have approved it already: somebody else has to, too")
    agreed = _noted(
        request, now, "approved", approver.username, note, approved_by=(*request.approved_by, approver.username)
    )
    return _granted(agreed, now) if len(agreed.approved_by) >= request.approvals else agreed


def automatic(request: AccessRequest, now: float) -> AccessRequest:
    """Granted by the rule itself."""
    _check(request, State.GRANTED, now)
    return _granted(_noted(request, now, "approved", AUTOMATIC, approved_by=(AUTOMATIC,)), now)


def deny(request: AccessRequest, approver: Identity, note: str, now: float) -> AccessRequest:
    """Denied. Raises ForbiddenApprover, InvalidTransition."""
    _check_decides(request, approver)
    return _over(request, State.DENIED, approver.username, note, now)


def release(request: AccessRequest, who: Identity, note: str, now: float) -> AccessRequest:
    """Given back by its requester. Raises ForbiddenApprover, InvalidTransition."""
    if (request.iss, request.sub, request.act) != (who.iss, who.sub, who.act):
        raise ForbiddenApprover("only who asked for it may release it; others revoke it")
    return _over(request, State.RELEASED, who.username, note, now)


def revoke(request: AccessRequest, by: str, note: str, now: float) -> AccessRequest:
    """Taken away by whoever runs the gateway: to stop somebody needs no right to approve. Raises InvalidTransition."""
    return _over(request, State.REVOKED, by, note, now)


def extend(request: AccessRequest, approver: Identity, seconds: int, note: str, now: float) -> AccessRequest:
    """Ends `seconds` later. Raises ForbiddenApprover, InvalidTransition.

    Never longer in all than the access rule's longest window, and not by one person what several had to agree to.
    """
    _check_decides(request, approver)
    if state_at(request, now) is not State.GRANTED or request.granted_at is None:
        raise InvalidTransition(f"request {request.id} is {state_at(request, now)}: only what is granted is extended")
    if request.approvals > 1:
        raise InvalidTransition(f"{request.approvals} people had to agree to it: the agent has to ask again")
    ends = request.expires_at + seconds
    if seconds <= 0 or ends > request.granted_at + request.longest_seconds:
        raise InvalidTransition(f"its rule allows {request.longest_seconds}s in all: the agent has to ask again")
    return _noted(request, now, f"extended by {seconds}s", approver.username, note, expires_at=ends)


def may_decide(request: AccessRequest, approver: Identity) -> str:
    """Why `approver` may not decide, `""` if they may: never the requester, who acts for it, or who owns it."""
    if approver.act:
        return "a token used on someone's behalf cannot approve; sign in yourself"
    if approver.iss == request.iss and not approver.subjects.isdisjoint((request.sub, request.act)):
        return "nobody approves their own request"
    if request.owner and request.owner.casefold() in names(approver):
        return "the owner of an agent does not approve its requests"
    if set(request.approvers).isdisjoint(approver.groups):
        return f"only members of these groups decide: {', '.join(request.approvers) or 'none'}"
    return ""


def _check_decides(request: AccessRequest, approver: Identity) -> None:
    if why := may_decide(request, approver):
        raise ForbiddenApprover(why)


def _check(request: AccessRequest, to: State, now: float) -> None:
    if to not in TRANSITIONS[state := state_at(request, now)]:
        raise InvalidTransition(f"request {request.id} is {state}: it cannot be {to} any more or yet")


def _granted(request: AccessRequest, now: float) -> AccessRequest:
    return replace(request, state=State.GRANTED, granted_at=now, expires_at=now + request.seconds)


def _over(request: AccessRequest, to: State, who: str, note: str, now: float) -> AccessRequest:
    _check(request, to, now)
    return _noted(request, now, to.value, who, note, state=to, expires_at=now)


def _noted(request: AccessRequest, now: float, what: str, who: str, note: str = "", **changes: object) -> AccessRequest:
    changed: AccessRequest = replace(request, history=(*request.history, Event(now, what, who, note)), **changes)  # type: ignore[arg-type]
    return changed
