"""An approval: a human answer to exactly one request, single use, expiring; or to its like for a while, revocable.

All states and transitions are in `TRANSITIONS`; stores and front ends ask here and invent none. Deliberately absent:
how an answer is stored or sent (`edge/store.py`), and how a request waits for one (`addons/approvals.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from addons.core.approval_terms import NO_OFFER, Needed, Offer, Reuse, Scope
from addons.core.approvers import Vote, stranger
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest

APPROVAL_SECONDS = 900
"""How long a question stays open, and how long an approval then waits for the identical request."""
DENIED_SECONDS = 300
"""How long a denial answers the identical request without asking again."""

ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""No 0/o, 1/l/i: people read ids aloud and type them."""
ID_LENGTH = 8


class State(StrEnum):
    """pending → granted → consumed, or pending → standing → revoked, or pending → denied; all but the last may expire.

    Granted is for one request, standing for each one of its shape. What several people have to agree to is pending
    until the last of them has.
    """

    PENDING = "pending"
    GRANTED = "granted"
    STANDING = "standing"
    REVOKED = "revoked"
    DENIED = "denied"
    EXPIRED = "expired"
    CONSUMED = "consumed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.GRANTED, State.STANDING, State.DENIED, State.EXPIRED}),
    State.GRANTED: frozenset({State.CONSUMED, State.DENIED, State.EXPIRED}),  # granted → denied: revoked before use
    State.STANDING: frozenset({State.REVOKED, State.EXPIRED}),
    State.REVOKED: frozenset(),
    State.DENIED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CONSUMED: frozenset(),
}
_LIVE = frozenset(state for state, ways in TRANSITIONS.items() if State.EXPIRED in ways)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """`digest` binds identity, connection, method, canonical target and body. Times are Unix seconds."""

    id: str
    digest: str
    state: State
    asked_at: float
    expires_at: float
    answered_at: float | None = None
    approver: str = ""
    """Who has decided; several people by name, where several had to."""
    note: str = ""
    reuse: Reuse = Reuse.NEVER
    """For what it stands, or stood; `expires_at` is until when."""
    uses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a human is asked, as they see it. Every text here may be hostile: show it as data, escaped."""

    requester_iss: str
    requester_sub: str
    requester_act: str = ""
    requester_owner: str = ""
    requester_groups: tuple[str, ...] = ()
    connection: str
    session: str
    verb: str
    resource: str
    """With its subresource: `pods/exec`."""
    namespace: str = ""
    name: str = ""
    argv: tuple[str, ...] = ()
    method: str
    target: str
    command: str = ""
    """What the request looks like, e.g. `kubectl exec`; a guess, never a reason to decide."""
    rule: str
    risk: int
    reason: str
    intent: str = ""
    diff: str = ""
    api_group: str = ""
    container: str = ""
    needed: tuple[Needed, ...] = ()
    """Who has to agree; empty: one person, whoever may approve."""
    offer: Offer = NO_OFFER
    """How far an approval may go."""
    shape: str = ""
    """Which other requests are its like (`core/shape.py`); never shown, it is a hash over the body."""
    blast: tuple[tuple[str, str], ...] = ()
    """What it reaches, in words, by name (`core/blast.py`)."""
    claimed: str = ""
    """The command that the client says it runs, and the id it gives that run: hints, never a reason to decide."""
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An approval, what was asked, and who has agreed so far. `used`: it counts for the request at hand."""

    approval: Approval
    ask: Ask
    votes: tuple[Vote, ...] = ()
    used: bool = False


class InvalidTransition(ValueError):
    """The approval is not in a state that allows this. The message says which state it is in and what remains to do."""


class ForbiddenApprover(PermissionError):
    """This person may not decide this approval; the message says why."""


def state_at(approval: Approval, now: float) -> State:
    """The state at `now`: pending and granted approvals expire by the clock alone, whoever has noticed."""
    return State.EXPIRED if approval.state in _LIVE and now >= approval.expires_at else approval.state


