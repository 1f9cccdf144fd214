"""The channel protocols that exec, attach and port-forward speak over WebSocket, decoded without I/O.

One message carries one channel: its number, then its bytes. In the base64 variants the number is an ASCII digit and the
bytes are encoded. Version 4 made the error channel a Status in JSON; version 5 added a message that closes a channel.
Source: k8s.io/apiserver/pkg/util/remotecommand and k8s.io/streaming (wsstream/conn.go), KEP-4006.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from enum import StrEnum

from addons.core.violation import Violation


class Channel(StrEnum):
    """What a message is about. `DATA` is a connection to a port, `TEXT` and `BINARY` a WebSocket without channels."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    ERROR = "error"
    RESIZE = "resize"
    DATA = "data"
    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to read messages; `version` 1 stands for everything before 4."""

    version: int
    base64: bool = False


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a command ended: `code` is None when it did not run to its end; `message` is for people."""

    code: int | None
    message: str = ""


class UnknownProtocol(ValueError):
    """The server chose a sub-protocol whose messages cannot be read."""


class MalformedMessage(Violation):
    """A message that is not one of its protocol."""


PROTOCOLS = {
    "": Protocol(1),
    "channel.k8s.io": Protocol(1),
    "base64.channel.k8s.io": Protocol(1, base64=True),
    "v4.channel.k8s.io": Protocol(4),
    "v4.base64.channel.k8s.io": Protocol(4, base64=True),
    "v5.channel.k8s.io": Protocol(5),
}
"""By name, those of exec and attach. Those of port-forward are the first and both of version 4."""
CHANNELS = (Channel.STDIN, Channel.STDOUT, Channel.STDERR, Channel.ERROR, Channel.RESIZE)
"""By number."""
CLOSE = 255
"""The number of a version 5 message that says which channel its sender is done with."""
_MAX_RESIZE = 1024


def protocol(chosen: str) -> Protocol:
    """The protocol of the server's `Sec-WebSocket-Protocol` answer, `""` if it gave none. Raises UnknownProtocol."""
    try:
        return PROTOCOLS[chosen]
    except KeyError:
        raise UnknownProtocol(f"the sub-protocol {chosen[:80]!r} cannot be recorded") from None


class MessageReader:
    """The messages of one direction, each in as many pieces as it comes in."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._number: int | None = None
        self._carry = b""  # what is not decoded yet: base64 comes in fours, a close in one piece
        self._padded = self._told = False

    def feed(self, data: bytes, finished: bool) -> tuple[int, bytes] | None:
        """Number and bytes of a piece, None while there are none. `finished`: the message is whole.

        An empty message is nothing, as for the servers; of one without bytes its number is told once. Raises
        MalformedMessage.
        """
        if self._number is None:
            if not data:
                return None
            self._number, data = data[0] - (ord("0") if self._protocol.base64 else 0), data[1:]
        number, decoded = self._number, self._decoded(data, finished)
        told = bool(decoded) or (finished and not self._told)
        self._told = self._told or told
        if finished:
            self._number, self._told, self._padded = None, False, False
        return (number, decoded) if told else None

    def _decoded(self, data: bytes, finished: bool) -> bytes:
        if self._number == CLOSE and self._protocol.version >= 5:
            return self._closing(data, finished)
        if not self._protocol.base64:
            return data
        data = self._carry + data
        ready = len(data) - len(data) % 4
        data, self._carry = data[:ready], data[ready:]
        if (finished and self._carry) or (self._padded and data):
            raise MalformedMessage("a message is not valid base64")
        self._padded = self._padded or data.endswith(b"=")
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error:
            raise MalformedMessage("a message is not valid base64") from None

    def _closing(self, data: bytes, finished: bool) -> bytes:
        self._carry += data
        if len(self._carry) > 1 or (finished and not self._carry):
            raise MalformedMessage("a close message names no channel, or several")
        if not finished:
            return b""
        closed, self._carry = self._carry, b""
        return closed


def encode(protocol: Protocol, number: int, data: bytes) -> bytes:
    """One message."""
    if protocol.base64:
        return bytes([ord("0") + number]) + base64.b64encode(data)
    return bytes([number]) + data


class SizeReader:
    """The resize channel: JSON objects in a row, cut anywhere, as the servers' decoder takes them."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """Columns and rows of each size that is complete. Raises MalformedMessage."""
        self._buffer += data
        *complete, rest = self._buffer.replace(b"}", b"}\0").split(b"\0")
        self._buffer = rest.lstrip()
        if len(self._buffer) > _MAX_RESIZE:
            raise MalformedMessage("a resize message holds no size")
        return [_size(each) for each in complete]


def _size(data: bytes) -> tuple[int, int]:
    try:
        size = json.loads(data)
        columns, rows = size["Width"], size["Height"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedMessage("a resize message holds no size") from None
    if not all(type(number) is int and 0 <= number <= 0xFFFF for number in (columns, rows)):
        raise MalformedMessage("a resize message holds an impossible size")
    return columns, rows


def exit_status(json_status: bool, data: bytes) -> ExitStatus:
    """How the command ended, from the error channel; never raises, the text is the server's."""
    text = data.decode("utf-8", "replace")
    if not json_status:
        return ExitStatus(None, text)
    try:
        status = json.loads(text)
        if status["status"] == "Success":
            return ExitStatus(0)
        if status.get("reason") == "NonZeroExitCode":
            causes = status["details"]["causes"]
            return ExitStatus(next(int(cause["message"]) for cause in causes if cause["reason"] == "ExitCode"))
        return ExitStatus(None, str(status.get("message", "")))
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration, RecursionError):
        return ExitStatus(None, text)
