"""Sessions over SPDY, and over SPDY inside a WebSocket (B-30, B-33, B-36)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason

from addons.core.channels import Channel, MalformedMessage
from addons.core.spdy import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    MalformedFrame,
    Ping,
    ReusedStream,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    UnknownStream,
    WindowUpdate,
)
from addons.core.spdy.streams import MAX_STREAMS, TooManyStreams
from addons.core.violation import Flood, Violation
from addons.core.wires import Control, Lane, Message, Wire, wire_of
from addons.core.wires.budget import CAPACITY
from addons.core.wires.purposes import DuplicateStreamType, StreamNotAsked
from tests.core.spdy.test_frames import joined
from tests.core.wires.ends import CLIENT, SERVER, Socket, controls, cuts, items, pieces, relayed, sent, told
from tests.core.wires.test_websocket import request

STDIN, STDOUT, ERROR = Lane(Channel.STDIN), Lane(Channel.STDOUT), Lane(Channel.ERROR)


def command(protocol: str = "v4.channel.k8s.io", tty: bool = True) -> Wire:
    asked = request(upgrade="spdy", stdin=True, stdout=True, stderr=not tty, tty=tty)
    return wire_of(asked, {"upgrade": "SPDY/3.1", "x-stream-protocol-version": protocol})


def forward(ports: tuple[int, ...] = ()) -> Wire:
    asked = request("portforward", "spdy", ports=ports)
    return wire_of(asked, {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "portforward.k8s.io"})


def tunnel(ports: tuple[int, ...] = ()) -> Wire:
    headers = {"upgrade": "websocket", "sec-websocket-protocol": "SPDY/3.1+portforward.k8s.io"}
    return wire_of(request("portforward", ports=ports), headers)


class End:
    """A client or server: frames to bytes and back."""

    def __init__(self) -> None:
        self.writer, self.reader = FrameWriter(), FrameReader()

    def data(self, *frames: Frame) -> bytes:
        return b"".join(map(self.writer.write, frames))

    def frames(self, data: bytes) -> list[Frame]:
        return joined(self.reader.feed(data))


def stream(number: int, kind: str, fin: bool = False, **headers: str) -> SynStream:
    return SynStream(number, (("streamtype", kind), *headers.items()), fin)


OPEN: tuple[Frame, ...] = (stream(1, "error"), stream(3, "stdin"), stream(5, "stdout"), stream(7, "resize"))
REPLIES: tuple[Frame, ...] = tuple(SynReply(number) for number in (1, 3, 5, 7))
SPOKEN: tuple[Frame, ...] = (
    Data(3, b"ls\n"),
    Ping(1),
    Data(7, b'{"Width":80,"Height":24}'),
    Data(3, b"", True),
    RstStream(7, 5),
    GoAway(0, 0),
)
ANSWERED: tuple[Frame, ...] = (
    *REPLIES,
    Data(5, b"a" * 300),
    Ping(2),
    Data(5, b"b", True),
    Data(1, b'{"status":"Success"}', True),
    GoAway(7, 0),
)


@given(cuts(), cuts())
def test_a_command_whatever_the_split(first: list[int], second: list[int]) -> None:
    wire, client, server = command(), End(), End()
    asked = items(wire, pieces(client.data(*OPEN, *SPOKEN), first), CLIENT)
    assert [lane.channel for lane, _, _, opens, _ in told(asked) if opens] == ["error", "stdin", "stdout", "resize"]
    assert told(asked)[4:] == [
        (STDIN, CLIENT, b"ls\n", False, False),
        (Lane(Channel.RESIZE), CLIENT, b'{"Width":80,"Height":24}', False, False),
        (STDIN, CLIENT, b"", False, True),
        (Lane(Channel.RESIZE), CLIENT, b"", False, True),
    ]
    assert End().frames(sent(wire, asked, to_client=False)) == joined([*OPEN, *SPOKEN])
    answered = items(wire, pieces(server.data(*ANSWERED), second), SERVER)
    assert told(answered) == [
        (STDOUT, SERVER, b"a" * 300 + b"b", False, True),
        (ERROR, SERVER, b'{"status":"Success"}', False, True),
    ]
    assert End().frames(sent(wire, answered, to_client=True)) == [*REPLIES[:3], *joined(ANSWERED[4:])]


def opened(wire: Wire, *frames: Frame) -> tuple[End, End]:
    """The client's and the server's end after these frames of the client."""
    client, server = End(), End()
    server.frames(relayed(wire, [client.data(*frames)], CLIENT))
    return client, server


@pytest.mark.parametrize(
    ("frame", "from_client", "violation"),
    [
        pytest.param(stream(9, "stdout"), CLIENT, DuplicateStreamType, id="second-stdout"),
        pytest.param(stream(9, "stderr"), CLIENT, StreamNotAsked, id="stderr-with-a-terminal"),
        pytest.param(stream(9, "x"), CLIENT, StreamNotAsked, id="unknown-type"),
        pytest.param(SynStream(9), CLIENT, StreamNotAsked, id="no-type"),
        pytest.param(stream(2, "stdin"), SERVER, ReusedStream, id="pushed"),
        pytest.param(Data(9, b"x"), CLIENT, UnknownStream, id="data-on-no-stream"),
        pytest.param(Data(5, b"x"), CLIENT, MalformedMessage, id="stdout-from-the-client"),
        pytest.param(Data(1, b"x"), CLIENT, MalformedMessage, id="error-from-the-client"),
        pytest.param(Data(3, b"x"), SERVER, MalformedMessage, id="stdin-from-the-server"),
        pytest.param(Headers(3, (("a", "b"),)), CLIENT, MalformedFrame, id="more-headers"),
        pytest.param(WindowUpdate(0, 2**31 - 1), CLIENT, Violation, id="window-overflow"),
    ],
)
def test_b33_hostile_frames(frame: Frame, from_client: bool, violation: type[Violation]) -> None:
    wire = command()
    client, server = opened(wire, *OPEN)
    with pytest.raises(violation):
        items(wire, [(client if from_client else server).data(frame)], from_client)


def test_b33_an_id_is_never_used_again() -> None:
    wire = command()
    client, _ = opened(wire, *OPEN)
    relayed(wire, [client.data(RstStream(5, 5))], CLIENT)
    with pytest.raises(ReusedStream):
        items(wire, [client.data(stream(5, "stdout"))], CLIENT)
    wire = command()
    client, _ = opened(wire, *OPEN, RstStream(5, 5))
    with pytest.raises(DuplicateStreamType):
        items(wire, [client.data(stream(9, "stdout"))], CLIENT)


def test_b33_floods() -> None:
    wire, client = command(), End()
    assert len(items(wire, [client.data(*(Ping(1) for _ in range(CAPACITY)))], CLIENT)) == CAPACITY
    with pytest.raises(Flood):
        items(wire, [client.data(Settings(()))], CLIENT)
    wire = command()
    client, _ = opened(wire, *OPEN)
    with pytest.raises(Flood):
        items(wire, [client.data(*(Data(3, b"") for _ in range(CAPACITY + 1)))], CLIENT)


def test_a_stream_nobody_asked_for_is_none_of_the_requests() -> None:
    """stdin=false was approved: a client that opens stdin all the same is not served."""
    asked = request(upgrade="spdy", stdout=True)
    wire = wire_of(asked, {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io"})
    with pytest.raises(StreamNotAsked, match="did not ask"):
        items(wire, [End().data(stream(1, "stdin"))], CLIENT)


def test_masked_output_is_shorter_and_the_window_says_so() -> None:
    wire = command()
    client, server = opened(wire, *OPEN)
    (quiet,) = items(wire, [server.data(Data(5, b"x"))], SERVER)
    assert isinstance(quiet, Message)
    quiet.data = b""
    assert [one.to_client for one in wire.send(quiet)] == [True]  # Go's servers keep no count, and are told nothing
    relayed(wire, [client.data(WindowUpdate(0, 1), WindowUpdate(5, 1))], CLIENT)
    (found,) = items(wire, [server.data(Data(5, b"x" * 100))], SERVER)
    assert isinstance(found, Message)
    found.data = b"short"
    ready = [*wire.send(found)]
    assert [one.to_client for one in ready] == [True, False, False]
    assert End().frames(ready[0].data) == [Data(5, b"short")]
    assert [type(frame) for frame in End().frames(ready[1].data + ready[2].data)] == [WindowUpdate, WindowUpdate]


def test_flow_control_goes_on_whatever_waits() -> None:
    """A client's window update is not behind its stdin, which may wait for a human."""
    wire = command()
    client, server = opened(wire, *OPEN)
    settings = Settings(((0, 7, 10), (0, 4, 100)))
    assert relayed(wire, [client.data(settings)], CLIENT)
    found = items(wire, [server.data(Data(5, b"x" * 10)), server.data(Data(5, b"y" * 3))], SERVER)
    assert joined(End().reader.feed(sent(wire, found, to_client=True))) == [Data(5, b"x" * 10)]
    granted = items(wire, [client.data(WindowUpdate(5, 5))], CLIENT)
    assert joined(End().reader.feed(sent(wire, granted, to_client=True))) == [Data(5, b"yyy")]


