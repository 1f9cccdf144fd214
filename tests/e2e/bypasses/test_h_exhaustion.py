"""Section H, exhaustion: floods over HTTP/2, watches by the hundred and output without end leave room for others."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from scripts.devenv.bench_machine import forget_peak, usage
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import eventually
from tests.e2e.bypasses.sessions import SPDY, Way, session
from tests.e2e.gateways import Gateways
from tests.e2e.raw import ask, request, tunnel
from tests.e2e.raw_http2 import PREFACE, get
from tests.e2e.records import Event, gateway_events
from tests.e2e.wiretap import Wiretap

PATH = "/api/v1/namespaces/default/configmaps"
FRAMES = 20_000
RESETS = 500
WATCHES = 150
BIG = 300_000_000
ROOM_MEGABYTES = 60
"""What a gateway may grow by meanwhile; a flood, or what a command prints, is larger."""
SECONDS = 10
WS = Way(protocols=("v4.channel.k8s.io",))
SP = Way(headers=SPDY, method="POST", protocols=("v4.channel.k8s.io",))


@pytest.fixture(scope="module")
def http2(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """A gateway that offers HTTP/2."""
    return gateways.start("flooded-http2", wire.upstream, {"http2": True})


@contextmanager
def growing_little(gateway: GatewayEnv) -> Iterator[None]:
    """Fails if the gateway needed much more memory meanwhile than before."""
    forget_peak(gateway.child.pid)
    before = usage(gateway.child.pid)
    yield
    after = usage(gateway.child.pid)
    assert before is not None
    assert after is not None
    assert after.peak_mb - before.peak_mb < ROOM_MEGABYTES


@pytest.fixture(scope="module")
def bystander(mint: Callable[..., str]) -> str:
    """The token of somebody else, whose requests are counted apart."""
    return mint("bystander", groups=["agents"])


def serves(gateway: GatewayEnv, token: str) -> bool:
    """Whether a request is answered soon."""
    began = time.monotonic()
    return ask(gateway, request(gateway, PATH, token=token)).status == 200 and time.monotonic() - began < SECONDS


def flagged(frame: Frame, *flags: str) -> bytes:
    for flag in flags:
        frame.flags.add(flag)
    return bytes(frame.serialize())


def rapid_resets(gateway: GatewayEnv, token: str) -> Iterator[bytes]:
    """CVE-2023-44487: each stream is a request that is taken back at once."""
    encoder = hpack.Encoder()
    fields = get(gateway, PATH, token=token)
    for number in range(1, 2 * RESETS, 2):
        yield flagged(HeadersFrame(number, encoder.encode(fields)), "END_HEADERS", "END_STREAM")
        yield RstStreamFrame(number, error_code=8).serialize()


def continuations(gateway: GatewayEnv, token: str) -> Iterator[bytes]:
    """CVE-2024-27316 and its kin: a head that does not end."""
    yield HeadersFrame(1, hpack.Encoder().encode(get(gateway, PATH, token=token))).serialize()
    for _ in range(FRAMES):
        yield ContinuationFrame(1, b"\x00\x01a\x01b" * 1000).serialize()


FLOODS = {
    "pings": lambda gateway, token: (PingFrame(0, b"12345678").serialize() for _ in range(FRAMES)),
    "settings": lambda gateway, token: (SettingsFrame(0).serialize() for _ in range(FRAMES)),
    "priorities": lambda gateway, token: (
        PriorityFrame(2 * number + 1, depends_on=0, stream_weight=1).serialize() for number in range(FRAMES)
    ),
    "rapid resets": rapid_resets,
    "continuations": continuations,
}


@pytest.mark.parametrize("name", FLOODS)
def test_b82_a_flood_over_http2_leaves_room_for_others(
    name: str, http2: GatewayEnv, token: str, bystander: str
) -> None:
    """By somebody who reads no answer: nothing is kept for them without bound."""
    assert serves(http2, bystander)
    with growing_little(http2), tunnel(http2, protocols=["h2"]) as flooding:
        flooding.settimeout(1)
        flooding.sendall(PREFACE + SettingsFrame(0).serialize())
        with suppress(OSError):  # ended, or not read any more
            for piece in chunks(FLOODS[name](http2, token)):
                flooding.sendall(piece)
        assert serves(http2, bystander)
    assert serves(http2, bystander)


def test_b82_what_is_taken_back_at_once_is_not_sent_and_on_record(
    http2: GatewayEnv, mint: Callable[..., str], wire: Wiretap
) -> None:
    """By somebody who is counted alone."""
    token, mark = mint("resetting", groups=["agents"]), wire.mark()
    with tunnel(http2, protocols=["h2"]) as resetting:
        resetting.sendall(PREFACE + SettingsFrame(0).serialize() + b"".join(rapid_resets(http2, token)))
        events = eventually("all of them on record", lambda: events_of(http2, "resetting", RESETS), SECONDS)
    assert {event["stage"] for event in events} == {"ResponseComplete"}
    assert {event["responseStatus"]["message"] for event in events} == {"stream reset by client (CANCEL)"}
    assert PATH.encode() not in wire.since(mark)


def events_of(gateway: GatewayEnv, user: str, count: int) -> list[Event]:
    """What is on record of somebody, once it is so much."""
    found = [event for event in gateway_events(gateway) if event["user"]["username"].endswith(f"#{user}")]
    return found if len(found) >= count else []


def chunks(frames: Iterator[bytes], size: int = 64 * 1024) -> Iterator[bytes]:
    """Many frames in one write."""
    waiting = b""
    for frame in frames:
        waiting += frame
        if len(waiting) >= size:
            yield waiting
            waiting = b""
    yield waiting


def test_b82_watches_by_the_hundred(lenient: GatewayEnv, token: str, bystander: str) -> None:
    """Each costs little, others are served, and all of them end with whoever opened them."""
    watch = request(lenient, f"{PATH}?watch=true", "Connection: keep-alive", token=token)
    with growing_little(lenient), ExitStack() as opened:
        for _ in range(WATCHES):
            connection = opened.enter_context(tunnel(lenient))
            connection.sendall(watch)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert serves(lenient, bystander)
    assert serves(lenient, bystander)


@pytest.mark.parametrize("way", [WS, SP], ids=["websocket", "spdy"])
def test_b41_much_output_passes_with_little_memory(way: Way, lenient: GatewayEnv, token: str, pod: str) -> None:
    word = secrets.token_hex(6)
    script = f"yes 'a line that is no secret' | head -c {BIG}; echo {word}"
    with growing_little(lenient), session(lenient, token, way, way.target(pod, command=["sh", "-c", script])) as peer:
        last, count = b"", 0
        peer.connection.settimeout(SECONDS)
        while word.encode() not in last and (data := peer.connection.recv(1 << 20)):
            last, count = last[-100:] + data, count + len(data)
    assert count >= BIG


@pytest.mark.parametrize("way", [WS, SP], ids=["websocket", "spdy"])
def test_b41_what_a_client_does_not_read_is_not_kept(
    way: Way, lenient: GatewayEnv, token: str, bystander: str, pod: str
) -> None:
    """The command waits, as it does for a terminal that is stopped."""
    target = way.target(pod, command=["sh", "-c", "yes 'a line that is no secret'"])
    with growing_little(lenient), session(lenient, token, way, target) as peer:
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        time.sleep(4)
        assert serves(lenient, bystander)
