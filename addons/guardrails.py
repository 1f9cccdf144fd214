"""Judges each request by the guardrails: fetches what a rule reads, decides, and refuses what is denied.

Which object a rule sees is `core.guardrails.effective`'s business, what it makes of it `core.guardrails.ruleset`'s, and
a required approval the next step's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mitmproxy.http import HTTPFlow, Response

from addons.core.guardrails import EffectiveObject, Facts, GuardrailSet, Needs, Sent, ServerRefusal
from addons.core.guardrails.announce import refusal_of, server_refusal, warnings_of
from addons.core.guardrails.effective import object_after, object_before
from addons.core.kube_request import KubeRequest
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import refuse, settled


class Guardrails:
    """`rules` is asked on every request, so that a reload takes effect at once; `clock` gives Unix seconds.

    `scrub` masks the server's own refusal of a dry run, which may quote what was sent or what is stored (B-72).
    """

    def __init__(
        self,
        rules: Callable[[], GuardrailSet],
        effective: EffectiveObject,
        clock: Callable[[], float],
        scrub: Callable[[KubeRequest, bytes, str], bytes],
    ) -> None:
        self._rules, self._effective, self._clock, self._scrub = rules, effective, clock, scrub

    async def request(self, flow: HTTPFlow) -> None:
        """Write the exchange's decision, or answer the flow."""
        if settled(flow):
            return
        exchange = exchange_of(flow)
        request, connection = need(exchange.request, "request"), need(exchange.connection, "connection")
        identity, grant = need(exchange.identity, "identity"), need(exchange.grant, "grant")
        rules = self._rules()
        candidates = rules.candidates(request, connection.name)
        needs = rules.needs(candidates, request)
        if (needs.object or needs.old_object) and (refused := await self._fetch(flow, exchange, needs)):
            exchange.refusal = server_refusal(refused)
            body = self._scrub(request, refused.body, refused.content_type)
            flow.response = Response.make(refused.status, body, {"content-type": refused.content_type})
            return
        facts = Facts(
            request=request,
            object=exchange.object,
            old_object=exchange.old_object,
            identity=identity,
            grant=grant,
            connection=connection.name,
            now=self._clock(),
        )
        exchange.decision = rules.judge(candidates, facts, connection.thresholds)
        exchange.warnings.extend(warnings_of(exchange.decision))
        if refusal := refusal_of(exchange.decision, request):
            refuse(flow, refusal)

    async def _fetch(self, flow: HTTPFlow, exchange: Exchange, needs: Needs) -> ServerRefusal | None:
        request, grant, http = need(exchange.request, "request"), need(exchange.grant, "grant"), flow.request
        content_type = http.headers.get("content-type", "")
        sent = Sent(
            method=http.method, target=http.path, content_type=content_type, body=need(http.raw_content, "body")
        )
        answer: Mapping[str, Any] | ServerRefusal | None
        if needs.object:
            answer = await object_after(self._effective, grant, request, exchange.body_object, sent)
            if isinstance(answer, ServerRefusal):
                return answer
            exchange.object = answer
        if needs.old_object:
            answer = await object_before(self._effective, grant, request, sent)
            if isinstance(answer, ServerRefusal):
                return answer
            exchange.old_object = answer
        return None
