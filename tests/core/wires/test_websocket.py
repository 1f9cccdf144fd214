"""Sessions on WebSockets with channels, in every sub-protocol and any fragmentation (B-30, B-34, B-36)."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason

from addons.core.channels import Channel, MalformedMessage
from addons.core.kube_request import KubeRequest
from addons.core.violation import Flood, Violation
from addons.core.wires import Lane, Message, Ready, Wire, wire_of
from addons.core.wires.budget import CAPACITY
from addons.core.wires.websocket import MalformedWebSocket
from tests.core.wires.ends import CLIENT, SERVER, Socket, controls, cuts, items, pieces, relayed, sent, told

BINARY = ["", "channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]
BASE64 = ["base64.channel.k8s.io", "v4.base64.channel.k8s.io"]
FROM_CLIENT = [Channel.STDIN, Channel.RESIZE]
FROM_SERVER = [Channel.STDOUT, Channel.STDERR, Channel.ERROR]
NUMBER = {Channel.STDIN: 0, Channel.STDOUT: 1, Channel.STDERR: 2, Channel.ERROR: 3, Channel.RESIZE: 4}


def request(subresource: str = "exec", upgrade: str = "websocket", **fields: object) -> KubeRequest:
    return KubeRequest(method="GET", path="/", resource="pods", subresource=subresource, upgrade=upgrade, **fields)  # type: ignore[arg-type]


def exec_wire(protocol: str = "v5.channel.k8s.io") -> Wire:
    return wire_of(request(), {"upgrade": "websocket", "sec-websocket-protocol": protocol})


def message(protocol: str, channel: Channel, data: bytes) -> bytes | str:
    number = NUMBER[channel]
    return f"{number}{base64.b64encode(data).decode()}" if protocol in BASE64 else bytes([number]) + data


@given(st.data())
def test_any_fragmentation_and_split_gives_the_same_messages(data: st.DataObject) -> None:
    protocol, from_client = data.draw(st.sampled_from(BINARY + BASE64)), data.draw(st.booleans())
    channels = st.sampled_from(FROM_CLIENT if from_client else FROM_SERVER)
    wanted = data.draw(st.lists(st.tuples(channels, st.binary(min_size=1, max_size=60)), min_size=1, max_size=5))
    end, stream = Socket(client=from_client), b""
    for channel, content in wanted:
        stream += end.message(message(protocol, channel, content), data.draw(st.lists(st.integers(0, 80), max_size=3)))
        stream += bytes(end.protocol.ping(b"between")) if data.draw(st.booleans()) else b""
    found = items(exec_wire(protocol), pieces(stream, data.draw(cuts())), from_client)
    whole: list[tuple[Lane, bool, bytes, bool, bool]] = []
    for channel, content in wanted:
        if whole and whole[-1][0].channel is channel:
            content = whole.pop()[2] + content
        whole.append((Lane(channel), from_client, content, False, False))
    assert told(found) == whole


@pytest.mark.parametrize("protocol", BINARY + BASE64)
@pytest.mark.parametrize("channel", FROM_CLIENT + FROM_SERVER)
def test_what_goes_on_is_whole_messages(protocol: str, channel: Channel) -> None:
    """However it was fragmented: Go's servers take each fragment for a message, channel number and all."""
    from_client = channel in FROM_CLIENT
    stream = Socket(client=from_client).message(message(protocol, channel, b"ls -l\n"), [1, 6])
    out = relayed(exec_wire(protocol), [stream], from_client)
    assert Socket(client=not from_client).received(out) == [
        ("TEXT" if protocol in BASE64 else "BINARY", message(protocol, channel, part))
        for part in ([b"ls ", b"-l\n"] if protocol in BASE64 else [b"ls -l", b"\n"])
    ]


def test_clients_may_send_binary_channels_as_text() -> None:
    """The Python client does."""
    (found,) = told(items(exec_wire(), [Socket(client=True).message("\x00é")], CLIENT))
    assert found[:3] == (Lane(Channel.STDIN), CLIENT, "é".encode())


