"""What may happen on a stream, in which order, by whom.

Clients open streams and servers accept them. A frame on a stream that was never opened ends the session. What comes on
one that is gone, or from a side that has said it is done, is not passed on and is no violation: it crosses the end on
the wire, and Go's clients do send a last piece behind it. Ids only grow, so that none is ever used again.
Draft 3.1, sections 2.3 and 2.4.
"""

from __future__ import annotations

from addons.core.spdy.frames import Data, Headers, RstStream, SynReply, SynStream, WindowUpdate
from addons.core.violation import Violation

MAX_STREAMS = 1024
"""Streams that are open at once; each connection of a port-forward takes two."""

StreamFrame = SynStream | SynReply | Headers | RstStream | Data | WindowUpdate


class UnknownStream(Violation):
    """A frame on a stream that was never opened, or a reply to one that needs none."""


class ReusedStream(Violation):
    """A stream opened with an id that is not greater than every one before, or is not a client's."""


class TooManyStreams(Violation):
    """More streams at once than anybody needs."""


class Streams:
    """The streams of one session. Of each that is open: which sides may still send, and whether it was accepted."""

    def __init__(self) -> None:
        self._senders: dict[int, set[bool]] = {}
        self._unaccepted: set[int] = set()
        self._last = 0

    def __contains__(self, stream: int) -> bool:
        """True while a stream is open in at least one direction."""
        return stream in self._senders

    @property
    def unaccepted(self) -> list[int]:
        """Streams that wait for the server's reply."""
        return sorted(self._unaccepted)

    def passes(self, frame: StreamFrame, from_client: bool) -> bool:
        """True if a frame goes on; False if nobody is left who should get it. Raises Violation."""
        if isinstance(frame, SynStream):
            self._open(frame.stream, from_client)
        elif frame.stream > self._last or frame.stream % 2 == 0:
            raise UnknownStream(f"a frame on stream {frame.stream}, which was never opened")
        elif frame.stream not in self._senders:
            return False
        match frame:
            case WindowUpdate():
                return True
            case RstStream():
                self._remove(frame.stream)
                return True
            case SynReply():
                self._accept(frame.stream, from_client)
        return self._send(frame.stream, frame.fin, from_client)

    def _open(self, stream: int, from_client: bool) -> None:
        if not from_client or stream % 2 == 0 or stream <= self._last:
            raise ReusedStream(f"stream {stream} cannot be opened, or not again, or not by the server")
        if len(self._senders) >= MAX_STREAMS:
            raise TooManyStreams(f"more than {MAX_STREAMS} streams at once")
        self._last = stream
        self._senders[stream] = {True, False}
        self._unaccepted.add(stream)

    def _accept(self, stream: int, from_client: bool) -> None:
        if from_client or stream not in self._unaccepted:
            raise UnknownStream(f"a reply to stream {stream}, which needs none")
        self._unaccepted.discard(stream)

    def _send(self, stream: int, fin: bool, from_client: bool) -> bool:
        senders = self._senders[stream]
        if from_client not in senders:
            return False
        if fin:
            senders.discard(from_client)
            if not senders:
                self._remove(stream)
        return True

    def _remove(self, stream: int) -> None:
        del self._senders[stream]
        self._unaccepted.discard(stream)
