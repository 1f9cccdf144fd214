"""Audit events to send, made as the gateway makes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from addons.core.alert import Fired, fired
from addons.core.audit import Call, Stage, event, line
from addons.core.decision import Alert, Decision, Match, Verdict
from addons.core.identity import Identity
from addons.core.pipelines.known import Known, known
from addons.core.refusal import Refusal
from addons.core.request_info import request_info
from addons.core.request_line import parse_target

ID = "0b6a1f9e-3c55-4c0a-9a60-0d5f3f2f8a11"
RECEIVED_AT = 1_763_929_000.25
IDENTITY = Identity(
    iss="https://idp", sub="agent", aud=("gw",), exp=1, groups=("a", "b"), jti="j", owner="bob", act="bot"
)
MATCH = Match(rule="secrets", verdict=Verdict.DENY, risk=95, reason="reads secrets", alert=Alert(severity="critical"))
DENIED = Decision(verdict=Verdict.DENY, risk=95, rule="secrets", reason="reads secrets", matches=(MATCH,))
ALLOWED = Decision(verdict=Verdict.ALLOW)
WARNED = Decision(verdict=Verdict.WARN, risk=35, rule="odd", reason="it is odd")
REFUSED = Refusal(code=403, rule="secrets", why="reads secrets", hint="do not")


def call(asked: str = "GET /api/v1/namespaces/shop/secrets/key?x=1", **more: Any) -> Call:
    """A call as it stands at its end; `asked` is METHOD TARGET."""
    method, _, target = asked.partition(" ")
    made = Call(
        id=ID, received_at=RECEIVED_AT, method=method, target=target, source="10.0.0.9",
        user_agent="kubectl/v1.37.1", connection="prod", session="s1", intent="INC-1", identity=IDENTITY,
        request=request_info(method, *parse_target(target)), decision=ALLOWED, policy="0123456789abcdef",
    )  # fmt: skip
    return replace(made, **more)


def made(of: Call, stage: Stage = Stage.RESPONSE_COMPLETE, code: int = 200, after: float = 1.5) -> dict[str, Any]:
    """Its event, as it is read from the log."""
    found: dict[str, Any] = json.loads(line(event(of, stage, RECEIVED_AT + after, code)))
    return found


def denied() -> dict[str, Any]:
    """The event of a call that was denied, by a rule that tells."""
    return made(call(decision=DENIED, refusal=REFUSED), code=403)


def facts(of: dict[str, Any]) -> Known:
    """What it says."""
    return known(of)


def alert_of(of: dict[str, Any]) -> Fired:
    """Its only alert."""
    (alert,) = fired(of)
    return alert
