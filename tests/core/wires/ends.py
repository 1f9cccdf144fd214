"""Clients and servers for tests: what they send through a wire, in pieces, and what the other one gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from addons.core.wires import Control, Item, Lane, Message, Ready, Wire

CLIENT, SERVER = True, False
Told = tuple[Lane, bool, bytes, bool, bool]
"""Lane, from the client, data, opens, ends."""


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The stream, cut."""
    at = sorted({cut for cut in cuts if cut < len(stream)} | {0})
    return [stream[begin:end] for begin, end in zip(at, [*at[1:], len(stream)], strict=True)]


def cuts(most: int = 12) -> st.SearchStrategy[list[int]]:
    """Where a stream may be cut."""
    return st.lists(st.integers(0, 2000), max_size=most)


def items(wire: Wire, parts: Iterable[bytes], from_client: bool, now: float = 0) -> list[Item]:
    """Everything a wire makes of these pieces."""
    return [item for part in parts for item in wire.receive(part, from_client, now)]


def told(found: Sequence[Item]) -> list[Told]:
    """The messages, those that follow each other on a lane as one."""
    whole: list[Told] = []
    for item in found:
        if not isinstance(item, Message):
            continue
        assert item.size == len(item.data)
        last = whole[-1] if whole else None
        if last is not None and last[:2] == (item.lane, item.from_client) and not item.opens and not last[4]:
            whole[-1] = (*last[:2], last[2] + item.data, last[3], item.ends)
        else:
            whole.append((item.lane, item.from_client, item.data, item.opens, item.ends))
    return whole


def relayed(wire: Wire, parts: Iterable[bytes], from_client: bool) -> bytes:
    """What the other side gets when every message passes as it came."""
    return sent(wire, items(wire, parts, from_client), to_client=not from_client)


def sent(wire: Wire, found: Sequence[Item], to_client: bool) -> bytes:
    """What one side gets of these items."""
    out = b""
    for item in found:
        for ready in [item] if isinstance(item, Ready) else wire.send(item):
            out += ready.data if ready.to_client is to_client else b""
    return out


def controls(found: Sequence[Item]) -> list[Control]:
    """What is passed on unjudged."""
    return [item for item in found if isinstance(item, Control)]


class Socket:
    """One end of a WebSocket."""

    def __init__(self, client: bool) -> None:
        self.protocol = FrameProtocol(client, [])

    def message(self, data: bytes | str, fragments: Iterable[int] = ()) -> bytes:
        """One message, fragmented at these bytes."""
        at = sorted({cut for cut in fragments if 0 < cut < len(data)} | {0})
        ends = [*at[1:], len(data)]
        parts = [data[begin:end] for begin, end in zip(at, ends, strict=True)]
        return b"".join(
            bytes(self.protocol.send_data(part, fin=index == len(parts) - 1)) for index, part in enumerate(parts)
        )

    def received(self, data: bytes) -> list[tuple[str, object]]:
        """Opcode and payload of each whole message or control frame."""
        self.protocol.receive_bytes(data)
        found: list[tuple[str, object]] = []
        partial: bytes | str | None = None
        for frame in self.protocol.received_frames():
            if frame.opcode.iscontrol():
                found.append((frame.opcode.name, frame.payload))
                continue
            assert isinstance(frame.payload, bytes | str)
            partial = frame.payload if partial is None else partial + frame.payload  # type: ignore[operator]
            if frame.message_finished and frame.frame_finished:
                found.append((frame.opcode.name, partial))
                partial = None
        return found
