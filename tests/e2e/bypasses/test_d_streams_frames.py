"""Frames that two readers could take for two things: delivered as they were recorded, or the session ends."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from addons.core.spdy import Data, FrameWriter, Ping, RstStream, Settings, SynStream
from scripts.devenv.gateway_env import GatewayEnv
from tests.core.wires.ends import Socket
from tests.e2e.agent import eventually
from tests.e2e.bypasses.sessions import SPDY, Way, session
from tests.e2e.records import gateway_events
from tests.e2e.sessions import recorded

WS = Way(protocols=("v4.channel.k8s.io",))
V5 = replace(WS, protocols=("v5.channel.k8s.io",))
SP = Way(headers=SPDY, method="POST", protocols=("v4.channel.k8s.io",))
ECHO = ["sh", "-c", 'read line; echo "heard $line"; sleep 5']
STDIN = 7
MASK = b"\x00\x00\x00\x00"


def frame(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, length: bytes = b"", mask: bool = True
) -> bytes:
    """A WebSocket frame, bit by bit; `length` stands for the two fields that say how long it is."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if not length:
        assert len(payload) < 126
        length = bytes([(0x80 if mask else 0) | len(payload)])
    return head + length + (MASK if mask else b"") + payload


Frames = Callable[[bytes], Sequence[bytes]]
DELIVERED: dict[str, Frames] = {
    "one message": lambda line: [frame(2, b"\0" + line)],
    "text": lambda line: [frame(1, b"\0" + line)],
    "a fragment each byte": lambda line: [
        b"".join(frame(0 if at else 2, (b"\0" + line)[at : at + 1], fin=at == len(line)) for at in range(len(line) + 1))
    ],
    "the channel alone, then the line": lambda line: [frame(2, b"\0", fin=False), frame(0, line)],
    "a ping within": lambda line: [frame(2, b"\0" + line[:2], fin=False) + frame(9, b"ping") + frame(0, line[2:])],
    "empty fragments": lambda line: [frame(2, b"", fin=False) + frame(0, b"", fin=False) + frame(0, b"\0" + line)],
    "empty messages before": lambda line: [frame(2, b"") * 3 + frame(2, b"\0") + frame(2, b"\0" + line)],
    "several in one write": lambda line: [b"".join(frame(2, b"\0" + line[at : at + 1]) for at in range(len(line)))],
    "cut at every byte": lambda line: [bytes([byte]) for byte in frame(2, b"\0" + line)],
    "a pong nobody asked for": lambda line: [frame(10, b"x") + frame(2, b"\0" + line)],
}


def typed_line(word: str) -> bytes:
    return f"{word}\n".encode()


@pytest.mark.parametrize("name", DELIVERED)
def test_b34_what_is_delivered_is_what_was_recorded(name: str, lenient: GatewayEnv, token: str, pod: str) -> None:
    word = secrets.token_hex(6)
    with session(lenient, token, WS, WS.target(pod, command=ECHO, stdin="true")) as peer:
        for piece in DELIVERED[name](typed_line(word)):
            peer.send(piece)
        assert f"heard {word}\n".encode() in peer.hears(f"heard {word}\n".encode())
    recording = recorded(lenient, f"heard {word}")
    assert "".join(text for _, code, text in recording[1:] if code == "i") == f"{word}\n"


CUT_OFF: dict[str, bytes] = {
    "not masked": frame(2, b"\0x\n", mask=False),
    "compressed": frame(2, b"\0x\n", rsv=4),
    "a reserved bit": frame(2, b"\0x\n", rsv=1),
    "an unknown opcode": frame(3, b"\0x\n"),
    "a control frame in fragments": frame(9, b"x", fin=False),
    "a message within another": frame(2, b"\0", fin=False) + frame(2, b"\0x\n"),
    "more of nothing": frame(0, b"\0x\n"),
    "channel 5": frame(2, b"\x05x\n"),
    "channel 128": frame(2, b"\x80x\n"),
    "output from the client": frame(2, b"\x01x\n"),
    "a status from the client": frame(2, b"\x03x\n"),
    "a close of version 5": frame(2, b"\xff\x00"),
    "2^63 bytes": frame(2, b"\0x\n", length=b"\xff" + struct.pack(">Q", 1 << 63)),
    "pings without end": frame(9, b"") * 3000,
}


def ended(gateway: GatewayEnv, word: str) -> bool:
    """True once the last audit event of the exec with this word in its command is written."""
    return any(
        event["stage"] == "ResponseComplete" and word in event["annotations"].get("chaperone.dev/argv", "")
        for event in gateway_events(gateway)
    )


