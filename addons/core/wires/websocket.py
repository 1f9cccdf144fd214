"""WebSocket frames, read by wsproto and written anew, and the two kinds of WebSocket that carry no SPDY.

Written anew because readers differ: Go's x/net/websocket, behind which API servers read channels, takes each fragment
for a message of its own, channel number included. Here what was one message for us is one message for them. Extensions
are never negotiated. Pings are answered here, so that a session that waits for a human lives on, and passed on.
Source: RFC 6455, sections 5 and 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from addons.core.channels import CLOSE, Channel, MalformedMessage, MessageReader, Protocol, encode
from addons.core.violation import Violation
from addons.core.wires.budget import Budget
from addons.core.wires.message import Control, Item, Lane, Message, Ready, check_sender


class MalformedWebSocket(Violation):
    """Bytes that are no WebSocket frame, or not in this place."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a WebSocket message."""

    data: bytes
    text: bool
    finished: bool


@dataclass(frozen=True, slots=True)
class _Ping:
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


class WebSocket:
    """Both ends of one WebSocket: towards the client we are its server, towards the server its client."""

    def __init__(self) -> None:
        self._ends = {
            True: FrameProtocol(client=False, extensions=[]),
            False: FrameProtocol(client=True, extensions=[]),
        }
        self._budgets = {True: Budget(), False: Budget()}
        self._closed: set[bool] = set()

    def receive(self, data: bytes, from_client: bool, now: float) -> Iterator[Piece | Control | Ready]:
        """Pieces of messages, and what else came. Nothing comes after a close. Raises Violation."""
        if from_client in self._closed:
            return
        end = self._ends[from_client]
        end.receive_bytes(data)
        try:
            for frame in end.received_frames():
                yield from self._frame(frame, from_client, now)
        except ParseFailed as error:
            raise MalformedWebSocket(f"not a WebSocket frame: {error}") from None

    def send(self, to_client: bool, data: bytes, text: bool = False, finished: bool = True) -> Ready:
        """A message, or a piece of it."""
        payload = data.decode("utf-8", "replace") if text else data
        return Ready(to_client, bytes(self._ends[to_client].send_data(payload, finished)))

    def send_control(self, control: Control) -> Iterator[Ready]:
        """A ping or close that was received, in its turn; a close is answered, too."""
        content, to_client = control.content, not control.from_client
        if isinstance(content, _Ping):
            yield Ready(to_client, bytes(self._ends[to_client].ping(content.payload)), keepalive=True)
            return
        assert isinstance(content, _Close)
        for side in (to_client, not to_client):
            yield Ready(side, bytes(self._ends[side].close(content.code, content.reason)))

    def close(self, code: CloseReason, reason: str) -> Ready:
        """The last frame to the client."""
        return Ready(True, bytes(self._ends[True].close(code, reason)))

    def _frame(self, frame: Frame, from_client: bool, now: float) -> Iterator[Piece | Control | Ready]:
        payload = frame.payload
        if frame.opcode is Opcode.CLOSE:
            assert isinstance(payload, tuple)
            self._closed.add(from_client)
            yield Control(from_client, _Close(*payload), closes=True)
            return
        if not payload or frame.opcode.iscontrol():
            self._budgets[from_client].spend(now)
        if frame.opcode is Opcode.PING:
            assert isinstance(payload, bytes)
            yield Ready(from_client, bytes(self._ends[from_client].pong(payload)), keepalive=True)
            yield Control(from_client, _Ping(payload))
        elif frame.opcode is not Opcode.PONG:
            data = payload.encode() if isinstance(payload, str) else payload
            assert isinstance(data, bytes)
            yield Piece(data, frame.opcode is Opcode.TEXT, frame.frame_finished and frame.message_finished)


