"""Bytes in, frames out. Memory is bounded by the largest control frame, whatever length a data frame claims.

Draft 3.1, sections 2.2 and 2.6. Deliberately absent: what a frame may do on its stream (`streams`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

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
from addons.core.spdy.headers import HeaderReader
from addons.core.violation import Violation

MAX_CONTROL_BYTES = 16 * 1024
"""Of one control frame; the draft asks for 8 KiB at least."""
_MAX_SETTINGS = 100
_CONTROL = 0x80000000
_VERSION = 3
_FIN = 0x01
_CLEAR = 0x01
_ID = 0x7FFFFFFF
_LENGTH = 0xFFFFFF
_HEAD = struct.Struct(">II")
_SYN_STREAM = struct.Struct(">IIBB")
_U32 = struct.Struct(">I")


class MalformedFrame(Violation):
    """Bytes that are no frame of SPDY/3.1, or one that Kubernetes has no use for."""


class OversizedFrame(Violation):
    """A control frame larger than anything that is ever sent."""


class FrameReader:
    """The frames of one direction. After a Violation it must not be used again."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = HeaderReader()
        self._stream = self._left = 0  # of the data frame that is being read
        self._fin = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames, and pieces of data frames, that are there after `data`. Raises Violation."""
        self._buffer += data
        while (frame := self._rest() if self._left else self._next()) is not None:
            yield frame

    def _rest(self) -> Data | None:
        piece = self._take(min(self._left, len(self._buffer)))
        if not piece:
            return None
        self._left -= len(piece)
        return Data(self._stream, piece, self._fin and not self._left)

    def _next(self) -> Frame | None:
        if len(self._buffer) < _HEAD.size:
            return None
        word, rest = _HEAD.unpack_from(self._buffer)
        flags, length = rest >> 24, rest & _LENGTH
        if word & _CONTROL:
            return self._control(word, flags, length)
        if not word or flags & ~_FIN:
            raise MalformedFrame("a data frame of stream 0, or with unknown flags")
        self._take(_HEAD.size)
        self._stream, self._left, self._fin = word, length, bool(flags)
        return self._rest() if length else Data(word, b"", self._fin)

    def _control(self, word: int, flags: int, length: int) -> Frame | None:
        version, kind = word >> 16 & 0x7FFF, word & 0xFFFF
        if version != _VERSION or kind not in _PARSERS:
            raise MalformedFrame(f"a control frame of version {version} and type {kind}")
        if length > MAX_CONTROL_BYTES:
            raise OversizedFrame(f"a control frame of {length} bytes")
        if len(self._buffer) < _HEAD.size + length:
            return None
        self._take(_HEAD.size)
        try:
            return _PARSERS[kind](self, flags, self._take(length))
        except struct.error:
            raise MalformedFrame(f"a control frame of type {kind} with {length} bytes") from None

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _syn_stream(self, flags: int, payload: bytes) -> SynStream:
        stream, associated, priority, slot = _SYN_STREAM.unpack_from(payload)
        if associated or slot:
            raise MalformedFrame("a stream that belongs to another one, or to a certificate")
        stream, headers = _stream_id(stream), self._headers.read(payload[_SYN_STREAM.size :])
        return SynStream(stream, headers, _fin(flags), priority >> 5)

    def _syn_reply(self, flags: int, payload: bytes) -> SynReply:
        (stream,) = _U32.unpack_from(payload)
        return SynReply(_stream_id(stream), self._headers.read(payload[_U32.size :]), _fin(flags))

    def _more_headers(self, flags: int, payload: bytes) -> Headers:
        (stream,) = _U32.unpack_from(payload)
        return Headers(_stream_id(stream), self._headers.read(payload[_U32.size :]), _fin(flags))

    def _rst_stream(self, flags: int, payload: bytes) -> RstStream:
        stream, status = _HEAD.unpack(payload)
        if flags or not status:
            raise MalformedFrame("a reset with flags or without a status")
        return RstStream(_stream_id(stream), status)

    def _settings(self, flags: int, payload: bytes) -> Settings:
        (count,) = _U32.unpack_from(payload)
        if flags & ~_CLEAR or count > _MAX_SETTINGS or len(payload) != _U32.size + count * _HEAD.size:
            raise MalformedFrame("settings of unknown flags or of another number than they say")
        pairs = _HEAD.iter_unpack(payload[_U32.size :])
        return Settings(tuple((key >> 24, key & _LENGTH, value) for key, value in pairs), bool(flags))

    def _ping(self, flags: int, payload: bytes) -> Ping:
        (number,) = _U32.unpack(payload)
        if flags or not number:
            raise MalformedFrame("a ping with flags or without an id")
        return Ping(number)

    def _go_away(self, flags: int, payload: bytes) -> GoAway:
        last, status = _HEAD.unpack(payload)
        if flags:
            raise MalformedFrame("a farewell with flags")
        return GoAway(last & _ID, status)

    def _window_update(self, flags: int, payload: bytes) -> WindowUpdate:
        stream, delta = _HEAD.unpack(payload)
        if flags or not delta & _ID:
            raise MalformedFrame("a window update with flags or by nothing")
        return WindowUpdate(stream & _ID, delta & _ID)


_PARSERS: Mapping[int, Callable[[FrameReader, int, bytes], Frame]] = {
    1: FrameReader._syn_stream,
    2: FrameReader._syn_reply,
    3: FrameReader._rst_stream,
    4: FrameReader._settings,
    6: FrameReader._ping,
    7: FrameReader._go_away,
    8: FrameReader._more_headers,
    9: FrameReader._window_update,
}


def _stream_id(word: int) -> int:
    if not word & _ID:
        raise MalformedFrame("a frame of stream 0")
    return word & _ID


def _fin(flags: int) -> bool:
    """Unidirectional streams, the other flag there is, are pushes; Kubernetes has none."""
    if flags & ~_FIN:
        raise MalformedFrame("a stream that only its opener may use, or unknown flags")
    return bool(flags)
