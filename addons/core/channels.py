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


class Channel(StrEnum):
    """What a message is about. `CLOSE` carries the number of the channel that ends."""

    STDIN = "stdin"
    STDOUT = "stdout"
    STDERR = "stderr"
    ERROR = "error"
    RESIZE = "resize"
    CLOSE = "close"


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


class MalformedMessage(ValueError):
    """A message that is not one of its protocol."""


_PROTOCOLS = {
    "": Protocol(1),
    "channel.k8s.io": Protocol(1),
    "base64.channel.k8s.io": Protocol(1, base64=True),
    "v4.channel.k8s.io": Protocol(4),
    "v4.base64.channel.k8s.io": Protocol(4, base64=True),
    "v5.channel.k8s.io": Protocol(5),
}
_CHANNELS = {0: Channel.STDIN, 1: Channel.STDOUT, 2: Channel.STDERR, 3: Channel.ERROR, 4: Channel.RESIZE}
_CLOSE = 255


def protocol(chosen: str) -> Protocol:
    """The protocol of the server's `Sec-WebSocket-Protocol` answer, `""` if it gave none. Raises UnknownProtocol."""
    try:
        return _PROTOCOLS[chosen]
    except KeyError:
        raise UnknownProtocol(f"the sub-protocol {chosen[:80]!r} cannot be recorded") from None


def decode(protocol: Protocol, message: bytes) -> tuple[Channel, bytes] | None:
    """Channel and bytes of one message; None for an empty one, which the servers skip. Raises MalformedMessage."""
    if not message:
        return None
    number, data = message[0], message[1:]
    if protocol.base64:
        number -= ord("0")
        try:
            data = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise MalformedMessage("a message is not valid base64") from None
    if number == _CLOSE and protocol.version >= 5:
        if len(data) != 1:
            raise MalformedMessage("a close message names no channel")
        return Channel.CLOSE, data
    try:
        return _CHANNELS[number], data
    except KeyError:
        raise MalformedMessage(f"channel {number} does not exist") from None


def terminal_size(data: bytes) -> tuple[int, int]:
    """Columns and rows of a resize message. Raises MalformedMessage."""
    try:
        size = json.loads(data)
        columns, rows = size["Width"], size["Height"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedMessage("a resize message holds no size") from None
    if not all(type(number) is int and 0 <= number <= 0xFFFF for number in (columns, rows)):
        raise MalformedMessage("a resize message holds an impossible size")
    return columns, rows


def exit_status(protocol: Protocol, data: bytes) -> ExitStatus:
    """How the command ended, from the error channel; never raises, the text is the server's."""
    text = data.decode("utf-8", "replace")
    if protocol.version < 4:
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