class ChannelWire:
    """exec and attach, or a port-forward whose connections are all there from the start, on numbered channels."""

    def __init__(self, protocol: Protocol, lanes: Mapping[int, Lane]) -> None:
        self._protocol, self._lanes = protocol, lanes
        self._numbers = {lane: number for number, lane in lanes.items()}
        self.json_status = protocol.version >= 4
        self.owes_status = self.json_status and Lane(Channel.ERROR) in self._numbers
        self._socket = WebSocket()
        self._readers = {True: MessageReader(protocol), False: MessageReader(protocol)}
        self._announced = {number: b"" for number, lane in lanes.items() if lane.port}

    def receive(self, data: bytes, from_client: bool, now: float) -> Iterator[Item]:
        """What is complete after `data`. Raises Violation."""
        for part in self._socket.receive(data, from_client, now):
            if not isinstance(part, Piece):
                yield part
            elif (piece := self._readers[from_client].feed(part.data, part.finished)) is not None:
                yield self._message(*piece, from_client)

    def send(self, item: Message | Control) -> Iterator[Ready]:
        """The bytes of a message or control, in its turn."""
        if isinstance(item, Control):
            yield from self._socket.send_control(item)
            return
        number, to_client = self._numbers[item.lane], not item.from_client
        if item.data or (not item.size and not item.ends):
            yield self._send(to_client, encode(self._protocol, number, item.data))
        if item.ends:
            yield self._send(to_client, bytes([CLOSE, number]))

    def farewell(self, status: bytes, text: bytes) -> Iterator[Ready]:
        """Tells the client on the error channels, and closes."""
        for number, lane in self._lanes.items():
            if lane.channel is Channel.ERROR and len(self._announced.get(number, b"..")) == 2:
                yield self._send(True, encode(self._protocol, number, status if self.json_status else text))
        yield self._socket.close(CloseReason.NORMAL_CLOSURE, "chaperone ended this session")

    def _send(self, to_client: bool, data: bytes) -> Ready:
        return self._socket.send(to_client, data, text=self._protocol.base64)

    def _message(self, number: int, data: bytes, from_client: bool) -> Message:
        ends = number == CLOSE and self._protocol.version >= 5
        try:
            lane = self._lanes[data[0] if ends else number]
        except KeyError:
            raise MalformedMessage(f"channel {data[0] if ends else number} does not exist") from None
        if ends:
            return Message(lane=lane, from_client=from_client, ends=True)
        if data:
            check_sender(lane, from_client)
        if data and lane == Lane(Channel.ERROR):
            self.owes_status = False
        if number in self._announced and not from_client:
            self._check_port(number, lane, data)
        return Message(lane=lane, from_client=from_client, data=data, size=len(data))

    def _check_port(self, number: int, lane: Lane, data: bytes) -> None:
        """The first two bytes on each channel say which port it is of."""
        announced = self._announced[number] = (self._announced[number] + data)[:2]
        if not lane.port.to_bytes(2, "little").startswith(announced):
            raise MalformedMessage(f"a channel asked for port {lane.port} is of another one")


class PlainWire:
    """A WebSocket of a proxied pod, service or node. The bounds of messages and their types are kept."""

    json_status = owes_status = False

    def __init__(self) -> None:
        self._socket = WebSocket()

    def receive(self, data: bytes, from_client: bool, now: float) -> Iterator[Item]:
        """What is complete after `data`. Raises Violation."""
        for part in self._socket.receive(data, from_client, now):
            if isinstance(part, Piece):
                lane = Lane(Channel.TEXT if part.text else Channel.BINARY)
                size = len(part.data)
                yield Message(lane=lane, from_client=from_client, data=part.data, size=size, ends=part.finished)
            else:
                yield part

    def send(self, item: Message | Control) -> Iterator[Ready]:
        """The bytes of a message or control, in its turn."""
        if isinstance(item, Control):
            yield from self._socket.send_control(item)
        elif item.data or item.ends:
            yield self._socket.send(not item.from_client, item.data, item.lane.channel is Channel.TEXT, item.ends)

    def farewell(self, status: bytes, text: bytes) -> Iterator[Ready]:
        """Closes; the reason is all that there is a place for."""
        yield self._socket.close(CloseReason.POLICY_VIOLATION, text.decode("utf-8", "replace"))