def test_an_empty_message_is_nothing_and_one_without_data_is_passed_on() -> None:
    """Servers tell of a connection that is there by a message without data."""
    end, wire = Socket(client=False), exec_wire()
    found = items(wire, [end.message(b"") + end.message(b"\x01") + end.message(b"\x02", [1])], SERVER)
    assert [(item.lane.channel, item.size) for item in found if isinstance(item, Message)] == [
        (Channel.STDOUT, 0),
        (Channel.STDERR, 0),
    ]
    assert Socket(client=True).received(sent(wire, found, to_client=True)) == [("BINARY", b"\x01"), ("BINARY", b"\x02")]


def test_what_was_masked_away_is_not_sent() -> None:
    wire = exec_wire()
    (found,) = items(wire, [Socket(client=False).message(b"\x01secret")], SERVER)
    assert isinstance(found, Message)
    found.data = b""
    assert sent(wire, [found], to_client=True) == b""


def test_the_end_of_stdin() -> None:
    wire, end = exec_wire(), Socket(client=True)
    found = items(wire, [end.message(b"\xff\x00", [1])], CLIENT)
    assert told(found) == [(Lane(Channel.STDIN), CLIENT, b"", False, True)]
    assert Socket(client=False).received(sent(wire, found, to_client=False)) == [("BINARY", b"\xff\x00")]


def test_a_ping_is_answered_and_passed_on() -> None:
    """A session that waits for a human must not look dead to either end."""
    wire, end = exec_wire(), Socket(client=True)
    found = items(wire, [bytes(end.protocol.ping(b"hi")) + bytes(end.protocol.pong(b"yo"))], CLIENT)
    assert end.received(sent(wire, found, to_client=True)) == [("PONG", b"hi")]
    assert Socket(client=False).received(sent(wire, found, to_client=False)) == [("PING", b"hi")]
    assert all(ready.keepalive for item in found for ready in ([item] if isinstance(item, Ready) else wire.send(item)))


def test_a_close_keeps_its_turn_and_ends_the_session() -> None:
    wire, end = exec_wire(), Socket(client=False)
    found = items(
        wire, [end.message(b"\x01bye") + bytes(end.protocol.close(CloseReason.NORMAL_CLOSURE, "done"))], SERVER
    )
    assert [control.closes for control in controls(found)] == [True]
    assert items(wire, [end.message(b"\x01more")], SERVER) == []
    assert Socket(client=True).received(sent(wire, found, to_client=True)) == [
        ("BINARY", b"\x01bye"),
        ("CLOSE", (CloseReason.NORMAL_CLOSURE, "done")),
    ]


def test_a_flood_of_pings() -> None:
    wire, end = exec_wire(), Socket(client=True)
    ping = bytes(end.protocol.ping(b""))
    assert len(items(wire, [ping * CAPACITY], CLIENT)) == 2 * CAPACITY
    assert len(items(wire, [ping * 100], CLIENT, now=2)) == 200
    with pytest.raises(Flood):
        items(wire, [ping * CAPACITY], CLIENT, now=2)


def frame(first: int, length: bytes, payload: bytes = b"", masked: bool = True) -> bytes:
    head = bytes([first, length[0] | (0x80 if masked else 0)]) + length[1:]
    return head + (b"\0\0\0\0" if masked else b"") + payload


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(0x82, b"\x02", b"\x00x", masked=False), id="not-masked"),
        pytest.param(frame(0xC2, b"\x02", b"\x00x"), id="compressed"),
        pytest.param(frame(0xA2, b"\x02", b"\x00x"), id="reserved-bit"),
        pytest.param(frame(0x83, b"\x02", b"\x00x"), id="reserved-opcode"),
        pytest.param(frame(0x80, b"\x02", b"\x00x"), id="continuation-of-nothing"),
        pytest.param(frame(0x02, b"\x01", b"\x00") + frame(0x82, b"\x02", b"\x00x"), id="message-within-a-message"),
        pytest.param(frame(0x09, b"\x00"), id="fragmented-ping"),
        pytest.param(frame(0x89, b"\x7e\x00\x7e"), id="long-ping"),
        pytest.param(frame(0x82, b"\x7f" + struct.pack(">Q", 1 << 63)), id="2^63-bytes"),
        pytest.param(frame(0x82, b"\x7e\x00\x01", b"\x00"), id="length-longer-than-needed"),
        pytest.param(frame(0x88, b"\x01", b"\x03"), id="close-with-half-a-code"),
        pytest.param(frame(0x81, b"\x02", b"\x00\xff"), id="text-that-is-none"),
    ],
)
def test_b34_what_is_no_websocket(data: bytes) -> None:
    with pytest.raises(MalformedWebSocket):
        items(exec_wire(), [data], CLIENT)


