"""The frames of SPDY/3.1, as values. Draft 3.1, section 2.6.

Of a data frame each piece that has arrived is a `Data` of its own, so that no frame need be held in memory whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.spdy.headers import Fields


@dataclass(frozen=True, slots=True)
class SynStream:
    """Opens a stream. `fin`: its sender will send nothing on it."""

    stream: int
    headers: Fields = ()
    fin: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SynReply:
    """Accepts a stream."""

    stream: int
    headers: Fields = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Headers:
    """More headers of a stream."""

    stream: int
    headers: Fields = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    """Ends a stream in both directions."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Triples of flags, id and value."""

    values: tuple[tuple[int, int, int], ...]
    clear: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """Comes back as it is. Of odd id, the client asked."""

    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """No stream after `last_stream` will be accepted."""

    last_stream: int
    status: int


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """`delta` more bytes may be sent; stream 0 is the whole session."""

    stream: int
    delta: int


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream. `fin`: the last one of its sender."""

    stream: int
    data: bytes
    fin: bool = False


Frame = SynStream | SynReply | Headers | RstStream | Settings | Ping | GoAway | WindowUpdate | Data
