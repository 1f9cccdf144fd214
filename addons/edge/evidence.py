"""What is written down about an exchange: audit events and a flow record; never a credential or an unmasked body.

The audit event is the truth and can be waited for; the flow record is for people and follows when an exchange is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary

import structlog
from mitmproxy.http import HTTPFlow

from addons.core.audit import Stage, event, line
from addons.edge.durable import Folder
from addons.edge.facts import call_of, ended_by, outcome_of
from addons.edge.flow_record import FlowRecords
from addons.edge.journal import RecordUnavailable
from addons.edge.live import Live
from addons.edge.progress import Progress
from addons.edge.recordings import Recordings
from addons.edge.tape import Tape
from addons.exchange import Exchange

log = structlog.get_logger()

_FAULT = "gateway-fault"
_NONE: Mapping[str, str] = {}


class Evidence:
    """Writes to `recordings`, and says to `live` what goes on meanwhile."""

    def __init__(self, recordings: Recordings, now: Callable[[], float], records: FlowRecords, live: Live) -> None:
        self._recordings, self._now, self._records, self._live = recordings, now, records, live
        self._progress: WeakKeyDictionary[HTTPFlow, Progress] = WeakKeyDictionary()

    async def commit(self, flow: HTTPFlow, exchange: Exchange) -> bool:
        """True when it is on disk that the request came and will be forwarded, False if it cannot be put there."""
        return await self._commit(flow, exchange, Stage.REQUEST_RECEIVED, "request")

    async def commit_refusal(self, flow: HTTPFlow, exchange: Exchange) -> bool:
        """As `commit`, of a request that is answered here; it stays refused if that cannot be written down."""
        if flow.response is None:
            return True  # it ended otherwise, which is told when it is over
        self.progress(flow).told = True
        return await self._commit(flow, exchange, Stage.RESPONSE_COMPLETE, "refusal")

    async def _commit(self, flow: HTTPFlow, exchange: Exchange, stage: Stage, what: str) -> bool:
        """The event with what the request was judged by, if it was."""
        event_line = self._event(flow, exchange, stage, _NONE)
        try:
            await self._recordings.commit(self._folder(flow, exchange), event_line, self._records.decision(exchange))
        except RecordUnavailable as fault:
            log.error(f"{what} not recorded", error=str(fault), reference=exchange.id)
            return False
        return True

    def log(self, flow: HTTPFlow, exchange: Exchange, stage: Stage, extra: Mapping[str, str] = _NONE) -> None:
        """Queues an event of what has happened. Raises RecordUnavailable when nothing can be queued."""
        if stage is Stage.RESPONSE_STARTED:
            self._live.show(flow, exchange, self.progress(flow))
        self._recordings.log(self._folder(flow, exchange), self._event(flow, exchange, stage, extra), _lost)

    def begin(self, flow: HTTPFlow) -> Progress:
        """Starts to keep track of a flow."""
        progress = self._progress[flow] = Progress()
        return progress

    def progress(self, flow: HTTPFlow) -> Progress:
        """What has been recorded of a flow; nothing, if it ended before it was begun."""
        return self._progress.get(flow) or self.begin(flow)

    def start_tape(self, flow: HTTPFlow, exchange: Exchange, end: Callable[[], None]) -> None:
        """Starts the tape of a session; `end` is called when it cannot be written any more."""

        def lost(fault: RecordUnavailable) -> None:
            if flow.client_conn.connected:  # it is told once, however many pieces of the cast are lost
                log.error("session ended: its record cannot be written", error=str(fault), reference=exchange.id)
                end()

        tape = Tape(self._recordings, self._folder(flow, exchange), exchange, lost, self._now())
        self.progress(flow).tape = tape

    def finish(self, flow: HTTPFlow, exchange: Exchange) -> None:
        """Queues the last audit event, the end of a tape, and the flow record, each once. Raises RecordUnavailable."""
        progress = self.progress(flow)
        self._live.over(flow)
        if not progress.told:
            progress.told = True
            self.log(flow, exchange, Stage.RESPONSE_COMPLETE, {**progress.end(self._now()), **ended_by(exchange)})
        if not progress.over:
            progress.over = True
            self._recordings.flow(self._folder(flow, exchange), self._records.of(flow, exchange, progress), _lost)

    def _folder(self, flow: HTTPFlow, exchange: Exchange) -> Folder:
        """Where the exchange's evidence goes, from its first event to its last."""
        progress = self.progress(flow)
        if progress.folder is None:
            connection = exchange.connection.name if exchange.connection else ""
            progress.folder = self._recordings.folder(exchange.session, connection)
        return progress.folder

    def _event(self, flow: HTTPFlow, exchange: Exchange, stage: Stage, extra: Mapping[str, str]) -> bytes:
        if stage is Stage.RESPONSE_COMPLETE and exchange.refusal is not None and exchange.refusal.rule == _FAULT:
            stage = Stage.PANIC
        code, message = (0, "") if stage is Stage.REQUEST_RECEIVED else outcome_of(flow, exchange)
        return line(event(call_of(flow, exchange), stage, self._now(), code, message, extra))


def _lost(fault: RecordUnavailable) -> None:
    """Of something that has already happened: nothing is left to refuse, and the next request will be."""
    log.error("record lost", error=str(fault))