def test_b34_a_servers_frames_are_never_masked() -> None:
    with pytest.raises(MalformedWebSocket):
        items(exec_wire(), [frame(0x82, b"\x02", b"\x01x")], SERVER)


@pytest.mark.parametrize(
    ("protocol", "content", "from_client"),
    [
        ("v5.channel.k8s.io", b"\xff", CLIENT),
        ("v5.channel.k8s.io", b"\xff\x00\x01", CLIENT),
        ("v5.channel.k8s.io", b"\xff\x09", CLIENT),
        ("v4.channel.k8s.io", b"\xff\x00", CLIENT),
        ("v5.channel.k8s.io", b"\x05x", CLIENT),
        ("v5.channel.k8s.io", b"\x01x", CLIENT),
        ("v5.channel.k8s.io", b"\x03x", CLIENT),
        ("v5.channel.k8s.io", b"\x00x", SERVER),
        ("base64.channel.k8s.io", "0*", CLIENT),
        ("base64.channel.k8s.io", "0YQ=", CLIENT),
        ("base64.channel.k8s.io", "0YQ==YQ==", CLIENT),
        ("base64.channel.k8s.io", "\x00YQ==", CLIENT),
        ("base64.channel.k8s.io", "9YQ==", CLIENT),
    ],
)
@pytest.mark.parametrize("fragments", [[], [1], [2], [4, 5]])
def test_b34_messages_of_no_channel(
    protocol: str, content: bytes | str, from_client: bool, fragments: list[int]
) -> None:
    with pytest.raises(MalformedMessage):
        items(exec_wire(protocol), [Socket(client=from_client).message(content, fragments)], from_client)


@given(st.sampled_from(BINARY + BASE64), st.binary(max_size=80), st.booleans())
def test_any_bytes_are_read_or_refused(protocol: str, data: bytes, from_client: bool) -> None:
    wire = exec_wire(protocol)
    try:
        sent(wire, items(wire, [data], from_client), to_client=not from_client)
    except Violation:
        return


@pytest.mark.parametrize("protocol", BINARY + BASE64)
def test_a_client_is_told_why_its_session_ends(protocol: str) -> None:
    wire = exec_wire(protocol)
    text = b"".join(ready.data for ready in wire.farewell(b'{"status":"Failure"}', b"why"))
    (_, content), (opcode, close) = Socket(client=True).received(text)
    said = base64.b64decode(content[1:]) if isinstance(content, str) else content[1:]  # type: ignore[index]
    assert wire.json_status == protocol.startswith("v")
    assert said == (b'{"status":"Failure"}' if wire.json_status else b"why")
    assert (opcode, close) == ("CLOSE", (CloseReason.NORMAL_CLOSURE, "chaperone ended this session"))


@pytest.mark.parametrize(
    ("protocol", "channel", "data", "owes"),
    [
        ("v5.channel.k8s.io", Channel.STDOUT, b"all of it?", True),
        ("v5.channel.k8s.io", Channel.ERROR, b"", True),
        ("v5.channel.k8s.io", Channel.ERROR, b'{"status":"Success"}', False),
        ("v4.base64.channel.k8s.io", Channel.STDOUT, b"all of it?", True),
        ("v4.base64.channel.k8s.io", Channel.ERROR, b'{"status":"Success"}', False),
        ("channel.k8s.io", Channel.STDOUT, b"old ones say nothing of success", False),
    ],
)
def test_how_a_command_ended_has_to_be_said(protocol: str, channel: Channel, data: bytes, owes: bool) -> None:
    wire = exec_wire(protocol)
    items(wire, [Socket(client=False).message(message(protocol, channel, data))], SERVER)
    assert wire.owes_status is owes


