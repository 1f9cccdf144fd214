"""One WebSocket on tape: the cast of an exec or attach, and the first messages of any, for viewers."""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage

from addons.core.cast import Cast
from addons.core.channels import protocol
from addons.core.terminal import Terminal
from addons.edge.flow_file import MessageState
from addons.edge.journal import Folder, RecordUnavailable
from addons.edge.recordings import Recordings, cast_name
from addons.edge.sample import MAX_SAMPLE
from addons.exchange import Exchange, need

_RECORDED = frozenset({"exec", "attach"})


class Tape:
    """One WebSocket. `on_error` ends it when its cast cannot be written."""

    def __init__(
        self,
        recordings: Recordings,
        folder: Folder,
        flow: HTTPFlow,
        exchange: Exchange,
        on_error: Callable[[RecordUnavailable], None],
        now: float,
    ) -> None:
        """Starts the cast of an exec or attach. Raises UnknownProtocol for one that could not be read."""
        self._recordings, self._folder, self._id = recordings, folder, exchange.id
        self._on_error = on_error
        self._terminal = _terminal(flow, exchange, now)
        self._room = MAX_SAMPLE
        self.messages: list[MessageState] = []
        if self._terminal is not None:
            self._write(self._terminal.start())

    def message(self, message: WebSocketMessage, now: float) -> None:
        """Records a message as it will be sent. Raises MalformedMessage, CastFull, RecordUnavailable."""
        if message.dropped:
            return
        if self._terminal is not None:
            self._write(self._terminal.message(message.content, message.from_client, now))
        self._room -= len(message.content) + 32
        if self._room > 0:
            self.messages.append(message.get_state())

    def end(self, now: float) -> dict[str, str]:
        """Ends the cast; what the audit event says about it."""
        if self._terminal is None:
            return {}
        self._write(self._terminal.end(now))
        return {"cast": cast_name(self._id), **self._terminal.summary()}

    def _write(self, data: bytes) -> None:
        if data:
            self._recordings.cast(self._folder, self._id, data, self._on_error)


def _terminal(flow: HTTPFlow, exchange: Exchange, now: float) -> Terminal | None:
    request = need(exchange.request, "request")
    if not request.is_connect or request.subresource not in _RECORDED:
        return None
    chosen = need(flow.response, "response").headers.get("sec-websocket-protocol", "")
    title = f"{request.subresource} {request.namespace}/{request.name} {request.container}".rstrip()
    return Terminal(protocol(chosen), Cast(now, request.argv, title, request.tty))
