"""Port-forward by hand, in every protocol: only ports that were asked about are reached, whatever is opened within."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from addons.core.spdy import Data, FrameWriter, SynStream
from addons.core.spdy.streams import MAX_STREAMS
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.streaming_kubelet import StreamingKubelet
from tests.core.wires.ends import Socket
from tests.e2e.agent import eventually
from tests.e2e.bypasses.sessions import SPDY, Peer, Way, session
from tests.e2e.sessions import endings, web_server
from tests.support.kubernetes import Kubectl

PAIRS = Way(protocols=("v4.channel.k8s.io",), spelling="portforward")
TUNNEL = replace(PAIRS, protocols=("SPDY/3.1+portforward.k8s.io",))
SP = replace(PAIRS, headers=SPDY, method="POST", protocols=("portforward.k8s.io",))
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def pod(admin: Kubectl, kubelet: StreamingKubelet) -> str:
    """A pod of the test's own, by which its record is found."""
    return f"{admin.namespace}/{admin.run_pod(f'forwarded-{secrets.token_hex(3)}', nodeName=kubelet.node)}"


@pytest.fixture
def other() -> Iterator[socket.socket]:
    """Where nobody may get to: it listens, and says whether somebody came."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def nobody_came(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return True
    return False


def connection(writer: FrameWriter, number: int, port: int, data: bytes = GET) -> bytes:
    """What a client sends to reach a port over SPDY: the stream for errors, the one for data, and what it says."""
    opened = b""
    for stream, kind in ((number, "error"), (number + 2, "data")):
        headers = (("streamtype", kind), ("port", str(port)), ("requestid", str(number)))
        opened += writer.write(SynStream(stream, headers))
    return opened + writer.write(Data(number + 2, data))


def over_spdy(peer: Peer, port: int) -> bytes:
    return connection(peer.writer, 1, port)


def through_a_tunnel(peer: Peer, port: int) -> bytes:
    return peer.socket.message(connection(peer.writer, 1, port))


def on_the_first_channel(peer: Peer, port: int) -> bytes:
    return peer.socket.message(b"\x00" + GET)


Reach = Callable[[Peer, int], bytes]
WAYS: dict[str, tuple[Way, Reach]] = {
    "SPDY": (SP, over_spdy),
    "SPDY in WebSocket": (TUNNEL, through_a_tunnel),
    "pairs of channels": (PAIRS, on_the_first_channel),
}


def hears(peer: Peer, word: bytes) -> bool:
    """Whatever it is wrapped in."""
    heard = b""
    peer.connection.settimeout(5)
    while word not in heard and (data := peer.connection.recv(65536)):
        heard += data
    return word in heard


@pytest.mark.parametrize("name", WAYS)
def test_b36_a_port_that_was_asked_about_is_reached_and_on_record(
    name: str, lenient: GatewayEnv, token: str, pod: str
) -> None:
    way, reach = WAYS[name]
    with web_server("reached") as port, session(lenient, token, way, way.target(pod, ports=str(port))) as peer:
        peer.send(reach(peer, port))
        assert hears(peer, b"reached")
    (ended,) = eventually("the audit event", lambda: endings(lenient, pod.rpartition("/")[2], "portforward"))
    assert (ended["ports"], ended["connections"]) == (str(port), "1")


SMUGGLED: dict[str, tuple[Way, Callable[[Peer, int, int], bytes]]] = {
    "another port over SPDY": (SP, lambda peer, asked, port: over_spdy(peer, port)),
    "another port in a tunnel": (TUNNEL, lambda peer, asked, port: through_a_tunnel(peer, port)),
    "a second port of one connection": (
        SP,
        lambda peer, asked, port: (
            peer.writer.write(SynStream(1, (("streamtype", "error"), ("port", str(asked)), ("requestid", "0"))))
            + peer.writer.write(SynStream(3, (("streamtype", "data"), ("port", str(port)), ("requestid", "0"))))
            + peer.writer.write(Data(3, GET))
        ),
    ),
    "a port that is spelled otherwise": (
        SP,
        lambda peer, asked, port: peer.writer.write(
            SynStream(1, (("streamtype", "data"), ("port", f"+{port}"), ("requestid", "0")))
        ),
    ),
    "the channels of a second port": (PAIRS, lambda peer, asked, port: peer.socket.message(b"\x02" + GET)),
    "a port named on its channel": (
        PAIRS,
        lambda peer, asked, port: peer.socket.message(b"\x02" + struct.pack("<H", port)),
    ),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_b36_a_port_that_was_not_asked_about_is_not(
    name: str, lenient: GatewayEnv, token: str, pod: str, other: socket.socket
) -> None:
    way, smuggle = SMUGGLED[name]
    with web_server("asked") as asked, session(lenient, token, way, way.target(pod, ports=str(asked))) as peer:
        peer.send(smuggle(peer, asked, port_of(other)))
        peer.is_cut_off()
    assert nobody_came(other)
    (ended,) = eventually("the audit event", lambda: endings(lenient, pod.rpartition("/")[2], "portforward"))
    assert str(port_of(other)) not in ended.get("ports", "")


def test_b36_connections_without_end(lenient: GatewayEnv, token: str, pod: str, other: socket.socket) -> None:
    """Halves of connections are counted, whether the kubelet does or not."""
    opened = ({"streamtype": "data", "port": str(port_of(other)), "requestid": str(n)} for n in range(MAX_STREAMS + 1))
    with session(lenient, token, SP, SP.target(pod)) as peer:
        streams = (SynStream(2 * n + 1, tuple(headers.items())) for n, headers in enumerate(opened))
        peer.send(b"".join(map(peer.writer.write, streams)))
        peer.is_cut_off()


def test_a_client_of_this_test_is_read_by_a_library_of_its_own() -> None:
    """The message of a tunnel, by wsproto."""
    message = Socket(client=True).message(b"spdy")
    assert Socket(client=False).received(message) == [("BINARY", b"spdy")]