def check_transition(approval: Approval, to: State, now: float) -> None:
    """Nothing if the approval may become `to` at `now`; raises InvalidTransition otherwise."""
    state = state_at(approval, now)
    if to not in TRANSITIONS[state]:
        raise InvalidTransition(f"approval {approval.id} is {state}{_REMEDIES[state]}")


_REMEDIES = {
    State.PENDING: ": a human has to answer it first",
    State.GRANTED: " already",
    State.STANDING: " already: revoke it if it should stand no longer",
    State.REVOKED: ": the agent has to send the request again",
    State.DENIED: ": the agent may ask again when the denial has lapsed",
    State.EXPIRED: ": the agent has to send the request again",
    State.CONSUMED: ": it was used for the request it was granted for, and cannot be used or changed again",
}


def expires_at(state: State, now: float, approval_seconds: float = APPROVAL_SECONDS) -> float:
    """When an approval that enters `state` at `now` stops to count, in Unix seconds."""
    return now + (min(DENIED_SECONDS, approval_seconds) if state is State.DENIED else approval_seconds)


def granted_as(scope: Scope) -> State:
    """What an approval becomes that goes so far."""
    return State.GRANTED if scope.reuse is Reuse.NEVER else State.STANDING


def may_revoke(who: Identity) -> str:
    """Why somebody may not end a standing approval, "" if they may: to stop somebody needs no right to approve."""
    return "a token used on someone's behalf cannot revoke; sign in yourself" if who.act else ""


def may_decide(ask: Ask, approver: Identity) -> str:
    """Why `approver` may not answer, `""` if they may: never the requester, who acts for it, or who owns it."""
    if approver.act:
        return "a token used on someone's behalf cannot approve; sign in yourself"
    if approver.iss == ask.requester_iss and not approver.subjects.isdisjoint((ask.requester_sub, ask.requester_act)):
        return "nobody approves their own request"
    if ask.requester_owner and ask.requester_owner.casefold() in names(approver):
        return "the owner of an agent does not approve its requests"
    return stranger(ask.needed, approver)


def names(identity: Identity) -> frozenset[str]:
    """Every name an `owner` claim may call this person or one of their teams, case-folded, whatever the issuer."""
    claims = (identity.claims.get(name) for name in ("email", "preferred_username", "upn"))
    known = {
        *identity.subjects,
        identity.username,
        *identity.groups,
        *(value for value in claims if isinstance(value, str)),
    }
    return frozenset(name.casefold() for name in known)


def canonical_method(request: KubeRequest) -> str:
    """The method; one word for both ways of opening the same exec, attach or port-forward.

    kubectl opens them by GET (WebSocket) and, when that is refused, again by POST (SPDY): one question, not two. The
    proxy subresources are ordinary HTTP, where the method matters.
    """
    return "CONNECT" if opens_stream(request) else request.method


def opens_stream(request: KubeRequest) -> bool:
    """True for exec, attach and port-forward: clients do not repeat these by themselves after a 429."""
    return request.is_connect and request.subresource != "proxy"


def digest(
    identity: Identity, connection: str, method: str, target: str, body: bytes, content_type: str = "", uid: str = ""
) -> str:
    """SHA-256, in hex, over all that makes two requests the same one.

    Each field is preceded by its length, so no two different requests share an encoding. `content_type` tells how a
    body is read: the five patch types give the same bytes different meanings. `uid` is that of the object it is about:
    by the time of the answer another may have taken its place. The token is not part of it, so that a
    refreshed one continues where the last left off; who it speaks for is.
    """
    who = (identity.iss, identity.sub, identity.act, identity.owner)
    fields = [field.encode("utf-8", "surrogatepass") for field in (*who, connection, method, target, content_type, uid)]
    return hashlib.sha256(_length_prefixed([*fields, body])).hexdigest()


def _length_prefixed(fields: Iterable[bytes]) -> bytes:
    return b"".join(len(field).to_bytes(8, "big") + field for field in fields)
