"""Traces out of audit events: a span for each call, and within it deciding, the cluster, the stream.

The request path does nothing for them. The trace is the call's audit id, so the same events give the same spans, and
one that is sent twice is one. Attributes follow OpenTelemetry's semantic conventions for HTTP; none holds a query, a
command line, a body or a header, because those who read traces are others than those who read evidence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from addons.core.pipelines.known import Known, present
from addons.core.pipelines.otlp import attributes, span_id, trace_id

TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_INTERNAL, _SERVER, _CLIENT = 1, 2, 3
_ERROR = 2
_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come, in Unix nanoseconds: when it was forwarded, and when its reply began; 0 for not yet."""

    forwarded_at: int = 0
    started_at: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """A `traceparent` (W3C Trace Context, section 3.2)."""

    trace_id: str
    span_id: str
    sampled: bool


def caller(text: str) -> Caller | None:
    """The caller's own trace; None for what is no traceparent of version 00."""
    found = _TRACEPARENT.fullmatch(text)
    return Caller(found[1], found[2], bool(int(found[3], 16) & 1)) if found else None


def spans(known: Known, before: Progress, trusted: bool) -> tuple[list[dict[str, Any]], Progress | None]:
    """The spans that this event ends, and how far its call is now; None when it is over.

    `trusted`: a caller's trace is continued, and one that the caller does not sample is not sent.
    """
    progress = _progress(known, before)
    parent = caller(known.notes.get(TRACEPARENT, ""))
    if trusted and parent is not None and not parent.sampled:
        return [], progress
    call = _Call(known, parent, trusted)
    if known.stage == "RequestReceived":
        return [call.child("decide", _INTERNAL, known.received_at, known.at)], progress
    if known.stage == "ResponseStarted":
        return [], progress
    found = [call.root()]
    if before.forwarded_at:
        found.append(call.child("upstream", _CLIENT, before.forwarded_at, before.started_at or known.at))
    if before.started_at:
        found.append(call.child("stream", _INTERNAL, before.started_at, known.at))
    return found, progress


def _progress(known: Known, before: Progress) -> Progress | None:
    match known.stage:
        case "RequestReceived":
            return Progress(known.at, before.started_at)
        case "ResponseStarted":
            return Progress(before.forwarded_at, before.started_at or known.at)
    return None


class _Call:
    def __init__(self, known: Known, parent: Caller | None, trusted: bool) -> None:
        self._known, self._parent = known, parent
        self._inherits = parent if trusted else None
        self._trace_id = self._inherits.trace_id if self._inherits is not None else trace_id(known.id)

    def root(self) -> dict[str, Any]:
        known = self._known
        span = self._span("call", f"{known.verb} {known.kind}".strip(), _SERVER, known.received_at, known.at)
        span["attributes"] = attributes(_about(known))
        if self._inherits is not None:
            span["parentSpanId"] = self._inherits.span_id
        elif self._parent is not None:
            span["links"] = [{"traceId": self._parent.trace_id, "spanId": self._parent.span_id}]
        if known.stage == "Panic" or known.code >= 500 or not known.code:
            span["status"] = {"code": _ERROR}
        return span

    def child(self, name: str, kind: int, start: int, end: int) -> dict[str, Any]:
        span = self._span(name, name, kind, start, end)
        notes = self._known.notes
        said = {f"chaperone.{key}": notes.get(key) for key in ("decision", "rule", "risk")} if name == "decide" else {}
        return {
            **span,
            "parentSpanId": span_id(self._known.id, "call"),
            "attributes": attributes(present({**said, "k8s.cluster.name": notes.get("connection")})),
        }

    def _span(self, key: str, name: str, kind: int, start: int, end: int) -> dict[str, Any]:
        return {
            "traceId": self._trace_id,
            "spanId": span_id(self._known.id, key),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(max(start, end)),
        }


def _about(known: Known) -> dict[str, Any]:
    notes = known.notes
    failed = known.outcome == "failure"
    return present(
        {
            "http.request.method": "_OTHER" if known.subresource else _METHODS.get(known.verb, "_OTHER"),
            "http.response.status_code": known.code,
            "error.type": str(known.code or "no_reply") if failed else "",
            "url.path": known.uri.partition("?")[0],
            "url.scheme": "https",
            "client.address": known.source,
            "user_agent.original": known.user_agent,
            "user.name": known.username,
            "k8s.cluster.name": notes.get("connection"),
            "k8s.namespace.name": known.namespace,
            "chaperone.audit_id": known.id,
            "chaperone.verb": known.verb,
            "chaperone.resource": known.kind,
            "chaperone.session": notes.get("session"),
            "chaperone.decision": notes.get("decision"),
            "chaperone.rule": notes.get("rule"),
            "chaperone.risk": known.risk,
            "chaperone.approval": notes.get("approval"),
        }
    )