@pytest.mark.parametrize("name", CUT_OFF)
def test_b34_what_cannot_be_read_one_way_ends_the_session(name: str, lenient: GatewayEnv, token: str, pod: str) -> None:
    word = secrets.token_hex(6)
    command = ["sh", "-c", f'read line; echo "{word} heard $line"; sleep 60']
    with session(lenient, token, WS, WS.target(pod, command=command, stdin="true")) as peer:
        peer.send(CUT_OFF[name])
        assert f"{word} heard x".encode() not in peer.is_cut_off()
    eventually("the end of the record", lambda: ended(lenient, word))


def test_b34_a_close_of_version_5_ends_one_channel(lenient: GatewayEnv, token: str, pod: str) -> None:
    word = secrets.token_hex(6)
    target = V5.target(pod, command=["sh", "-c", f"cat; echo over-{word}"], stdin="true")
    with session(lenient, token, V5, target) as peer:
        peer.send(frame(2, b"\0typed\n") + frame(2, b"\xff\x00"))
        assert b"typed\n" in peer.hears(f"over-{word}\n".encode())


Spdy = Callable[[FrameWriter, bytes], Sequence[bytes]]


def opened(writer: FrameWriter) -> bytes:
    return writer.write(SynStream(STDIN, (("streamtype", "stdin"),)))


SPDY_DELIVERED: dict[str, Spdy] = {
    "all in one write": lambda w, line: [opened(w) + w.write(Data(STDIN, line))],
    "cut at every byte": lambda w, line: [bytes([b]) for b in opened(w) + w.write(Data(STDIN, line))],
    "a frame each byte": lambda w, line: [opened(w), *(w.write(Data(STDIN, bytes([b]))) for b in line)],
    "pings and settings within": lambda w, line: [
        opened(w) + w.write(Ping(1)) + w.write(Settings(((0, 4, 100),))) + w.write(Data(STDIN, line))
    ],
}


@pytest.mark.parametrize("name", SPDY_DELIVERED)
def test_b33_what_is_delivered_is_what_was_recorded(name: str, lenient: GatewayEnv, token: str, pod: str) -> None:
    word = secrets.token_hex(6)
    with session(lenient, token, SP, SP.target(pod, command=ECHO, stdin="true")) as peer:
        for piece in SPDY_DELIVERED[name](peer.writer, typed_line(word)):
            peer.send(piece)
        assert f"heard {word}\n".encode() in peer.hears(f"heard {word}\n".encode())
    recording = recorded(lenient, f"heard {word}")
    assert "".join(text for _, code, text in recording[1:] if code == "i") == f"{word}\n"


SPDY_CUT_OFF: dict[str, Callable[[FrameWriter], bytes]] = {
    "a second standard output": lambda w: w.write(SynStream(STDIN, (("streamtype", "stdout"),))),
    "a stream nobody asked for": lambda w: w.write(SynStream(STDIN, (("streamtype", "resize"),))),
    "a stream of no type": lambda w: w.write(SynStream(STDIN, ())),
    "a stream id used again": lambda w: opened(w) + w.write(RstStream(STDIN, 5)) + opened(w),
    "data on an unknown stream": lambda w: w.write(Data(99, b"x\n")),
    "headers that do not decompress": lambda w: struct.pack(">IIIIBB", 0x80030001, 14, STDIN, 0, 0, 0) + b"\xff" * 4,
    "a control frame of 16 MB": lambda w: struct.pack(">II", 0x80030001, 0xFFFFFF) + b"\0" * 1000,
    "a pushed stream": lambda w: w.write(SynStream(8, (("streamtype", "stdin"),))),
    "pings without end": lambda w: b"".join(w.write(Ping(2 * number + 1)) for number in range(3000)),
    "settings without end": lambda w: w.write(Settings(((0, 4, 100),))) * 3000,
    "another version": lambda w: struct.pack(">II", 0x80020006, 4) + b"\0\0\0\1",
}


@pytest.mark.parametrize("name", SPDY_CUT_OFF)
def test_b33_what_cannot_be_read_one_way_ends_the_session(name: str, lenient: GatewayEnv, token: str, pod: str) -> None:
    word = secrets.token_hex(6)
    command = ["sh", "-c", f'read line; echo "{word} heard $line"; sleep 60']
    with session(lenient, token, SP, SP.target(pod, command=command, stdin="true")) as peer:
        peer.send(SPDY_CUT_OFF[name](peer.writer))
        assert f"{word} heard x".encode() not in peer.is_cut_off()
    eventually("the end of the record", lambda: ended(lenient, word))


def test_a_client_of_this_test_is_read_by_a_library_of_its_own() -> None:
    """The frames above, by wsproto: what is delivered is valid, so that only the gateway is under test."""
    read = Socket(client=False).received(b"".join(DELIVERED["a fragment each byte"](b"line\n")))
    assert read == [("BINARY", b"\0line\n")]
