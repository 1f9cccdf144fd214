"""Who closes a client's connection leaves it everything that was sent, and waits no longer than it has to."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from addons import lingering
from addons.lingering import linger

MUCH = 16 * 1024 * 1024


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes by faster."""
    monkeypatch.setattr(lingering, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(lingering, "PATIENCE_SECONDS", 0.5)


@asynccontextmanager
async def link(sent: bytes) -> AsyncIterator[tuple[Any, socket.socket]]:
    """Our transport, to which `sent` was written, and the socket of the client, which has read nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        _, writer = await asyncio.open_connection(sock=ours)
        writer.write(sent)
        yield writer.transport, client
        await ended(writer.transport)


async def ended(transport: Any) -> None:
    """Until its socket is closed, which is at most for seconds."""
    for _ in range(500):
        if transport.get_extra_info("socket").fileno() == -1:
            break
        await asyncio.sleep(0.01)
    assert transport.get_extra_info("socket").fileno() == -1
    assert lingering.lingering() == 0


def taken(client: socket.socket, says: bytes = b"") -> int:
    """How many bytes come, for a client that sends `says` after each piece."""
    size = 0
    while data := client.recv(256 * 1024):
        size += len(data)
        client.sendall(says)
    return size


async def test_a_client_that_speaks_meanwhile_gets_everything() -> None:
    async with link(bytes(MUCH)) as (transport, client):
        client.sendall(b"unread")
        linger(transport)
        assert await asyncio.to_thread(taken, client, b"ping") == MUCH


async def test_who_has_everything_is_not_waited_for() -> None:
    async with link(b"answer") as (transport, client):
        assert client.recv(100) == b"answer"
        linger(transport)
        assert transport.is_closing()


async def test_who_has_taken_all_is_closed_though_it_does_not_close() -> None:
    async with link(bytes(MUCH)) as (transport, client):
        linger(transport)
        assert await asyncio.to_thread(taken, client) == MUCH
        await ended(transport)
        assert client.recv(1) == b""


async def test_who_takes_nothing_is_not_waited_for_forever() -> None:
    async with link(bytes(MUCH)) as (transport, _):
        linger(transport)
        assert not transport.is_closing()
        await asyncio.sleep(0.8)
        assert transport.is_closing()
        transport.abort()


async def test_who_is_gone_is_not_waited_for() -> None:
    async with link(bytes(MUCH)) as (transport, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        linger(transport)


async def test_one_too_many_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "MOST", 0)
    async with link(bytes(MUCH)) as (transport, client):
        linger(transport)
        assert transport.is_closing()
        assert await asyncio.to_thread(taken, client) == MUCH  # nothing came in between