def forward(protocol: str = "v4.channel.k8s.io", ports: tuple[int, ...] = (80, 0x1234)) -> Wire:
    headers = {"upgrade": "websocket", "sec-websocket-protocol": protocol}
    return wire_of(request("portforward", ports=ports), headers)


@pytest.mark.parametrize("protocol", ["", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
def test_b36_pairs_of_channels(protocol: str) -> None:
    def framed(number: int, data: bytes) -> bytes | str:
        encoded = f"{number}{base64.b64encode(data).decode()}"
        return encoded if protocol.endswith("base64.channel.k8s.io") else bytes([number]) + data

    wire, server = forward(protocol), Socket(client=False)
    stream = (
        server.message(framed(0, b"\x50\x00"))
        + server.message(framed(2, b"\x34"))
        + server.message(framed(2, b"\x12ok"))
    )
    assert told(items(wire, [stream], SERVER)) == [
        (Lane(Channel.DATA, 1, 80), SERVER, b"\x50\x00", False, False),
        (Lane(Channel.DATA, 2, 0x1234), SERVER, b"\x34\x12ok", False, False),
    ]
    found = items(wire, [Socket(client=True).message(framed(2, b"GET /"))], CLIENT)
    assert told(found) == [(Lane(Channel.DATA, 2, 0x1234), CLIENT, b"GET /", False, False)]


def test_b36_a_channel_of_another_port_than_was_asked_for() -> None:
    with pytest.raises(MalformedMessage, match="asked for port 80"):
        items(forward(), [Socket(client=False).message(b"\x00\x16\x00")], SERVER)


def test_b36_error_channels_are_the_servers() -> None:
    with pytest.raises(MalformedMessage):
        items(forward(), [Socket(client=True).message(b"\x01x")], CLIENT)


def test_why_a_forward_ends_is_told_where_the_client_listens() -> None:
    wire = forward()
    items(wire, [Socket(client=False).message(b"\x01\x50\x00")], SERVER)
    told_client = Socket(client=True).received(b"".join(ready.data for ready in wire.farewell(b"{}", b"why")))
    assert told_client[0][1] == b"\x01{}"
    assert len(told_client) == 2


def plain() -> Wire:
    return wire_of(request("proxy"), {"upgrade": "WebSocket"})


@given(st.lists(st.one_of(st.binary(max_size=30), st.text(max_size=20)), max_size=4), cuts(), st.booleans())
def test_a_proxied_websocket_keeps_its_messages(contents: list[bytes | str], cut: list[int], from_client: bool) -> None:
    end = Socket(client=from_client)
    stream = b"".join(end.message(content, [3, 7]) for content in contents)
    out = relayed(plain(), pieces(stream, cut), from_client)
    assert [payload for _, payload in Socket(client=not from_client).received(out)] == contents


def test_a_proxied_websocket_in_which_something_was_masked() -> None:
    wire = plain()
    found = items(wire, [Socket(client=False).message("secret text", [6])], SERVER)
    for item in found:
        assert isinstance(item, Message)
        item.data = b"" if item.data == b"secret" else item.data
    assert Socket(client=True).received(sent(wire, found, to_client=True)) == [("TEXT", " text")]
    assert Socket(client=True).received(sent(wire, list(wire.farewell(b"", b"why")), True)) == [
        ("CLOSE", (CloseReason.POLICY_VIOLATION, "why"))
    ]
    close = items(wire, [bytes(Socket(client=True).protocol.close(1000, ""))], CLIENT)
    assert Socket(client=False).received(sent(wire, close, to_client=False)) == [
        ("CLOSE", (CloseReason.NORMAL_CLOSURE, ""))
    ]
