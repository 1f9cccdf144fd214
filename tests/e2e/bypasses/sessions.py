"""Sessions opened with raw bytes: every way to ask for one, and frames that no client library would send."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from addons.core.spdy import Data, FrameReader, FrameWriter, SynStream
from scripts.devenv.gateway_env import GatewayEnv
from tests.core.wires.ends import Socket
from tests.e2e.raw import Answer, request, tunnel

WEBSOCKET = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
SPDY = ("Upgrade: SPDY/3.1",)
SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a session is asked for: the bytes of the head, but for target and token."""

    method: str = "GET"
    headers: tuple[str, ...] = WEBSOCKET
    connection: str = "Connection: Upgrade"
    protocols: tuple[str, ...] = ()
    spelling: str = "exec"

    def target(self, pod: str, **options: str | list[str]) -> str:
        """The exec of a pod, `NS/NAME`, in this spelling."""
        namespace, _, name = pod.partition("/")
        query = urlencode({"stdout": "true", "stderr": "true", **options}, doseq=True)
        return f"/api/v1/namespaces/{namespace}/pods/{name}/{self.spelling}?{query}"

    def bytes(self, gateway: GatewayEnv, token: str, target: str) -> bytes:
        """The request."""
        name = "X-Stream-Protocol-Version" if self.spdy else "Sec-WebSocket-Protocol"
        offered = [f"{name}: {protocol}" for protocol in self.protocols]
        lines = [self.connection, *self.headers, *offered] if self.connection else [*self.headers, *offered]
        return request(gateway, target, *lines, token=token, method=self.method)

    @property
    def spdy(self) -> bool:
        """Whether it asks for SPDY."""
        return self.headers == SPDY


class Peer:
    """The client's end of an open session."""

    def __init__(self, connection: socket.socket, way: Way, answer: Answer) -> None:
        self.connection, self.way, self.answer = connection, way, answer
        self._base64 = "base64" in "".join(way.protocols)
        self.socket = Socket(client=True)
        self.writer, self._reader = FrameWriter(), FrameReader()
        self.out, self.ended = b"", False
        if way.spdy and way.spelling != "portforward":
            for number, kind in ((1, "error"), (3, "stdout"), (5, "stderr")):
                self.send(self.writer.write(SynStream(number, (("streamtype", kind),))))

    def send(self, data: bytes) -> None:
        """These bytes, as they are."""
        self.connection.sendall(data)

    def types(self, data: bytes) -> bytes:
        """The bytes of a WebSocket message to standard input."""
        if self._base64:
            return self.socket.message("0" + base64.b64encode(data).decode())
        return self.socket.message(b"\x00" + data)

    def hears(self, word: bytes, seconds: float = SECONDS) -> bytes:
        """All output until it holds this word; fails if that does not come."""
        self.connection.settimeout(seconds)
        while word not in self.out:
            assert not self.ended, self.out
            self._read()
        return self.out

    def is_cut_off(self, seconds: float = SECONDS) -> bytes:
        """What came until the gateway ended the connection; fails if it does not."""
        self.connection.settimeout(seconds)
        while not self.ended:
            self._read()
        return self.out

    def _read(self) -> None:
        try:
            data = self.connection.recv(65536)
        except (ConnectionError, OSError) as error:
            assert not isinstance(error, TimeoutError), self.out
            data = b""
        self.ended = not data
        if self.way.spdy:
            frames = self._reader.feed(data)
            self.out += b"".join(frame.data for frame in frames if isinstance(frame, Data))
        elif data:
            for _, payload in self.socket.received(data):
                self.out += self._payload(payload)

    def _payload(self, payload: object) -> bytes:
        if isinstance(payload, str):
            return base64.b64decode(payload[1:])
        return payload[1:] if isinstance(payload, bytes) else b""


@contextmanager
def session(gateway: GatewayEnv, token: str, way: Way, target: str) -> Iterator[Peer]:
    """A session; fails unless the answer is 101."""
    with tunnel(gateway) as tls:
        tls.sendall(way.bytes(gateway, token, target))
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := tls.recv(1)):
            head += byte
        answer = Answer(head)
        assert answer.status == 101, head + tls.recv(65536)
        yield Peer(tls, way, answer)
