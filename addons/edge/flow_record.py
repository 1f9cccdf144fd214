"""Flow records of exchanges, over or still going on: masked, scrubbed and explained, as viewers show them."""

from __future__ import annotations

from mitmproxy.http import HTTPFlow

from addons.core.guardrails import record
from addons.edge.facts import MAX_BODY, comment_of, mark_of, response_body, summary_of
from addons.edge.flow_file import FlowEncoder
from addons.edge.progress import Progress
from addons.edge.sample import Sample
from addons.exchange import Exchange, Scrub, need

NOT_UNDERSTOOD = b"[not recorded: the request was not understood, so nothing in it could be masked]"


class FlowRecords:
    """Makes records. `scrub` masks the request body of an exchange, by its content type."""

    def __init__(self, scrub: Scrub) -> None:
        self._encoder = FlowEncoder()
        self._scrub = scrub

    def of(self, flow: HTTPFlow, exchange: Exchange, progress: Progress, over: bool = True) -> bytes:
        """The record of an exchange as it stands; one that is not over says so."""
        return self._encoder.encode(
            flow,
            self._request_body(flow, exchange),
            self._response_body(flow, exchange, progress.sample),
            summary_of(exchange, over),
            comment_of(flow, exchange, over),
            mark_of(flow, exchange, over),
            progress.messages,
        )

    def decision(self, exchange: Exchange) -> bytes:
        """What the request was judged by, as a line; nothing of a request that was not judged."""
        if exchange.decision is None:
            return b""

        def scrub(_: object, body: bytes, content_type: str) -> bytes:
            return self._scrub(exchange, body, content_type)

        return record.line(exchange.id, need(exchange.judged, "judged"), exchange.decision, scrub)

    def _response_body(self, flow: HTTPFlow, exchange: Exchange, sample: Sample | None) -> bytes | None:
        """What the agent got. Where it was shown more than others, all that can be masked of it."""
        body, response = response_body(flow, exchange, sample), flow.response
        if not body or response is None or exchange.grant is None or not exchange.grant.unmask:
            return body
        return self._scrub(exchange, body, response.headers.get("content-type", ""))

    def _request_body(self, flow: HTTPFlow, exchange: Exchange) -> bytes | None:
        body = flow.request.raw_content
        if not body:
            return body
        if exchange.request is None:
            return NOT_UNDERSTOOD
        return self._scrub(exchange, body, flow.request.headers.get("content-type", ""))[:MAX_BODY]
