"""The listener of probes: a handful of pages by exact path, plain HTTP/1.1, one GET a connection, nothing else.

It shares nothing with the proxy's listener: what is asked for here never meets the stack, and agents cannot get here
through the proxy, as a tunnel leads to registered clusters only (B-03). Pages are read-only and hold no secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 8192
MAX_CLIENTS = 64
"""At once; who comes then finds the connection closed, which a probe reads as a failure."""
_SECONDS = 5.0
_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Page:
    """What a path answers with."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


MakePage = Callable[[], Awaitable[Page]]


class HealthListener:
    """Pages by their path. Register them before or after `start`, from the event loop."""

    def __init__(self) -> None:
        self._pages: dict[str, MakePage] = {}
        self._clients = 0
        self._server: asyncio.Server | None = None

    def register(self, path: str, make_page: MakePage) -> None:
        """Answer GET and HEAD of exactly this path with what `make_page` returns; it must not block the loop."""
        self._pages[path] = make_page

    async def start(self, listener: socket.socket) -> None:
        """Answer on a bound socket."""
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=MAX_HEAD_BYTES)

    def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MAX_CLIENTS:
                async with asyncio.timeout(_SECONDS):
                    writer.write(await self._answer(await reader.readuntil(_HEAD_END)))
                    await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # a client that is gone, dawdles or sends no HTTP: there is nothing to answer
        finally:
            self._clients -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target, _, version = rest.rpartition(" ")
        make_page = self._pages.get(target.partition("?")[0])
        if not version.startswith("HTTP/1."):
            return _encoded(Page(400, b"not HTTP/1.1\n"), "GET")
        if make_page is None:
            return _encoded(Page(404, f"pages: {' '.join(sorted(self._pages))}\n".encode()), method)
        if method not in ("GET", "HEAD"):
            return _encoded(Page(405, b"GET or HEAD\n"), method)
        return _encoded(await make_page(), method)


def _encoded(page: Page, method: str) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        "\r\n",
    ]
    return "\r\n".join(lines).encode("latin-1") + (b"" if method == "HEAD" else page.body)
