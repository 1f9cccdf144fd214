"""The layer that speaks on upgraded connections: a real worker between a WebSocket client and a server of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.server
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons import upgrade_layer
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.wires import Item, Message
from addons.exchange import exchange_of
from addons.perimeter import Perimeter
from addons.refusal import settled
from addons.tls import Tls
from addons.upgrade_hooks import Passing
from addons.upgrades import Upgrades
from tests.core.wires.ends import Socket
from tests.support.proxy import HOST, everything, upstream, worker

KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
Behaviour = Callable[[socket.socket], None]


class Steps:
    """Stands in for every step before: a request is what `request` says. What `judge` does happens to each message."""

    def __init__(self, judge: Callable[[Message], Any], upgrade: str = "websocket") -> None:
        self.judge, self.upgrade = judge, upgrade
        self.ended: list[Refusal | None] = []

    def request(self, flow: HTTPFlow) -> None:
        if not settled(flow):
            exchange_of(flow).request = KubeRequest(
                method="GET", path="/exec", resource="pods", subresource="exec", upgrade=self.upgrade, stdout=True
            )

    def upgrade_message(self, passing: Passing) -> Any:
        return self.judge(passing.message)

    def upgrade_end(self, flow: HTTPFlow) -> None:
        self.ended.append(exchange_of(flow).ended)


@contextmanager
def session(folder: Path, behave: Behaviour, steps: Steps, *more: object) -> Iterator[socket.socket]:
    """A WebSocket through a worker whose server then does what `behave` does with its socket, to its end."""
    behaved = threading.Event()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        accept = base64.b64encode(hashlib.sha1((handler.headers["Sec-WebSocket-Key"] + KEY).encode()).digest())
        handler.send_response(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "Upgrade")
        handler.send_header("Sec-WebSocket-Accept", accept.decode())
        handler.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        handler.end_headers()
        try:
            behave(handler.connection)
        finally:
            behaved.set()
        handler.close_connection = True

    def stack(connections: Any, authority: Any, disconnect: Callable[[Client], None]) -> Sequence[object]:
        tls = Tls(connections, authority, time.time, False)
        return [Perimeter(connections, lambda: None, time.time, 1 << 20), tls, steps, *(more or (Upgrades(),))]

    with (
        upstream(folder, answer) as server,
        worker(folder, [server.connection()], stack) as gateway,
        gateway.tls() as client,
    ):
        client.sendall(
            f"GET /exec HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode()
        )
        yield client
    assert behaved.wait(5)


def head(client: socket.socket) -> bytes:
    """The answer's head, and nothing after it."""
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        received += client.recv(1)
    return received


def test_messages_pass_both_ways_and_the_end_is_told_once(tmp_path: Path) -> None:
    got: list[Any] = []

    def behave(connection: socket.socket) -> None:
        server = Socket(client=False)
        got.extend(server.received(connection.recv(100)))
        connection.sendall(server.message(b"\x01answer") + bytes(server.protocol.close(1000, "done")))
        got.append(connection.recv(100) != b"")

    steps, end = Steps(lambda _: None), Socket(client=True)
    with session(tmp_path, behave, steps) as client:
        assert b" 101 " in head(client)
        client.sendall(end.message(b"\x00typed"))
        received = end.received(everything(client))
    assert got == [("BINARY", b"\x00typed"), True]  # the close is answered
    assert received[0] == ("BINARY", b"\x01answer")
    assert received[1][0] == "CLOSE"
    assert steps.ended == [None]


def test_a_message_that_waits_does_not_hold_up_the_other_direction(tmp_path: Path) -> None:
    """A line that waits for a human: output goes on, and pings are answered."""
    release = threading.Event()

    async def wait(message: Message) -> None:
        if message.from_client:
            await asyncio.to_thread(release.wait)

    typed: list[Any] = []

    def behave(connection: socket.socket) -> None:
        server = Socket(client=False)
        connection.sendall(server.message(b"\x01meanwhile"))
        release.wait(10)
        typed.extend(server.received(connection.recv(100)))

    end = Socket(client=True)
    with session(tmp_path, behave, Steps(wait)) as client:
        head(client)
        client.sendall(end.message(b"\x00rm -rf /") + bytes(end.protocol.ping(b"alive?")))
        received: list[Any] = []
        while len(received) < 2:
            received += end.received(client.recv(1000))
        assert sorted(received) == [("BINARY", b"\x01meanwhile"), ("PONG", b"alive?")]
        assert typed == []
        release.set()
        everything(client)
    assert typed[0] == ("BINARY", b"\x00rm -rf /")


