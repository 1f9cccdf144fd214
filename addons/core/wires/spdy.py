"""Sessions over SPDY: each stream is a lane. Every frame is read, judged by what it may do, and written anew.

What a stream is for, its opener says in headers: `streamtype` for a command, with `port` and `requestid` for a
port-forward. Source: k8s.io/cri-streaming (remotecommand/httpstream.go, portforward/httpstream.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from addons.core.channels import Channel
from addons.core.spdy import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    MalformedFrame,
    Ping,
    RstStream,
    Settings,
    Streams,
    SynReply,
    SynStream,
    Windows,
    WindowUpdate,
)
from addons.core.wires.budget import Budget
from addons.core.wires.message import Control, Item, Lane, Message, Ready, check_sender

_INITIAL_WINDOW_SIZE = 7
_OK = 0


class Purpose(Protocol):
    """What streams are for."""

    def lane(self, frame: SynStream) -> Lane:
        """The lane of a new stream. Raises Violation for one that may not be opened."""


class SpdyWire:
    """One session, whatever carries its bytes."""

    def __init__(self, purpose: Purpose, json_status: bool) -> None:
        self.json_status = json_status
        self.owes_status = False
        self._purpose = purpose
        self._streams = Streams()
        self._readers = {True: FrameReader(), False: FrameReader()}
        self._budgets = {True: Budget(), False: Budget()}
        self._writers = {True: FrameWriter(), False: FrameWriter()}  # by who it is for
        self._windows = {True: Windows(), False: Windows()}
        self._lanes: dict[int, Lane] = {}
        self._ids: dict[Lane, int] = {}
        self._opening: dict[Lane, SynStream] = {}
        self._resets: dict[Lane, RstStream] = {}
        self._ended: set[tuple[int, bool]] = set()

    def receive(self, data: bytes, from_client: bool, now: float) -> Iterator[Item]:
        """What is complete after `data`. Raises Violation."""
        for frame in self._readers[from_client].feed(data):
            if not isinstance(frame, Data) or not frame.data:
                self._budgets[from_client].spend(now)
            yield from self._received(frame, from_client)

    def send(self, item: Message | Control) -> Iterator[Ready]:
        """The bytes of a message or control, in its turn. Raises Violation."""
        if isinstance(item, Control):
            assert isinstance(item.content, SynReply | Settings | Ping | GoAway)
            yield self._write(not item.from_client, item.content)
        elif (stream := self._ids.get(item.lane)) is None:
            yield from self._dropped(item.size, item.from_client)
        else:
            yield from self._message(item, stream)

    def farewell(self, status: bytes, text: bytes) -> Iterator[Ready]:
        """Tells the client on the error streams; streams that wait for a reply get one, or nobody would read on."""
        for stream in self._streams.unaccepted:
            yield self._write(True, SynReply(stream))
        for stream, lane in self._lanes.items():
            if lane.channel is Channel.ERROR and (stream, False) not in self._ended:
                yield self._write(True, Data(stream, status if self.json_status else text, fin=True))
        yield self._write(True, GoAway(max(self._lanes, default=0), _OK))

    def _received(self, frame: Frame, from_client: bool) -> Iterator[Item]:
        match frame:
            case Ping() | GoAway():
                yield Control(from_client, frame)
            case Settings():
                self._settings(frame, from_client)
                yield Control(from_client, frame)
            case Headers():
                raise MalformedFrame("more headers of a stream, which nothing in Kubernetes reads")
            case WindowUpdate():
                self._windows[not from_client].keep()
                if frame.stream == 0 or self._streams.passes(frame, from_client):
                    yield from self._flow(from_client, self._windows[from_client].grant(frame.stream, frame.delta))
            case _:
                if self._streams.passes(frame, from_client):
                    yield self._passed(frame, from_client)
                elif isinstance(frame, Data):
                    yield from self._dropped(len(frame.data), from_client)

    def _passed(self, frame: SynStream | SynReply | RstStream | Data, from_client: bool) -> Item:
        if isinstance(frame, SynStream):
            return self._open(frame)
        if isinstance(frame, SynReply):
            return Control(from_client, frame)
        lane = self._lanes[frame.stream]
        if isinstance(frame, RstStream):
            self._resets[lane] = frame
            return Message(lane=lane, from_client=from_client, ends=True, aborts=True)
        if size := len(frame.data):
            check_sender(lane, from_client)
            if lane == Lane(Channel.ERROR):
                self.owes_status = False
        return Message(lane=lane, from_client=from_client, data=frame.data, size=size, ends=frame.fin)

    def _open(self, frame: SynStream) -> Message:
        lane = self._purpose.lane(frame)
        self._lanes[frame.stream], self._ids[lane], self._opening[lane] = lane, frame.stream, frame
        if lane == Lane(Channel.ERROR):
            self.owes_status = self.json_status
        for windows in self._windows.values():
            windows.open(frame.stream)
        return Message(lane=lane, from_client=True, opens=True, ends=frame.fin)

    def _settings(self, frame: Settings, from_client: bool) -> None:
        for _, key, value in frame.values:
            if key == _INITIAL_WINDOW_SIZE:
                self._windows[from_client].announce(value)
                self._windows[not from_client].keep()

    def _message(self, message: Message, stream: int) -> Iterator[Ready]:
        to_client = not message.from_client
        if message.aborts:
            for windows in self._windows.values():
                windows.close(stream)
            self._forget(stream)
            yield self._write(to_client, self._resets.pop(message.lane))
            return
        if message.opens:
            yield self._write(to_client, self._opening.pop(message.lane))
        else:
            made = Data(stream, message.data, message.ends)
            yield from self._flow(to_client, self._windows[to_client].passed(message.size, made))
        if message.ends:
            self._end(stream, message.from_client)

    def _flow(self, to_client: bool, events: Iterator[Data | WindowUpdate]) -> Iterator[Ready]:
        """Data goes on, what the sender is told goes back."""
        for event in events:
            yield self._write(to_client if isinstance(event, Data) else not to_client, event)

    def _dropped(self, size: int, from_client: bool) -> Iterator[Ready]:
        return self._flow(not from_client, self._windows[not from_client].dropped(size))

    def _end(self, stream: int, from_client: bool) -> None:
        self._ended.add((stream, from_client))
        if (stream, not from_client) in self._ended:
            self._forget(stream)

    def _forget(self, stream: int) -> None:
        del self._ids[self._lanes.pop(stream)]
        self._ended -= {(stream, True), (stream, False)}

    def _write(self, to_client: bool, frame: Frame) -> Ready:
        return Ready(to_client, self._writers[to_client].write(frame), keepalive=isinstance(frame, Ping))
