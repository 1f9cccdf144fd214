"""What a port-forward carried, as lines of JSON: the first bytes of each connection, and of all size and digest.

Bodies of other protocols cannot be masked here, so the record may hold secrets that the connection carried; it is kept
as private as everything else in a session's folder.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from addons.core.channels import Channel
from addons.core.wires.message import Lane, Message

MAX_KEPT = 256 * 1024
"""Bytes of one direction of one connection that are kept; what follows is only counted and digested."""
_NAMES = {True: "client", False: "server"}


@dataclass(slots=True)
class _Direction:
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    ended: bool = False


class ForwardLog:
    """One port-forward. Every method returns what to append to its file; times are Unix seconds."""

    def __init__(self, started_at: float, title: str) -> None:
        self._started_at, self._title = started_at, title
        self._open: dict[Lane, dict[bool, _Direction]] = {}
        self._ports: set[int] = set()
        self._connections = 0
        self._seen = {True: 0, False: 0}

    def start(self) -> bytes:
        """The first line."""
        return _line({"version": 1, "timestamp": int(self._started_at), "title": self._title})

    def message(self, message: Message, now: float) -> bytes:
        """One message, as it is sent."""
        lane = message.lane
        notes = b"".join(self._event(lane, now, note=note) for note in message.notes)
        return notes + self._recorded(message, now)

    def _recorded(self, message: Message, now: float) -> bytes:
        lane = message.lane
        if lane.channel is not Channel.DATA:
            return self._error(message, now)
        lines = b""
        if lane not in self._open:
            self._connections += 1
            self._ports.add(lane.port)
            self._open[lane] = {True: _Direction(), False: _Direction()}
        directions = self._open[lane]
        if message.data:
            lines += self._data(directions[message.from_client], message, now)
        directions[message.from_client].ended |= message.ends
        if message.aborts or all(direction.ended for direction in directions.values()):
            lines += self._end(lane, now)
        return lines

    def end(self, now: float) -> bytes:
        """The last lines: what is known of the connections that are still open."""
        return b"".join(self._end(lane, now) for lane in [*self._open])

    def summary(self) -> dict[str, str]:
        """For the audit event."""
        return {
            "ports": " ".join(map(str, sorted(self._ports))),
            "connections": str(self._connections),
            "client-bytes": str(self._seen[True]),
            "server-bytes": str(self._seen[False]),
        }

    def _data(self, direction: _Direction, message: Message, now: float) -> bytes:
        room, size = MAX_KEPT - direction.size, len(message.data)
        direction.size += size
        direction.digest.update(message.data)
        self._seen[message.from_client] += size
        if room <= 0:
            return b""
        kept = base64.b64encode(message.data[:room]).decode()
        return self._event(message.lane, now, **{"from": _NAMES[message.from_client], "data": kept})

    def _error(self, message: Message, now: float) -> bytes:
        """What a server says of a connection that failed."""
        if not message.data:
            return b""
        return self._event(message.lane, now, error=message.data[:1024].decode("utf-8", "replace"))

    def _end(self, lane: Lane, now: float) -> bytes:
        directions = self._open.pop(lane)
        about = {
            _NAMES[side]: {"bytes": direction.size, "sha256": direction.digest.hexdigest()}
            for side, direction in directions.items()
        }
        return self._event(lane, now, **about)

    def _event(self, lane: Lane, now: float, **about: object) -> bytes:
        at = round(max(0.0, now - self._started_at), 6)
        return _line({"at": at, "connection": lane.pair, "port": lane.port, **about})


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
