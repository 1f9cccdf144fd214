"""What a connection brings is handed on whole and in order, from its first byte to its end, and never after that."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.reading import Reading

_SETTLE_SECONDS = 0.02


class Link:
    """A connection, the socket of its peer, and what was handed on; `done` is over when `read` has told the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: socket.socket) -> None:
        self.reader, self.writer, self.peer = reader, writer, peer
        self.received, self.pieces = b"", 0
        self.done: asyncio.Task[None]

    async def follow(self) -> None:
        """As mitmproxy reads a connection."""
        reading = Reading(self.reader, self.writer, self.receive)
        while data := await reading.read(65535):
            self.receive(data)

    def receive(self, data: bytes) -> None:
        """Handed on."""
        self.received += data
        self.pieces += 1


@asynccontextmanager
async def link(first: bytes = b"") -> AsyncIterator[Link]:
    """One that is followed when `first` has come already."""
    ours, peer = socket.socketpair()
    peer.sendall(first)
    reader, writer = await asyncio.open_connection(sock=ours)
    made = Link(reader, writer, peer)
    if first:
        await asyncio.sleep(_SETTLE_SECONDS)
    made.done = asyncio.create_task(made.follow())
    await asyncio.sleep(0)
    with peer:
        try:
            yield made
        finally:
            made.done.cancel()
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close, and wait until it is."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=6), st.booleans())
def test_every_byte_comes_once_and_in_order(pieces: list[bytes], early: bool) -> None:
    async def play() -> bytes:
        async with link(pieces[0] if early and pieces else b"") as linked:
            for piece in pieces[1:] if early else pieces:
                linked.peer.sendall(piece)
                await asyncio.sleep(0)
            linked.peer.shutdown(socket.SHUT_WR)
            await linked.done
            return linked.received

    assert asyncio.run(play()) == b"".join(pieces)


async def test_more_than_one_read_brings_is_handed_on_in_pieces() -> None:
    data = bytes(range(256)) * 1000
    async with link() as linked:
        await asyncio.to_thread(linked.peer.sendall, data)
        linked.peer.close()
        await linked.done
        assert linked.received == data
        assert linked.pieces >= 4


async def test_what_had_come_before_is_not_overtaken() -> None:
    async with link(b"first ") as linked:
        linked.peer.sendall(b"second")
        await asyncio.sleep(_SETTLE_SECONDS)
        assert linked.received == b"first second"


@pytest.mark.parametrize("first", [b"", b"all"])
async def test_an_end_that_is_there_already_is_told(first: bytes) -> None:
    ours, peer = socket.socketpair()
    peer.sendall(first)
    peer.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    await asyncio.sleep(_SETTLE_SECONDS)
    linked = Link(reader, writer, peer)
    await asyncio.wait_for(linked.follow(), 1)
    assert linked.received == first
    await closed(writer)


async def test_whoever_sends_no_more_can_still_be_answered() -> None:
    async with link() as linked:
        linked.peer.shutdown(socket.SHUT_WR)
        await linked.done
        linked.writer.write(b"answer")
        await linked.writer.drain()
        assert linked.peer.recv(100) == b"answer"


async def test_a_reset_is_an_end() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    peer, _ = listener.accept()
    linked = Link(reader, writer, peer)
    done = asyncio.create_task(linked.follow())
    await asyncio.sleep(0)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await asyncio.wait_for(done, 1)
    with pytest.raises(ConnectionError):
        await writer.drain()
    await closed(writer)
    listener.close()


async def test_nothing_is_handed_on_after_its_task_was_cancelled() -> None:
    """Not even what is read before the task has heard of it."""
    async with link() as linked:
        linked.peer.sendall(b"late")
        linked.done.cancel()
        await asyncio.gather(linked.done, return_exceptions=True)
        await asyncio.sleep(_SETTLE_SECONDS)
        assert linked.done.cancelled()
        assert linked.received == b""


async def test_writers_still_wait_for_a_slow_peer() -> None:
    async with link() as linked:
        linked.writer.write(bytes(10 << 20))
        waits = asyncio.create_task(linked.writer.drain())
        await asyncio.sleep(_SETTLE_SECONDS)
        assert not waits.done()
        linked.peer.setblocking(False)
        left = 10 << 20
        while left:
            try:
                left -= len(linked.peer.recv(1 << 20))
            except BlockingIOError:
                await asyncio.sleep(0)
        await asyncio.wait_for(waits, 1)
