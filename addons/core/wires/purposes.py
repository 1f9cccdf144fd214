"""What the streams of a SPDY session may be opened for."""

from __future__ import annotations

import re
from collections.abc import Collection

from addons.core.channels import Channel
from addons.core.kube_request import KubeRequest
from addons.core.spdy import SynStream
from addons.core.spdy.streams import MAX_STREAMS, TooManyStreams
from addons.core.violation import Violation
from addons.core.wires.message import Lane

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PAIRED = {"data": Channel.DATA, "error": Channel.ERROR}


class DuplicateStreamType(Violation):
    """A second stream of a type of which there is one: which of them the reader takes cannot be known."""


class StreamNotAsked(Violation):
    """A stream of a type, or to a port, that the request did not ask for, and so nobody decided on."""


class RemoteCommand:
    """exec and attach: one stream for each channel that the request asked for, and one for errors."""

    def __init__(self, request: KubeRequest) -> None:
        wanted = {
            Channel.STDIN: request.stdin,
            Channel.STDOUT: request.stdout,
            Channel.STDERR: request.stderr,
            Channel.RESIZE: request.tty,
            Channel.ERROR: True,
        }
        self._asked = {channel.value: Lane(channel) for channel, asked in wanted.items() if asked}
        self._opened: set[str] = set()

    def lane(self, frame: SynStream) -> Lane:
        """The lane of a new stream. Raises Violation."""
        kind = dict(frame.headers).get("streamtype", "")
        if kind not in self._asked:
            raise StreamNotAsked(f"a stream of type {kind[:20]!r}, which the request did not ask for")
        if kind in self._opened:
            raise DuplicateStreamType(f"a second stream of type {kind}")
        self._opened.add(kind)
        return self._asked[kind]


class Forwarding:
    """port-forward: for each connection a stream for data and one for errors, joined by a request id."""

    def __init__(self, ports: Collection[int]) -> None:
        self._ports = frozenset(ports)
        self._halves: dict[str, tuple[int, int, Channel]] = {}
        self._pairs = 0

    def lane(self, frame: SynStream) -> Lane:
        """The lane of a new stream. Raises Violation."""
        headers = dict(frame.headers)
        channel, port = _PAIRED.get(headers.get("streamtype", "")), headers.get("port", "")
        if channel is None:
            raise StreamNotAsked("a stream that is neither for data nor for errors")
        if not _PORT.fullmatch(port) or int(port) > 0xFFFF:
            raise StreamNotAsked(f"a stream to port {port[:20]!r}, which is none")
        if self._ports and int(port) not in self._ports:
            raise StreamNotAsked(f"a stream to port {port}, which the request did not ask for")
        return Lane(channel, self._pair(_request_id(headers, channel, frame.stream), int(port), channel), int(port))

    def _pair(self, request_id: str, port: int, channel: Channel) -> int:
        half = self._halves.pop(request_id, None)
        if half is None:
            if len(self._halves) >= MAX_STREAMS:
                raise TooManyStreams("too many connections without their second stream")
            self._pairs += 1
            self._halves[request_id] = (self._pairs, port, channel)
            return self._pairs
        number, first_port, first = half
        if first is channel:
            raise DuplicateStreamType(f"a second stream of type {channel} for one connection")
        if first_port != port:
            raise StreamNotAsked(f"one connection to two ports, {first_port} and {port}")
        return number


def _request_id(headers: dict[str, str], channel: Channel, stream: int) -> str:
    """Old clients send none; then kubelets pair an error stream with the data stream whose id follows it."""
    given = headers.get("requestid", "")
    return f"={given}" if given else str(stream if channel is Channel.ERROR else stream - 2)
