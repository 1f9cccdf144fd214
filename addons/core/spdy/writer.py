"""Frames in, bytes out. Written anew, and not passed on as it came, a frame means to its reader what it meant here."""

from __future__ import annotations

import struct

from addons.core.spdy.frames import (
    Data,
    Frame,
    GoAway,
    Headers,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from addons.core.spdy.headers import HeaderWriter

_CONTROL = 0x80000000
_VERSION = 3
_HEAD = struct.Struct(">II")
_SYN_STREAM = struct.Struct(">IIBB")
_U32 = struct.Struct(">I")


class FrameWriter:
    """Writes the frames of one direction, in the order in which they are sent: header blocks depend on it."""

    def __init__(self) -> None:
        self._headers = HeaderWriter()

    def write(self, frame: Frame) -> bytes:
        """The bytes of a frame."""
        match frame:
            case Data(stream, data, fin):
                return _HEAD.pack(stream, fin << 24 | len(data)) + data
            case SynStream(stream, headers, fin, priority):
                head = _SYN_STREAM.pack(stream, 0, priority << 5, 0)
                return _control(1, head + self._headers.write(headers), fin)
            case SynReply(stream, headers, fin):
                return _control(2, _U32.pack(stream) + self._headers.write(headers), fin)
            case Headers(stream, headers, fin):
                return _control(8, _U32.pack(stream) + self._headers.write(headers), fin)
            case _:
                return _plain(frame)


def _plain(frame: RstStream | Settings | Ping | GoAway | WindowUpdate) -> bytes:
    match frame:
        case RstStream(stream, status):
            return _control(3, _HEAD.pack(stream, status))
        case Settings(values, clear):
            pairs = b"".join(_HEAD.pack(flags << 24 | key, value) for flags, key, value in values)
            return _control(4, _U32.pack(len(values)) + pairs, clear)
        case Ping(number):
            return _control(6, _U32.pack(number))
        case GoAway(last, status):
            return _control(7, _HEAD.pack(last, status))
        case _:
            return _control(9, _HEAD.pack(frame.stream, frame.delta))


def _control(kind: int, payload: bytes, flag: bool = False) -> bytes:
    return _HEAD.pack(_CONTROL | _VERSION << 16 | kind, flag << 24 | len(payload)) + payload