def test_what_comes_for_a_stream_that_is_gone_is_not_passed_on() -> None:
    wire = command()
    client, server = opened(wire, *OPEN)
    late = items(wire, [server.data(Data(5, b"x" * 10))], SERVER)
    relayed(wire, [client.data(RstStream(5, 5))], CLIENT)
    assert sent(wire, late, to_client=True) == b""
    assert server.frames(sent(wire, items(wire, [server.data(Data(5, b"y"))], SERVER), to_client=True)) == []
    assert items(wire, [client.data(RstStream(5, 5), WindowUpdate(5, 1))], CLIENT) == []


def test_a_stream_may_end_as_it_begins() -> None:
    wire = command()
    client = End()
    found = items(wire, [client.data(stream(1, "error", fin=True))], CLIENT)
    assert told(found) == [(ERROR, CLIENT, b"", True, True)]
    assert End().frames(sent(wire, found, to_client=False)) == [stream(1, "error", fin=True)]


@pytest.mark.parametrize(("protocol", "said"), [("v4.channel.k8s.io", b"{}"), ("v3.channel.k8s.io", b"why")])
def test_a_client_is_told_why_its_session_ends(protocol: str, said: bytes) -> None:
    wire = command(protocol)
    opened(wire, *OPEN[:3])
    text = b"".join(ready.data for ready in wire.farewell(b"{}", b"why"))
    assert End().frames(text) == [SynReply(1), SynReply(3), SynReply(5), Data(1, said, True), GoAway(5, 0)]


