"""What is asked about an exchange, and what binds the answer to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from mitmproxy.http import HTTPFlow

from addons.core import question
from addons.core.approval import Ask, canonical_method, digest
from addons.core.blast import blast
from addons.core.difference import difference
from addons.core.shape import offered, shape
from addons.core.wires import Message
from addons.exchange import Exchange, Scrub, need


def question_of(flow: HTTPFlow, exchange: Exchange, uid: str, scrub: Scrub) -> Ask:
    """What a human is asked, with what the request would change; `uid` is that of the object it is about."""
    request = need(exchange.request, "request")

    def masked(value: Any) -> Any:
        return None if value is None else orjson.loads(scrub(exchange, orjson.dumps(value), "application/json"))

    facts, decision = need(exchange.judged, "judged").facts, need(exchange.decision, "decision")
    after = facts.object if facts.object is not None else exchange.body_object
    extent = question.Extent(
        diff=difference(masked(facts.old_object), masked(after)),
        blast=blast(request, after, facts.old_object, facts.affected),
        offer=offered(request, decision.asking),
        shape=shape_of(flow, exchange, uid),
    )
    return question.ask(
        need(exchange.identity, "identity"),
        need(exchange.session, "session"),
        request,
        need(exchange.command, "command"),
        decision,
        extent,
    )


def digest_of(flow: HTTPFlow, exchange: Exchange, uid: str) -> str:
    """The digest an approval of this request is bound to; `uid` is that of the object it is about."""
    request = need(exchange.request, "request")
    return digest(
        need(exchange.identity, "identity"),
        need(exchange.connection, "connection").name,
        canonical_method(request),
        need(request.target or None, "target"),
        flow.request.raw_content or b"",
        flow.request.headers.get("content-type", ""),
        uid,
    )


def shape_of(flow: HTTPFlow, exchange: Exchange, uid: str) -> str:
    """By which an approval that stands covers this request; "" where none can."""
    facts = need(exchange.judged, "judged").facts
    return shape(
        need(exchange.identity, "identity"),
        need(exchange.connection, "connection").name,
        need(exchange.session, "session").intent,
        need(exchange.request, "request"),
        need(exchange.decision, "decision").asking,
        uid,
        flow.request.raw_content or b"",
        flow.request.headers.get("content-type", ""),
        (facts.old_object, facts.object),
    )


def session_question(exchange: Exchange, message: Message) -> tuple[str, Ask]:
    """What a human is asked about something in a session, and the digest that binds the answer to it."""
    request, decision = need(exchange.request, "request"), need(message.decision, "decision")
    ask = question.ask(
        need(exchange.identity, "identity"),
        need(exchange.session, "session"),
        replace(request, argv=(message.about,)),
        need(exchange.command, "command"),
        decision,
        question.Extent(),
    )
    bound = digest(
        need(exchange.identity, "identity"),
        need(exchange.connection, "connection").name,
        "SESSION",
        need(request.target or None, "target"),
        message.about.encode("utf-8", "surrogatepass"),
    )
    return bound, ask


def as_sent(flow: HTTPFlow) -> tuple[object, ...]:
    """All of a request that the API server would see: equal before and after a wait, or it was changed."""
    data = flow.request.data
    return data.method, data.scheme, data.host, data.port, data.path, data.headers.fields, data.content, data.trailers
