"""Judges each request by the guardrails: fetches what a rule reads, decides, and refuses what is denied.

Which object a rule sees is `core.guardrails.effective`'s business, what it makes of it `core.guardrails.ruleset`'s, and
a required approval the next step's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from mitmproxy.http import HTTPFlow, Response

from addons.call_out import Ask, with_answers
from addons.core.decision import strictest
from addons.core.guardrails import EffectiveObject, Facts, GuardrailSet, Judged, Sent, ServerRefusal, Unanswered
from addons.core.guardrails.announce import refusal_of, server_refusal, unanswered, warnings_of
from addons.core.guardrails.effective import objects
from addons.core.session_events import Reached
from addons.exchange import Exchange, Scrub, exchange_of, need
from addons.refusal import refuse, settled


class Guardrails:
    """`rules` gives those that an exchange is judged by; `clock` gives Unix seconds.

    `scrub` masks the server's own refusal of a dry run, which may quote what was sent or what is stored (B-72).
    """

    def __init__(
        self, rules: Callable[[Exchange], GuardrailSet], effective: EffectiveObject, ask: Ask,
        clock: Callable[[], float], scrub: Scrub,
    ) -> None:  # fmt: skip
        self._rules, self._effective, self._ask, self._clock, self._scrub = rules, effective, ask, clock, scrub

    async def request(self, flow: HTTPFlow) -> None:
        """Write the exchange's decision, or answer the flow."""
        if settled(flow):
            return None
        exchange = exchange_of(flow)
        request, connection = need(exchange.request, "request"), need(exchange.connection, "connection")
        identity, grant = need(exchange.identity, "identity"), need(exchange.grant, "grant")
        rules = self._rules(exchange)
        candidates = rules.candidates(request, connection.name)
        needs = rules.needs(candidates, request)
        try:
            found = await objects(self._effective, needs, grant, request, exchange.body_object, _sent(flow))
        except Unanswered as error:
            return refuse(flow, unanswered(error))
        if isinstance(found, ServerRefusal):
            body = self._scrub(exchange, found.body, found.content_type)
            exchange.refusal = server_refusal(found)
            flow.response = Response.make(found.status, body, {"content-type": found.content_type})
            return None
        now = self._clock()
        facts = Facts(
            request=request, object=found.after, old_object=found.before, identity=identity, grant=grant,
            connection=connection.name, now=now, rate=exchange.rate, affected=found.affected,
            frozen=rules.frozen(request, connection.name, now) if needs.frozen else None,
        )  # fmt: skip
        facts = await with_answers(self._ask, rules.callouts(candidates, facts), facts, exchange, self._scrub)
        exchange.judged = Judged(
            facts=facts, needs=needs, thresholds=connection.thresholds, profile=connection.profile, rules=rules.digest
        )
        decision = rules.judge(candidates, facts, connection.thresholds, connection.profile)
        reached = [Reached(port) for port in request.ports]  # those the request does not name are judged as they open
        judged = rules.judge_events(reached, facts, connection.thresholds, connection.profile)
        exchange.decision = reduce(strictest, (each for each, _ in judged), decision)
        exchange.warnings.extend(warnings_of(exchange.decision))
        if refusal := refusal_of(exchange.decision, request):
            refuse(flow, refusal)
        return None


def _sent(flow: HTTPFlow) -> Sent:
    request = flow.request
    content_type = request.headers.get("content-type", "")
    return Sent(
        method=request.method, target=request.path, content_type=content_type, body=need(request.raw_content, "body")
    )