def test_a_refused_message_ends_the_session_and_says_why(tmp_path: Path) -> None:
    def judge(message: Message) -> None:
        if message.from_client:
            message.refusal = Refusal(code=403, rule="no-rm", why="rm is not for agents")

    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(connection.recv(100))

    steps, end = Steps(judge), Socket(client=True)
    with session(tmp_path, behave, steps) as client:
        head(client)
        client.sendall(end.message(b"\x00rm -rf /"))
        (_, status), (opcode, _) = end.received(everything(client))
    assert isinstance(status, bytes)
    assert status.startswith(b'\x03{"kind":"Status"')
    assert b"rm is not for agents" in status
    assert opcode == "CLOSE"
    assert seen == [b""]
    assert [ended.rule if ended else "" for ended in steps.ended] == ["no-rm"]


def test_what_breaks_the_protocol_ends_the_session_and_says_why(tmp_path: Path) -> None:
    steps, end = Steps(lambda _: None), Socket(client=True)
    with session(tmp_path, lambda connection: connection.recv(100), steps) as client:  # type: ignore[arg-type]
        head(client)
        client.sendall(end.message(b"\x01forged output"))
        received = end.received(everything(client))
    assert b"stdout data came from the client" in received[0][1]  # type: ignore[operator]
    assert [ended.rule if ended else "" for ended in steps.ended] == ["protocol-violation"]


@pytest.mark.parametrize("where", ["receive", "send"])
def test_a_fault_in_a_wire_lets_nothing_more_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """mitmproxy would go on behind an exception in a layer, with a hole in the stream."""

    def broken(*_: object) -> Iterator[Item]:
        raise ZeroDivisionError
        yield

    from addons.core.wires.websocket import ChannelWire

    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(connection.recv(100))
        seen.append(connection.recv(100))

    steps, end = Steps(lambda _: None), Socket(client=True)
    with session(tmp_path, behave, steps) as client:
        head(client)
        monkeypatch.setattr(ChannelWire, where, broken)
        client.sendall(end.message(b"\x00first"))
        client.sendall(end.message(b"\x00second"))
        assert everything(client, 5) == b""
    assert b"".join(seen) == b""
    assert steps.ended == [None]


def test_without_a_wire_nothing_passes(tmp_path: Path) -> None:
    """The step that finds wires is gone: mitmproxy alone would take this for a WebSocket."""
    seen: list[bytes] = []
    with session(
        tmp_path, lambda connection: seen.append(connection.recv(100)), Steps(lambda _: None), object()
    ) as client:
        head(client)
        client.sendall(Socket(client=True).message(b"\x00first"))
        assert everything(client, 5) == b""
    assert seen == [b""]


CHUNK = 32 * 1024


