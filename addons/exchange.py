"""The typed state of one request and its reply: one field per addon, set once, read through `need()`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.core.approval import Approval
from addons.core.authorization import Bearer
from addons.core.command import Command
from addons.core.connection import Connection
from addons.core.decision import Decision
from addons.core.grant import Grant
from addons.core.guardrails import Judged, Rate
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.secret import Secret
from addons.core.session import Session
from addons.core.wires import Wire
from addons.policy import Policy


class IncompleteExchange(RuntimeError):
    """A step needed what an earlier step should have written. Always a refusal, never a default."""


@dataclass(slots=True, weakref_slot=True, kw_only=True)
class Exchange:
    """What the gateway knows of one exchange. `id` is the agent's reference and the upstream `Audit-ID`."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    received_at: float
    policy: Policy | None = None  # perimeter: the one in force when it began; it is judged by no other
    connection: Connection | None = None  # perimeter
    tunnel_token: Secret | None = None  # perimeter: the token that its tunnel was opened with, not verified
    identity: Identity | None = None  # authentication
    token_hash: str | None = None  # authentication: of a token that is bound to a key
    session: Session | None = None  # authentication
    intent: str = ""  # perimeter: Impersonate-Extra-Reason, before it is stripped
    request: KubeRequest | None = None  # commands
    command: Command | None = None  # commands
    body_object: Mapping[str, Any] | None = None  # commands: what we decoded; None when the server must read it
    grant: Grant | None = None  # access
    rate: Rate | None = None  # rates: only when some rule reads it
    judged: Judged | None = None  # guardrails: what the decision is made of
    decision: Decision | None = None  # guardrails
    approval: Approval | None = None  # approvals: only when one was required
    approved: bool = False  # approvals: no approval was required, or this one was granted and consumed
    masked: bool = False  # masking: a plan for the reply exists
    retry_of: str = ""  # attempts: id of the exchange that this one is the second try of
    recorded: bool = False  # capture: the audit event is on disk
    credential: Bearer | None = None  # credentials
    wire: Wire | None = None  # upgrades: how to read the connection after a 101
    ended: Refusal | None = None  # why a session was ended by the gateway
    forwarded_at: float | None = None  # metrics: Unix seconds
    sealed: bool = False  # seal
    refusal: Refusal | None = None
    answered: bool = False  # access requests: it was for the gateway itself
    warnings: list[str] = field(default_factory=list)  # sent to the agent as `Warning: 299` headers

    @property
    def stays_here(self) -> bool:
        """Whether the reply is the gateway's own."""
        return self.answered or self.refusal is not None


Scrub = Callable[[Exchange, bytes, str], bytes]
"""Masks, in a body of a content type, what neither a human who is asked nor a record may see."""

_EXCHANGE = "chaperone_exchange"
"""Of a flow: it is looked up forty times, and mitmproxy writes none of it down."""


def begin(flow: HTTPFlow, now: float, policy: Policy | None = None) -> Exchange:
    """A new exchange for a flow that has none: a second one would forget what was decided, so it raises."""
    if _EXCHANGE in vars(flow):
        raise IncompleteExchange("the exchange was begun twice")
    exchange = vars(flow)[_EXCHANGE] = Exchange(received_at=now, policy=policy)
    return exchange


def exchange_of(flow: HTTPFlow) -> Exchange:
    """The flow's exchange. Raises IncompleteExchange when the perimeter never saw the flow."""
    try:
        found: Exchange = flow.__dict__[_EXCHANGE]
    except KeyError:
        raise IncompleteExchange("the perimeter never saw this flow") from None
    return found


def policy_of(exchange: Exchange) -> Policy:
    """The policy an exchange is judged by. Raises IncompleteExchange when the perimeter never saw the flow."""
    return need(exchange.policy, "the policy")


def need[T](value: T | None, what: str) -> T:
    """`value`, or IncompleteExchange naming `what` is missing."""
    if value is None:
        raise IncompleteExchange(f"{what} is not set")
    return value
