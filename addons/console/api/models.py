"""What the API answers and is sent. Times are Unix seconds. Texts of an agent's are data, whatever is in them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from addons.core import access_request, approval, console_view
from addons.core.access_request import AccessRequest
from addons.core.approval import Case
from addons.core.approval_terms import Reuse
from addons.core.approval_words import agreed, stands
from addons.core.connection import Connection
from addons.core.guardrails.guardrail import Guardrail
from addons.core.lock import Lock
from addons.edge.archive import StoredSession

MAX_NOTE = 1000
MOST_SECONDS = 8 * 3600  # no rule lets an approval stand for longer
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}$")]
SessionId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,199}$")]
Why = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NOTE, pattern=r"\S")]
Name = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]


ApprovalState = Annotated[str, Field(json_schema_extra={"enum": [each.value for each in approval.State]})]
GrantState = Annotated[str, Field(json_schema_extra={"enum": [each.value for each in access_request.State]})]


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True)


class Sent(BaseModel):
    """What is sent: these members and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Answer):
    """Why something was not done (RFC 9457, `application/problem+json`)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Note(Sent):
    """A note to a decision; the agent is told."""

    note: Annotated[str, StringConstraints(max_length=MAX_NOTE)] = ""


class Approve(Note):
    """`reuse` and `seconds`: for how long the approval stands, as far as its rules allow it; else it counts once."""

    reuse: Reuse = Reuse.NEVER
    seconds: Annotated[float, Field(ge=0, le=MOST_SECONDS, strict=True)] = 0


class Reason(Sent):
    """Why; the agent is told."""

    reason: Why


class NewLock(Reason):
    """What is to be stopped; what is left out fits all, and one of them must be said."""

    subject: Name = ""
    connection: Name = ""
    session: Name = ""


class Approval(Answer):
    """A request that waits or waited for a human; `agreed` says how many of several people have given their answer."""

    id: str
    state: ApprovalState
    asked_at: float
    expires_at: float
    approver: str
    note: str
    requester: str
    acting: str
    owner: str
    groups: list[str]
    intent: str
    connection: str
    session: str
    what: str
    command: str
    method: str
    target: str
    argv: list[str]
    rule: str
    risk: int
    reason: str
    diff: str
    agreed: str
    stands: str

    @classmethod
    def of(cls, case: Case, now: float) -> Approval:
        """As it stands at `now`."""
        ask, found = case.ask, case.approval
        return cls(
            state=approval.state_at(found, now).value,
            requester=f"{ask.requester_iss}#{ask.requester_sub}",
            acting=ask.requester_act,
            owner=ask.requester_owner,
            groups=list(ask.requester_groups),
            what=console_view.what(ask),
            argv=list(ask.argv),
            agreed=agreed(case),
            stands=stands(found, now),
            **{name: getattr(found, name) for name in ("id", "asked_at", "expires_at", "approver", "note")},
            **{name: getattr(ask, name) for name in _OF_ASK},
        )


_OF_ASK = ("intent", "connection", "session", "command", "method", "target", "rule", "risk", "reason", "diff")


class Grant(Answer):
    """Access that was asked for, and what became of it."""

    id: str
    state: GrantState
    requester: str
    acting: str
    owner: str
    connection: str
    role: str
    rule: str
    intent: str
    seconds: int
    approvers: list[str]
    approvals: int
    approved_by: list[str]
    asked_at: float
    expires_at: float

    @classmethod
    def of(cls, request: AccessRequest, now: float) -> Grant:
        """As it stands at `now`."""
        return cls(
            state=access_request.state_at(request, now).value,
            requester=f"{request.iss}#{request.sub}",
            acting=request.act,
            approvers=list(request.approvers),
            approved_by=list(request.approved_by),
            **{name: getattr(request, name) for name in _OF_REQUEST},
        )


_OF_REQUEST = ("id", "owner", "connection", "role", "rule", "intent", "seconds", "approvals", "asked_at", "expires_at")


class Session(Answer):
    """One agent's job on one cluster; `changed_at` is when something was last recorded."""

    id: str
    identity: str
    connection: str
    intent: str
    changed_at: float

    @classmethod
    def of(cls, stored: StoredSession) -> Session:
        """As it is recorded."""
        about = {name: str(stored.about.get(name, "")) for name in ("connection", "intent")}
        return cls(id=stored.id, identity=stored.user, changed_at=stored.changed_at, **about)


class LockAnswer(Answer):
    """What is stopped until somebody lifts it; what is empty fits all."""

    id: str
    subject: str
    connection: str
    session: str
    reason: str
    made_by: str
    made_at: float

    @classmethod
    def of(cls, lock: Lock) -> LockAnswer:
        """The same."""
        return cls(**asdict(lock))


class Rule(Answer):
    """A guardrail in force. `verdict` is empty where each connection's thresholds make it of the risk."""

    name: str
    description: str
    covers: list[str]
    risk: int
    verdict: str
    shadow: bool
    reason: str
    hint: str

    @classmethod
    def of(cls, rule: Guardrail) -> Rule:
        """As it was loaded."""
        verdict = rule.verdict.name.lower() if rule.verdict is not None else ""
        about: dict[str, Any] = {name: getattr(rule, name) for name in ("name", "description", "risk", "shadow")}
        return cls(covers=list(rule.covers), verdict=verdict, reason=rule.reason, hint=rule.hint, **about)


class ConnectionAnswer(Answer):
    """A cluster behind the gateway."""

    name: str
    host: str
    kind: str
    profile: str

    @classmethod
    def of(cls, connection: Connection) -> ConnectionAnswer:
        """As the rules say."""
        return cls(
            name=connection.name,
            host=f"{connection.host}:{connection.port}",
            kind=str(connection.kind),
            profile=str(connection.profile),
        )


class Identity(Answer):
    """Somebody who was seen: in how many sessions, when last, and whether a lock names them."""

    subject: str
    sessions: int
    last_seen_at: Annotated[float, Field(description="when something of theirs was last recorded")]
    locked: bool


class List[T](Answer):
    """Some of them, in the order that the address says; `more` if there are others."""

    items: list[T]
    more: bool = False
