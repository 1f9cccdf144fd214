"""What is asked about an exchange, and what binds the answer to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from mitmproxy.http import HTTPFlow

from addons.core import question
from addons.core.approval import Ask, canonical_method, digest
from addons.core.difference import difference
from addons.core.wires import Message
from addons.exchange import Exchange, Scrub, need


def question_of(exchange: Exchange, scrub: Scrub) -> Ask:
    """What a human is asked, with what the request would change."""
    request = need(exchange.request, "request")

    def masked(value: Any) -> Any:
        return None if value is None else orjson.loads(scrub(exchange, orjson.dumps(value), "application/json"))

    facts = need(exchange.judged, "judged").facts
    after = facts.object if facts.object is not None else exchange.body_object
    return question.ask(
        need(exchange.identity, "identity"),
        need(exchange.session, "session"),
        request,
        need(exchange.command, "command"),
        need(exchange.decision, "decision"),
        difference(masked(facts.old_object), masked(after)),
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


def session_question(exchange: Exchange, message: Message) -> tuple[str, Ask]:
    """What a human is asked about something in a session, and the digest that binds the answer to it."""
    request, decision = need(exchange.request, "request"), need(message.decision, "decision")
    ask = question.ask(
        need(exchange.identity, "identity"),
        need(exchange.session, "session"),
        replace(request, argv=(message.about,)),
        need(exchange.command, "command"),
        decision,
        "",
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