def test_a_stream_is_forgotten_when_both_sides_are_done() -> None:
    wire = forward()
    client, server = opened(wire, *pair(1, "80", "0"), Data(3, b"", True))
    relayed(wire, [server.data(Data(3, b"answer", True), Data(1, b"", True))], SERVER)
    assert End().frames(b"".join(ready.data for ready in wire.farewell(b"{}", b"why")))[-1] == GoAway(1, 0)
    relayed(wire, [client.data(Data(1, b"", True))], CLIENT)
    assert End().frames(b"".join(ready.data for ready in wire.farewell(b"{}", b"why")))[-1] == GoAway(0, 0)


def test_nothing_is_said_behind_the_end_of_the_errors() -> None:
    wire = command()
    _, server = opened(wire, *OPEN)
    relayed(wire, [server.data(*ANSWERED[:-1])], SERVER)
    assert End().frames(b"".join(ready.data for ready in wire.farewell(b"{}", b"why"))) == [GoAway(7, 0)]


@pytest.mark.parametrize(
    ("protocol", "said", "owes"),
    [
        ("v4.channel.k8s.io", [*REPLIES, Data(5, b"all of it?"), Ping(2)], True),
        ("v4.channel.k8s.io", [*REPLIES, Data(1, b"", True)], True),
        ("v4.channel.k8s.io", [*REPLIES, Data(1, b'{"status":"Success"}', True)], False),
        ("v3.channel.k8s.io", [*REPLIES, Data(5, b"old ones say nothing of success")], False),
    ],
)
def test_how_a_command_ended_has_to_be_said(protocol: str, said: list[Frame], owes: bool) -> None:
    wire = command(protocol)
    assert not wire.owes_status
    _, server = opened(wire, *OPEN)
    relayed(wire, [server.data(*said)], SERVER)
    assert wire.owes_status is owes


@pytest.mark.parametrize("wire_for", [forward, tunnel])
def test_a_forward_owes_nobody_a_status(wire_for: Callable[[], Wire]) -> None:
    assert not wire_for().owes_status


@pytest.mark.parametrize("wire_for", [command, tunnel])
def test_pings_may_wait_and_nothing_else_may(wire_for: Callable[[], Wire]) -> None:
    wire = wire_for()
    for frame, keepalive in ((Ping(1), True), (GoAway(0, 0), False)):
        data = End().data(frame)
        (item,) = items(wire, [Socket(client=True).message(data) if wire_for is tunnel else data], CLIENT)
        assert isinstance(item, Control)
        assert [ready.keepalive for ready in wire.send(item)] == [keepalive]


def pair(first: int, port: str, request_id: str = "", last: str = "") -> list[Frame]:
    more = {"requestid": request_id} if request_id else {}
    ports = [port, last or port]
    return [
        stream(first + 2 * index, kind, False, port=ports[index], **more)
        for index, kind in enumerate(["error", "data"])
    ]


