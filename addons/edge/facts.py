"""An exchange as plain values: what its audit events are made of, and what viewers show with its flow."""

from __future__ import annotations

from collections.abc import Mapping

from mitmproxy.http import HTTPFlow

from addons.core.audit import Call
from addons.core.question import waiting
from addons.edge.sample import Sample
from addons.exchange import Exchange, need

MAX_BODY = 256 * 1024
"""Bytes of a body that are kept."""


def _as_sent(flow: HTTPFlow, exchange: Exchange) -> bool:
    """True if the reply is what the agent got: our own refusal, or one that went through masking to its end."""
    return flow.error is None and (exchange.refusal is not None or (exchange.masked and exchange.sealed))


def response_body(flow: HTTPFlow, exchange: Exchange, sample: Sample | None) -> bytes | None:
    """What the agent got of the body: all of it, the first bytes, or None when it was withheld."""
    if sample is not None:
        return sample.kept
    if flow.response is None or not _as_sent(flow, exchange):
        return None
    body = flow.response.raw_content
    return None if body is None else body[:MAX_BODY]


def call_of(flow: HTTPFlow, exchange: Exchange) -> Call:
    """What the audit events of an exchange say."""
    request = flow.request
    command, connection, session = exchange.command, exchange.connection, exchange.session
    policy = exchange.policy
    return Call(
        id=exchange.id,
        received_at=exchange.received_at,
        method=request.method,
        target=request.path,
        source=flow.client_conn.peername[0] if flow.client_conn.peername else "",
        user_agent=command.user_agent if command is not None else request.headers.get("user-agent", ""),
        connection=connection.name if connection is not None else "",
        session=session.id if session is not None else "",
        intent=session.intent if session is not None else exchange.intent,
        identity=exchange.identity,
        request=exchange.request,
        object_name=_object_name(exchange),
        command=command,
        decision=exchange.decision,
        grant=exchange.grant,
        approval=exchange.approval,
        refusal=exchange.refusal,
        masked=exchange.masked,
        retry_of=exchange.retry_of,
        policy=policy.version if policy is not None else "",
        traceparent=request.headers.get("traceparent", "") if policy is not None and policy.traced else "",
    )


def _object_name(exchange: Exchange) -> str:
    """The name of what is created, "" for everything else and where only the server knows it."""
    request = exchange.request
    if request is None or request.verb != "create" or request.name:
        return ""
    content = exchange.body_object
    if content is None and exchange.judged is not None:
        content = exchange.judged.facts.object
    metadata = content.get("metadata") if content is not None else None
    if not isinstance(metadata, Mapping) or metadata.get("generateName"):
        return ""  # a dry run makes up another name than the request will
    name = metadata.get("name")
    return name if isinstance(name, str) else ""


def outcome_of(flow: HTTPFlow, exchange: Exchange) -> tuple[int, str]:
    """The HTTP status the agent got, 0 if it got none, and what went wrong."""
    message = flow.error.msg if flow.error is not None else ""
    if exchange.refusal is not None:
        return exchange.refusal.code, message
    return (flow.response.status_code if flow.response is not None and not message else 0), message


def ended_by(exchange: Exchange) -> dict[str, str]:
    """Why the gateway ended a session, for its last audit event; nothing when it did not."""
    ended = exchange.ended
    return {} if ended is None else {"ended-by": ended.rule, "ended-because": ended.why}


def summary_of(exchange: Exchange, over: bool) -> dict[str, str | int | bool]:
    """What a viewer shows with a flow; plain values only, or the flow file could not be written."""
    summary: dict[str, str | int | bool] = {"audit_id": exchange.id, "masked": exchange.masked, "over": over}
    if (identity := exchange.identity) is not None:
        summary["user"] = identity.username
    if (session := exchange.session) is not None:
        summary |= {"session": session.id, "connection": session.connection, "intent": session.intent}
    if (request := exchange.request) is not None:
        summary |= {"verb": request.verb, "resource": request.resource, "subresource": request.subresource}
        summary |= {"namespace": request.namespace, "name": request.name}
    if (decision := exchange.decision) is not None:
        summary |= {"verdict": decision.verdict.word, "risk": decision.risk, "rule": decision.rule}
    if (approval := exchange.approval) is not None:
        summary |= {"approval": approval.id, "approver": approval.approver}
    return {key: _text(value) if isinstance(value, str) else value for key, value in summary.items()}


def mark_of(flow: HTTPFlow, exchange: Exchange, over: bool) -> str:
    """The sign beside a flow in a list of flows: an emoji's name, or nothing."""
    if over:
        return ":no_entry:" if exchange.refusal is not None else ""
    return ":hourglass_flowing_sand:" if flow.intercepted else ":arrow_forward:"


def comment_of(flow: HTTPFlow, exchange: Exchange, over: bool) -> str:
    """One line that explains a flow in a list of flows."""
    if (refusal := exchange.refusal) is not None:
        return _text(f"refused by {refusal.rule}: {refusal.why}")
    if flow.intercepted and not over:
        return _text(_waiting(exchange))
    told = [] if over else ["still running"]
    if (decision := exchange.decision) is not None and decision.rule:
        told.append(f"{decision.verdict.word} by {decision.rule} (risk {decision.risk}): {decision.reason}")
    return _text("; ".join(told))


def _waiting(exchange: Exchange) -> str:
    who, approval = need(exchange.identity, "identity"), need(exchange.approval, "approval")
    return waiting(approval, who, need(exchange.request, "request"), need(exchange.decision, "decision"))


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
