"""One session on tape: the cast of an exec or attach, the log of a port-forward, and first messages for viewers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wsproto.frame_protocol import Opcode

from addons.core.cast import Cast
from addons.core.channels import CHANNELS, Channel
from addons.core.forward import ForwardLog
from addons.core.recording import Seal
from addons.core.terminal import Terminal
from addons.core.wires import Message
from addons.edge.durable import Folder
from addons.edge.flow_file import MessageState
from addons.edge.journal import RecordUnavailable
from addons.edge.recordings import Recordings, cast_name, forward_name
from addons.edge.sample import MAX_SAMPLE
from addons.exchange import Exchange, need

_MESSAGE_BYTES = 32


class Tape:
    """One session. `on_error` ends it when its record cannot be written."""

    def __init__(
        self,
        recordings: Recordings,
        folder: Folder,
        exchange: Exchange,
        on_error: Callable[[RecordUnavailable], None],
        now: float,
    ) -> None:
        """Starts the record."""
        self._recordings, self._folder, self._on_error = recordings, folder, on_error
        self._kind, self._name, self._log = _log(exchange, now)
        self._seal = Seal()
        self._room = MAX_SAMPLE
        self._over = False
        self.messages: list[MessageState] = []
        if self._log is not None:
            self._write(self._log.start())

    def message(self, message: Message, now: float) -> None:
        """Records a message as it will be sent. Raises MalformedMessage, CastFull, RecordUnavailable."""
        if message.withheld or self._over:
            return
        if self._log is not None:
            self._write(self._log.message(message, now))
        self._room -= len(message.data) + _MESSAGE_BYTES
        if self._room > 0 and message.data:
            self.messages.append(_state(message, now))

    def end(self, now: float) -> Mapping[str, str]:
        """Ends the record; what the audit event says about it."""
        self._over = True
        if self._log is None:
            return {}
        self._write(self._log.end(now))
        return {self._kind: self._name, **self._log.summary(), **self._seal.annotations()}

    def _write(self, data: bytes) -> None:
        if data:
            self._seal.add(data)
            self._recordings.tape(self._folder, self._name, data, self._on_error)


def _log(exchange: Exchange, now: float) -> tuple[str, str, Terminal | ForwardLog | None]:
    """What is recorded of a session: the kind of file, its name, and who writes it."""
    request, wire = need(exchange.request, "request"), need(exchange.wire, "wire")
    title = f"{request.subresource} {request.namespace}/{request.name} {request.container}".rstrip()
    if request.subresource == "proxy":
        return "", "", None
    if request.subresource == "portforward":
        return "forward", forward_name(exchange.id), ForwardLog(now, title)
    terminal = Terminal(wire.json_status, Cast(now, request.argv, title, request.tty))
    return "cast", cast_name(exchange.id), terminal


def _state(message: Message, now: float) -> MessageState:
    """A message as viewers of WebSockets show it: the number of its channel, then its bytes."""
    lane = message.lane
    if lane.channel in (Channel.TEXT, Channel.BINARY):
        prefix = b""
    elif lane.pair:
        prefix = bytes([(2 * (lane.pair - 1) + (lane.channel is Channel.ERROR)) % 256])
    else:
        prefix = bytes([CHANNELS.index(lane.channel)])
    kind = Opcode.TEXT if lane.channel is Channel.TEXT else Opcode.BINARY
    return int(kind), message.from_client, prefix + message.data, now, False, False
