"""SPDY inside a WebSocket, as kubectl forwards ports since 1.31: the payload of its messages is the SPDY stream.

Source: KEP-4006; k8s.io/client-go/tools/portforward/tunneling_connection.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wsproto.frame_protocol import CloseReason

from addons.core.spdy import Frame
from addons.core.wires.message import Control, Item, Message, Ready
from addons.core.wires.spdy import SpdyWire
from addons.core.wires.websocket import Piece, WebSocket


class TunnelWire:
    """`inner` inside a WebSocket; messages may be cut anywhere."""

    def __init__(self, inner: SpdyWire) -> None:
        self._inner = inner
        self._socket = WebSocket()
        self.json_status = inner.json_status

    @property
    def owes_status(self) -> bool:
        """As the protocol inside."""
        return self._inner.owes_status

    def receive(self, data: bytes, from_client: bool, now: float) -> Iterator[Item]:
        """What is complete after `data`. Raises Violation."""
        for part in self._socket.receive(data, from_client, now):
            if isinstance(part, Piece):
                for item in self._inner.receive(part.data, from_client, now):
                    yield self._wrapped(item) if isinstance(item, Ready) else item
            else:
                yield part

    def send(self, item: Message | Control) -> Iterator[Ready]:
        """The bytes of a message or control, in its turn. Raises Violation."""
        if isinstance(item, Control) and not isinstance(item.content, Frame):
            yield from self._socket.send_control(item)
        else:
            yield from map(self._wrapped, self._inner.send(item))

    def farewell(self, status: bytes, text: bytes) -> Iterator[Ready]:
        """Tells the client, and closes."""
        yield from map(self._wrapped, self._inner.farewell(status, text))
        yield self._socket.close(CloseReason.NORMAL_CLOSURE, "chaperone ended this session")

    def _wrapped(self, ready: Ready) -> Ready:
        return replace(self._socket.send(ready.to_client, ready.data), keepalive=ready.keepalive)