def flood(connection: socket.socket, sent: list[int], chunks: int) -> None:
    """Output as fast as it is taken."""
    server = Socket(client=False)
    for number in range(chunks):
        connection.sendall(server.message(b"\x01" + number.to_bytes(4, "big") * (CHUNK // 4)))
        sent.append(CHUNK)
    connection.sendall(bytes(server.protocol.close(1000, "")))


def test_b41_while_a_judge_is_slow_no_more_is_read(tmp_path: Path) -> None:
    """A disk that has to catch up: the server is made to wait, and nothing is lost."""
    release, chunks = threading.Event(), 1500
    sent: list[int] = []

    async def wait(_: Message) -> None:
        await asyncio.to_thread(release.wait)

    end = Socket(client=True)
    with session(tmp_path, lambda connection: flood(connection, sent, chunks), Steps(wait)) as client:
        head(client)
        before = -1
        while sum(sent) != before:
            before = sum(sent)
            time.sleep(0.5)
        release.set()
        received = [payload for name, payload in end.received(everything(client)) if name == "BINARY"]
    assert before < upgrade_layer.MAX_BACKLOG + 16 * 1024 * 1024  # the rest is in the kernel's buffers
    expected = b"".join(number.to_bytes(4, "big") * (CHUNK // 4) for number in range(chunks))
    assert b"".join(payload[1:] for payload in received if isinstance(payload, bytes)) == expected


def test_a_slow_client_makes_the_server_wait(tmp_path: Path) -> None:
    sent: list[int] = []
    end = Socket(client=True)
    with session(tmp_path, lambda connection: flood(connection, sent, 1500), Steps(lambda _: None)) as client:
        head(client)
        time.sleep(1)
        assert sum(sent) < 24 * 1024 * 1024
        digest = hashlib.sha256()
        for name, payload in end.received(everything(client)):
            if name == "BINARY" and isinstance(payload, bytes):
                digest.update(payload[1:])
    expected = hashlib.sha256(b"".join(number.to_bytes(4, "big") * (CHUNK // 4) for number in range(1500)))
    assert digest.hexdigest() == expected.hexdigest()


@pytest.mark.parametrize("pause", [0, 0.002])
def test_who_pings_while_it_is_slow_gets_everything(tmp_path: Path, pause: float) -> None:
    """The server, then the gateway, has closed when a ping comes: a reset in answer would take along what is unread."""
    sent: list[int] = []
    gone = threading.Event()

    def behave(connection: socket.socket) -> None:
        flood(connection, sent, 640)
        connection.close()
        gone.set()

    end, received = Socket(client=True), bytearray()
    with session(tmp_path, behave, Steps(lambda _: None)) as client:
        head(client)
        while not gone.wait(0.001):
            received += client.recv(65536)
        client.sendall(bytes(end.protocol.ping(b"alive?")))
        time.sleep(0.05)
        for count in itertools.count():
            if not (data := client.recv(65536)):
                break
            received += data
            time.sleep(pause)
            if count % 16 == 0:
                client.sendall(bytes(end.protocol.ping(b"alive?")))
    found = end.received(bytes(received))
    output = b"".join(payload[1:] for name, payload in found if name == "BINARY" and isinstance(payload, bytes))
    assert len(output) == 640 * CHUNK
    assert found[-1][0] == "CLOSE"


def test_pings_reach_a_server_that_has_nothing_to_say(tmp_path: Path) -> None:
    seen: list[Any] = []

    def behave(connection: socket.socket) -> None:
        server = Socket(client=False)
        seen.extend(server.received(connection.recv(100)))
        connection.sendall(bytes(server.protocol.ping(b"and you?")))
        seen.extend(server.received(connection.recv(100)))

    end = Socket(client=True)
    with session(tmp_path, behave, Steps(lambda _: None)) as client:
        head(client)
        client.sendall(bytes(end.protocol.ping(b"alive?")))
        received = end.received(everything(client))
    assert seen == [("PING", b"alive?"), ("PONG", b"and you?")]
    assert received[:2] == [("PONG", b"alive?"), ("PING", b"and you?")]


@pytest.mark.alone
def test_small_pieces_that_wait_are_judged_as_one(tmp_path: Path) -> None:
    release, judged = threading.Event(), []

    async def wait(message: Message) -> None:
        judged.append(message.data)
        await asyncio.to_thread(release.wait)

    typed: list[Any] = []

    def behave(connection: socket.socket) -> None:
        server, seen = Socket(client=False), 0
        while seen < 6 and (data := connection.recv(1000)):
            typed.extend(payload for _, payload in server.received(data))
            seen = len(b"".join(payload[1:] for payload in typed))

    end = Socket(client=True)
    with session(tmp_path, behave, Steps(wait)) as client:
        head(client)
        client.sendall(end.message(b"\x00l"))
        deadline = time.monotonic() + 10
        while not judged and time.monotonic() < deadline:
            time.sleep(0.01)
        for key in b"s -l\n":
            client.sendall(end.message(bytes([0, key])))
        time.sleep(0.2)
        release.set()
        everything(client)
    assert judged == [b"l", b"s -l\n"]
    assert typed == [b"\x00" + judged[0], b"\x00" + judged[1]]


@pytest.mark.alone
@pytest.mark.parametrize("last", [b"", b'\x03{"status":"Success"}'])
def test_a_server_that_goes_without_a_word_takes_its_client_along(tmp_path: Path, last: bytes) -> None:
    """Who has not said how the command ended may not have sent all of its output: that is not to look like success."""

    def behave(connection: socket.socket) -> None:
        server = Socket(client=False)
        connection.sendall(server.message(b"\x01x") + (server.message(last) if last else b""))

    steps, end = Steps(lambda _: None), Socket(client=True)
    with session(tmp_path, behave, steps) as client:
        head(client)
        began = time.monotonic()
        output, (_, status), *rest = end.received(everything(client))
        assert time.monotonic() - began < 5
    assert output == ("BINARY", b"\x01x")
    assert isinstance(status, bytes)
    if last:
        assert (status, rest, steps.ended) == (last, [], [None])
    else:
        assert json.loads(status[1:])["details"]["causes"][0]["reason"] == "cut-off"
        assert [opcode for opcode, _ in rest] == ["CLOSE"]
        assert steps.ended == [upgrade_layer.CUT_OFF]


@pytest.mark.parametrize("pings", [False, True])
def test_b42_a_client_that_goes_at_once_has_typed_what_it_typed(tmp_path: Path, pings: bool) -> None:
    typed: list[Any] = []

    def behave(connection: socket.socket) -> None:
        server = Socket(client=False)
        while data := connection.recv(1000):
            typed.extend(server.received(data))

    async def slow(_: Message) -> None:
        await asyncio.sleep(0.2)

    steps = Steps(slow)
    with session(tmp_path, behave, steps) as client:
        head(client)
        end = Socket(client=True)
        client.sendall(end.message(b"\x00rm -rf /\n") + (bytes(end.protocol.ping(b"alive?")) if pings else b""))
        client.close()
        for _ in range(100):
            if steps.ended:
                break
            time.sleep(0.05)
    assert steps.ended == [None]
    whole: list[Any] = [("BINARY", b"\x00rm -rf /\n"), *([("PING", b"alive?")] if pings else [])]
    assert typed in ([], whole[:1], whole)
