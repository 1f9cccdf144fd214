"""Audit events in the form of `audit.k8s.io/v1`, so that whatever reads a cluster's audit log reads the gateway's.

Level Metadata: bodies are never part of it. What the gateway adds is in annotations under `chaperone.dev/`.
Source: k8s.io/apiserver/pkg/apis/audit/v1/types.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

from addons.core import alert
from addons.core.approval import Approval
from addons.core.approval_terms import Reuse
from addons.core.command import Command
from addons.core.decision import Decision, Verdict
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.core.redaction import scrub_target, scrub_text
from addons.core.refusal import Refusal

MAX_TEXT = 16384
MAX_NAME = 253
_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]")  # DEL and C1, in UTF-8
POLICY_DIGITS = 12
"""Of a policy's version, where people read it."""
_PREFIX = "chaperone.dev/"
_TRACEPARENT_LENGTH = 55


class Stage(StrEnum):
    """`RESPONSE_STARTED` is sent for long-running requests only; `PANIC` is a fault of the gateway itself."""

    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


@dataclass(slots=True, kw_only=True)
class Call:
    """What is known of one API call when an event is written. Everything a caller can choose is untrusted text."""

    id: str
    received_at: float
    method: str
    target: str
    source: str = ""
    user_agent: str = ""
    connection: str = ""
    session: str = ""
    intent: str = ""
    identity: Identity | None = None
    request: KubeRequest | None = None
    object_name: str = ""
    """Of the object that a create is about: its request line does not name it."""
    command: Command | None = None
    decision: Decision | None = None
    grant: Grant | None = None
    approval: Approval | None = None
    refusal: Refusal | None = None
    masked: bool = False
    retry_of: str = ""
    """The audit id of the call that this one is the second try of."""
    policy: str = ""
    """Version of the rules it was judged by."""
    traceparent: str = ""
    """What the caller says of its own trace (W3C Trace Context); "" unless somebody wants traces."""


def event(
    call: Call, stage: Stage, now: float, code: int = 0, message: str = "", extra: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The event of a call at a stage. `code` is the HTTP status of the reply, 0 for none; `extra` are annotations.

    Holds no credential: tokens in the target or user agent are replaced.
    """
    request = call.request
    record: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": call.id,
        "stage": stage.value,
        "requestURI": scrub_target(call.target)[:MAX_TEXT],
        "verb": (request.verb if request is not None else "") or call.method.lower(),
        "user": _user(call.identity),
        "sourceIPs": [call.source] if call.source else [],
        "userAgent": scrub_text(call.user_agent)[:MAX_TEXT],
    }
    if request is not None and request.is_resource_request:
        record["objectRef"] = _object_ref(request, call.object_name)
    if code or message:
        record["responseStatus"] = _status(call.refusal, code, message)
    record["requestReceivedTimestamp"] = timestamp(call.received_at)
    record["stageTimestamp"] = timestamp(now)
    record["annotations"] = _annotations(call, extra or {})
    return record


def line(record: Mapping[str, Any]) -> bytes:
    """An event as one line of JSON, newline included. Text that is no Unicode is written with its escapes.

    So are control characters, those too that JSON leaves alone: a terminal that shows the file obeys them (B-27).
    """
    try:
        written = orjson.dumps(record, default=_read_only, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:
        written = orjson.dumps(_printable(record), option=orjson.OPT_APPEND_NEWLINE)
    if b"\x7f" in written or b"\xc2" in written:  # looked for first: most events have neither
        return _CONTROL.sub(lambda found: b"\\u00%02x" % found[0][-1], written)
    return written


def timestamp(seconds: float) -> str:
    """Unix seconds as RFC 3339 with microseconds, in UTC (metav1.MicroTime)."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micros:06d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """Four times per request it is the same second, and formatting one costs as much as all the rest of an event."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _user(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {"username": "system:anonymous", "groups": ["system:unauthenticated"]}
    user: dict[str, Any] = {"username": identity.username, "groups": identity.groups}
    extra = {"iss": identity.iss, "act": identity.act, "owner": identity.owner, "jti": identity.jti}
    user["extra"] = {_PREFIX + name: [value] for name, value in extra.items() if value}
    return user


def _object_ref(request: KubeRequest, object_name: str) -> dict[str, str]:
    """As the API server completes it: https://pkg.go.dev/k8s.io/apiserver/pkg/audit#LogRequestObject."""
    fields = {
        "resource": request.resource,
        "namespace": request.namespace,
        "name": request.name or object_name[:MAX_NAME],
        "apiGroup": request.api_group,
        "apiVersion": request.api_version,
        "subresource": request.subresource,
    }
    return {name: value for name, value in fields.items() if value}


def _status(refusal: Refusal | None, code: int, message: str) -> dict[str, Any]:
    status: dict[str, Any] = {"metadata": {}}
    if code >= 400 or not code:
        status["status"] = "Failure"
    if refusal is not None:
        status["reason"] = refusal.rule
    if message:
        status["message"] = scrub_text(message)[:MAX_TEXT]
    if code:
        status["code"] = code
    return status


def _annotations(call: Call, extra: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {"connection": call.connection, "session": call.session, "intent": call.intent}
    values["policy"], values["retry-of"] = call.policy[:POLICY_DIGITS], call.retry_of
    values["traceparent"] = scrub_text(call.traceparent)[:_TRACEPARENT_LENGTH] if call.traceparent else ""
    if (decision := call.decision) is not None:
        values["decision"] = decision.verdict.word
        values["risk"] = str(decision.risk)
        values["rule"] = decision.rule
        values["reason"] = decision.reason
        values["observed"] = "" if decision.observed is None else decision.observed.word
        values["shadow"] = ",".join(match.rule for match in decision.matches if match.shadow)
        values["alert"] = alert.annotation(decision.matches, call.session, call.request)
    if (refusal := call.refusal) is not None:
        values.update(decision="refuse", rule=refusal.rule, reason=refusal.why)
        if decision is not None and decision.verdict is Verdict.DENY:
            values["decision"] = "deny"
    if (grant := call.grant) is not None:
        values["grant"], values["role"], values["unmask"] = grant.id, grant.role, ",".join(grant.unmask)
        values["access-request"], values["granted-by"] = grant.request, grant.granted_by if grant.request else ""
    if call.approval is not None:
        values |= _approval(call.approval)
    if (command := call.command) is not None:
        values["command"], values["claimed-command"] = command.inferred, command.claimed
    if call.request is not None and call.request.argv:
        values["argv"] = scrub_text(orjson.dumps(_printable(call.request.argv)).decode())[:MAX_TEXT]
    if call.masked:
        values["masked"] = "true"
    annotations = {_PREFIX + name: value for name, value in (values | dict(extra)).items() if value}
    if call.identity is not None:  # the annotation detection rules for cluster audit logs look for
        annotations["authorization.k8s.io/decision"] = "forbid" if call.refusal is not None else "allow"
    return annotations


def _approval(approval: Approval) -> dict[str, str]:
    values = {"approval": approval.id, "approval-state": approval.state.value}
    values |= {"approver": approval.approver, "approval-note": approval.note}
    if approval.reuse is not Reuse.NEVER:
        values["approval-scope"] = f"{approval.reuse} until {timestamp(approval.expires_at)}"
    return values


def _read_only(value: object) -> dict[Any, Any]:
    """A mapping that orjson does not take for one. The claims of an identity are: in every record of a decision."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _printable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping():
            return {_printable(key): _printable(item) for key, item in value.items()}
        case list() | tuple():
            return [_printable(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: _printable(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value
