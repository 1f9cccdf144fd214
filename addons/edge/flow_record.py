"""Flow records of exchanges, over or still going on: masked, scrubbed and explained, as viewers show them."""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy.http import HTTPFlow

from addons.core.kube_request import KubeRequest
from addons.edge.facts import MAX_BODY, comment_of, mark_of, response_body, summary_of
from addons.edge.flow_file import FlowEncoder
from addons.edge.progress import Progress
from addons.exchange import Exchange

NOT_UNDERSTOOD = b"[not recorded: the request was not understood, so nothing in it could be masked]"

Scrub = Callable[[KubeRequest, bytes, str], bytes]


class FlowRecords:
    """Makes records. `scrub` masks request bodies by what the request is and their content type."""

    def __init__(self, scrub: Scrub) -> None:
        self._encoder = FlowEncoder()
        self._scrub = scrub

    def of(self, flow: HTTPFlow, exchange: Exchange, progress: Progress, over: bool = True) -> bytes:
        """The record of an exchange as it stands; one that is not over says so."""
        return self._encoder.encode(
            flow,
            self._request_body(flow, exchange),
            response_body(flow, exchange, progress.sample),
            summary_of(exchange, over),
            comment_of(flow, exchange, over),
            mark_of(flow, exchange, over),
            progress.messages,
        )

    def _request_body(self, flow: HTTPFlow, exchange: Exchange) -> bytes | None:
        body = flow.request.raw_content
        if not body:
            return body
        if exchange.request is None:
            return NOT_UNDERSTOOD
        return self._scrub(exchange.request, body, flow.request.headers.get("content-type", ""))[:MAX_BODY]
