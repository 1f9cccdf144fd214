"""The record: nothing is forwarded that is not written down first, and refused requests are written down too.

Every exchange has audit events and, when it is over, a scrubbed flow record; exec and attach have a cast. Bodies are
recorded after masking, which runs earlier in the stack. Of replies that are streamed the first bytes are kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mitmproxy.http import HTTPFlow

from addons.core.audit import Stage
from addons.core.guardrails.announce import tells_of_the_cluster
from addons.core.terminal import NOT_RECORDED
from addons.edge.evidence import Evidence
from addons.edge.flow_record import FlowRecords
from addons.edge.live import Live
from addons.edge.recordings import Recordings
from addons.edge.sample import Sample
from addons.exchange import IncompleteExchange, begin, exchange_of, need
from addons.refusal import Disconnect, refuse, settled
from addons.upgrade_hooks import Passing


class Capture:
    """`disconnect` ends what can no longer be recorded."""

    def __init__(
        self,
        recordings: Recordings,
        now: Callable[[], float],
        disconnect: Disconnect,
        records: FlowRecords,
        live: Live,
    ) -> None:
        self._recordings, self._now, self._disconnect = recordings, now, disconnect
        self._evidence = Evidence(recordings, now, records, live)

    async def request(self, flow: HTTPFlow) -> None:
        """One event, on disk before anything is forwarded."""
        exchange = exchange_of(flow)
        self._evidence.begin(flow)
        if settled(flow):
            if not await self._evidence.commit_refusal(flow, exchange) and (
                exchange.answered or tells_of_the_cluster(exchange.refusal)
            ):
                refuse(flow, NOT_RECORDED)
            return
        flow.request.headers["Audit-ID"] = exchange.id
        if not (recorded := await self._evidence.commit(flow, exchange)):
            refuse(flow, NOT_RECORDED)
        exchange.recorded = recorded

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Take a sample of what is streamed."""
        exchange, response = exchange_of(flow), need(flow.response, "response")
        if response.stream and flow.error is None:
            response.stream = self._evidence.progress(flow).sample = Sample(response.stream)
            self._evidence.log(flow, exchange, Stage.RESPONSE_STARTED)

    def response(self, flow: HTTPFlow) -> None:
        """The end of an exchange, or the start of a session on the upgraded connection."""
        exchange = exchange_of(flow)
        if need(flow.response, "response").status_code != 101 or flow.error is not None:
            self._evidence.finish(flow, exchange)
        else:
            need(exchange.wire, "wire")
            self._evidence.log(flow, exchange, Stage.RESPONSE_STARTED)

    def upgrade_start(self, flow: HTTPFlow) -> None:
        """Begin the cast, or the log of a port-forward."""
        self._evidence.start_tape(flow, exchange_of(flow), lambda: self._disconnect(flow.client_conn))

    def upgrade_message(self, passing: Passing) -> Awaitable[None] | None:
        """Record a message as it is sent. Waits when the disk is behind."""
        need(self._evidence.progress(passing.flow).tape, "tape").message(passing.message, self._now())
        return self._recordings.relieved() if self._recordings.pressed else None

    def upgrade_end(self, flow: HTTPFlow) -> None:
        """The end of the record and of the exchange."""
        self._evidence.finish(flow, exchange_of(flow))

    def error(self, flow: HTTPFlow) -> None:
        """An exchange without a whole reply; one that ended before the perimeter saw it is written down here, too."""
        try:
            exchange = exchange_of(flow)
        except IncompleteExchange:
            exchange = begin(flow, self._now())
        self._evidence.finish(flow, exchange)