@pytest.mark.parametrize("request_id", ["0", ""])
@pytest.mark.parametrize("wire_for", [forward, tunnel])
def test_b36_connections_of_a_forward(wire_for: type[Wire], request_id: str) -> None:
    wire, client, socket = wire_for(), End(), Socket(client=True)
    frames = [*pair(1, "80", request_id), *pair(5, "5432", request_id and "1")]
    asked = client.data(*frames, Data(3, b"GET /"), Data(1, b"", True))
    stream_of = socket.message(asked, [9, 30]) if wire_for is tunnel else asked
    found = items(wire, [stream_of], CLIENT)
    lanes = [(message.lane.channel, message.lane.pair, message.lane.port) for message in messages(found, opens=True)]
    assert lanes == [("error", 1, 80), ("data", 1, 80), ("error", 2, 5432), ("data", 2, 5432)]
    assert [message.data for message in messages(found, opens=False) if message.data] == [b"GET /"]
    out = sent(wire, found, to_client=False)
    if wire_for is tunnel:
        out = b"".join(data for _, data in Socket(client=False).received(out) if isinstance(data, bytes))
    assert End().frames(out) == [*frames, Data(3, b"GET /"), Data(1, b"", True)]


def messages(found: Iterable[object], opens: bool) -> list[Message]:
    return [item for item in found if isinstance(item, Message) and item.opens is opens]


@pytest.mark.parametrize(
    ("frames", "violation"),
    [
        pytest.param(pair(1, "22", "0"), StreamNotAsked, id="port-not-asked-for"),
        pytest.param(pair(1, "0", "0"), StreamNotAsked, id="port-0"),
        pytest.param(pair(1, "+80", "0"), StreamNotAsked, id="port-with-a-sign"),
        pytest.param(pair(1, "65536", "0"), StreamNotAsked, id="port-too-large"),
        pytest.param(pair(1, "", "0"), StreamNotAsked, id="no-port"),
        pytest.param(pair(1, "80", "0", last="443"), StreamNotAsked, id="two-ports"),
        pytest.param([stream(1, "stdin", port="80")], StreamNotAsked, id="stdin"),
        pytest.param([stream(1, "data", port="80", requestid="0"), stream(3, "data", port="80", requestid="0")],
                     DuplicateStreamType, id="two-for-data"),
    ],
)  # fmt: skip
def test_b36_streams_that_may_not_be_opened(frames: list[Frame], violation: type[Violation]) -> None:
    with pytest.raises(violation):
        items(forward(ports=(80, 443)), [End().data(*frames)], CLIENT)


def test_b36_halves_of_connections_are_bounded() -> None:
    wire, client = forward(), End()
    for number in range(MAX_STREAMS):
        opening = stream(2 * number + 1, "data", port="80", requestid=str(number))
        relayed_at(wire, client.data(opening, RstStream(2 * number + 1, 5)), number)
    with pytest.raises(TooManyStreams):
        relayed_at(wire, client.data(stream(2 * MAX_STREAMS + 1, "data", port="80", requestid="x")), MAX_STREAMS)


def relayed_at(wire: Wire, data: bytes, now: float) -> None:
    sent(wire, items(wire, [data], CLIENT, now), to_client=False)


def test_the_tunnel_has_pings_and_closes_of_its_own() -> None:
    wire, socket = tunnel(), Socket(client=True)
    stream_of = bytes(socket.protocol.ping(b"x")) + bytes(socket.protocol.close(1000, ""))
    found = items(wire, [stream_of], CLIENT)
    assert [control.closes for control in controls(found)] == [False, True]
    assert [name for name, _ in Socket(client=False).received(sent(wire, found, to_client=False))] == ["PING", "CLOSE"]
    granted = items(tunnel(), [Socket(client=True).message(End().data(Ping(1)))], CLIENT)
    assert Socket(client=False).received(sent(tunnel(), granted, to_client=False)) == [("BINARY", End().data(Ping(1)))]


def test_why_a_tunnelled_forward_ends() -> None:
    wire, socket = tunnel(), Socket(client=True)
    relayed(wire, [socket.message(End().data(*pair(1, "80", "0")))], CLIENT)
    told_client = socket.received(b"".join(ready.data for ready in wire.farewell(b"{}", b"why")))
    said = b"".join(data for _, data in told_client if isinstance(data, bytes))
    assert End().frames(said) == [SynReply(1), SynReply(3), Data(1, b"why", True), GoAway(3, 0)]
    assert told_client[-1] == ("CLOSE", (CloseReason.NORMAL_CLOSURE, "chaperone ended this session"))


def test_window_updates_of_the_session_in_a_tunnel() -> None:
    wire, socket = tunnel(), Socket(client=True)
    found = items(wire, [socket.message(End().data(WindowUpdate(0, 7)))], CLIENT)
    (passed,) = Socket(client=False).received(sent(wire, found, to_client=False))
    assert passed == ("BINARY", End().data(WindowUpdate(0, 7)))


@given(st.binary(max_size=120), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, from_client: bool) -> None:
    for wire in (command(), forward()):
        try:
            relayed(wire, [data], from_client)
        except Violation:
            continue
