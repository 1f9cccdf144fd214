"""The listener of probes: exact paths, one GET a connection, and nothing that a client does takes it down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from addons.edge import health as edge_health
from addons.edge.health import HealthListener, Page


async def ok() -> Page:
    return Page(200, b"ok\n")


async def broken() -> Page:
    raise RuntimeError("a page that cannot be made")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = HealthListener()
    listener.register("/healthz", ok)
    bound = socket.create_server(("127.0.0.1", 0))
    await listener.start(bound)
    listener.register("/broken", broken)
    yield bound.getsockname()[1]
    listener.close()


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_line", "code", "body"),
    [
        ("GET /healthz HTTP/1.1", 200, b"ok\n"),
        ("GET /healthz?verbose HTTP/1.0", 200, b"ok\n"),
        ("HEAD /healthz HTTP/1.1", 200, b""),
        ("POST /healthz HTTP/1.1", 405, b"GET or HEAD\n"),
        ("GET / HTTP/1.1", 404, b"pages: /broken /healthz\n"),
        ("GET /healthz/ HTTP/1.1", 404, b"pages: /broken /healthz\n"),
        ("GET http://a/healthz HTTP/1.1", 404, b"pages: /broken /healthz\n"),
        ("CONNECT a:443 HTTP/1.1", 404, b"pages: /broken /healthz\n"),
        ("GET /healthz", 400, b"not HTTP/1.1\n"),
        ("PRI * HTTP/2.0", 400, b"not HTTP/1.1\n"),
        ("\xff", 400, b"not HTTP/1.1\n"),
    ],
)
async def test_pages(request_line: str, code: int, body: bytes, port: int) -> None:
    answer = await ask(port, f"{request_line}\r\nHost: a\r\n\r\n".encode("latin-1"))
    head, _, got = answer.partition(b"\r\n\r\n")
    assert (int(head.split()[1]), got) == (code, body)
    assert b"Connection: close" in head


NO_REQUEST = [b"GET /" + b"a" * 10_000, b"GET /healthz HTTP/1.1\r\n", b"\x16\x03\x01", b""]


@pytest.mark.parametrize("request_bytes", NO_REQUEST)
async def test_what_is_no_request_is_not_answered(request_bytes: bytes, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes)
    writer.write_eof()
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")).endswith(b"ok\n")


async def test_who_dawdles_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_health, "_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /")
    assert await reader.read() == b""
    writer.close()


async def test_there_is_room_for_so_many(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_health, "MAX_CLIENTS", 1)
    first = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.05)
    assert await ask(port, b"") == b""
    first[1].close()
    await asyncio.sleep(0.05)
    assert (await ask(port, b"GET /healthz HTTP/1.1\r\n\r\n")).endswith(b"ok\n")


async def test_a_page_that_cannot_be_made_is_no_answer(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert await ask(port, b"GET /broken HTTP/1.1\r\n\r\n") == b""
    assert "a page that cannot be made" in caplog.text
