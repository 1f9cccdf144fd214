"""The gateway attacks itself before it serves anybody: what must not get past it is tried, for real, at every start.

The attacks come over loopback to a listener of their own, whose connections are handled as agents' are, before the
public port answers; where there is a listener that speaks TLS, in that, too. They aim at a cluster that is registered
only meanwhile and whose address is a port that counts: whatever reaches that port was dialled, and so got past the
gates. No real cluster is involved or needed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import structlog

from addons.core.cluster_path import path_of
from addons.core.connection import Connection

NAME = "self-check"
"""The connection's name in the records that the attacks leave: refused requests of nobody."""
HOST = "self-check.invalid"  # RFC 6761, section 6.4: it names nothing, anywhere
_TARGET = f"{HOST}:443"
_SECONDS = 3.0
_SEGMENT_SECONDS = 0.005
_REQUEST = f"GET /api/v1/secrets HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
_REFUSED = (b"HTTP/1.1 401 ", b"HTTP/1.1 503 ")  # nobody's request, or one that cannot be recorded now

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Registering = Callable[[Connection], AbstractContextManager[None]]
Address = tuple[str, int]


class Bypass(RuntimeError):
    """Something got past the gates, or they did not answer: this gateway must not serve."""


@dataclass(slots=True)
class Canary:
    """A port that nobody has any business with."""

    visits: int = 0

    async def accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Counts whoever connects."""
        self.visits += 1
        writer.close()


@dataclass(frozen=True, slots=True)
class Client:
    """A connection to the gateway; `foreign` is where no tunnel may lead."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    trust: ssl.SSLContext
    foreign: str

    async def send(self, *pieces: bytes) -> None:
        """Each piece by itself, so that the gateway reads it alone."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(_SEGMENT_SECONDS)

    async def connect(self, target: str = _TARGET) -> bytes:
        """The head of the answer to CONNECT."""
        await self.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        return await self.reader.readuntil(b"\r\n\r\n")

    async def ask_in_tls(self, *pieces: bytes, hello_cut: int = 0) -> bytes:
        """How the answer in a tunnel begins; only the gateway's own certificate is accepted.

        The ClientHello is cut after `hello_cut` bytes, the request into `pieces`.
        """
        await self.connect()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.trust.wrap_bio(incoming, outgoing, server_hostname=HOST)
        while not _handshaken(tls):
            record = outgoing.read()
            await self.send(*filter(None, (record[:hello_cut], record[hello_cut:])))
            hello_cut = 0
            incoming.write(await self.reader.read(65536) or _ended())
        for piece in pieces:
            tls.write(piece)
            await self.send(outgoing.read())
        incoming.write(await self.reader.read())
        return tls.read(len(_REFUSED[0]))


def _handshaken(tls: ssl.SSLObject) -> bool:
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _ended() -> bytes:
    raise ConnectionResetError("closed during the handshake")


async def _split_hello(client: Client, at: int) -> bool:
    return await client.ask_in_tls(_REQUEST, hello_cut=at) in _REFUSED


async def _split_request_line(client: Client) -> bool:
    return await client.ask_in_tls(_REQUEST[:1], _REQUEST[1:]) in _REFUSED


async def _plain_text(client: Client) -> bool:
    await client.connect()
    await client.send(_REQUEST)
    return await client.reader.read() == b""


async def _path_of_nobody(client: Client) -> bool:
    await client.send(_REQUEST.replace(b" /", f" {path_of(NAME)}/".encode(), 1))
    return await client.reader.read(len(_REFUSED[0])) in _REFUSED


async def _no_tunnel(client: Client) -> bool:
    await client.send(_REQUEST)
    return (await client.reader.read()).startswith(b"HTTP/1.1 403 ")


async def _foreign_tunnel(client: Client) -> bool:
    return (await client.connect(client.foreign)).startswith(b"HTTP/1.1 403 ")


Attack = Callable[[Client], Awaitable[bool]]
ATTACKS: dict[str, Attack] = {
    "a ClientHello cut after 1 byte": lambda client: _split_hello(client, 1),
    "a ClientHello cut after 2 bytes": lambda client: _split_hello(client, 2),
    "a request line cut inside a tunnel": _split_request_line,
    "plain text inside a tunnel": _plain_text,
    "a tunnel to a foreign address": _foreign_tunnel,
}

IN_TLS = ATTACKS | {
    "a cluster by its path, of nobody": _path_of_nobody,
    "a request without a tunnel": _no_tunnel,
}
"""On the listener that speaks TLS."""


async def self_check(accept: Accept, also: Registering, ca_file: Path, accept_tls: Accept | None = None) -> None:
    """Returns once every attack was held off. Raises Bypass naming those that were not.

    `accept` handles a connection as the public listener's are, `accept_tls` as those of the one that speaks TLS, if
    there is one; `also` registers one more cluster meanwhile; `ca_file` is the gateway's CA.
    """
    trust = ssl.create_default_context(cafile=str(ca_file))
    canary = Canary()
    with structlog.contextvars.bound_contextvars(self_check=True):  # in each line that the gates log of it
        accepting = [canary.accept, accept, *([accept_tls] if accept_tls else [])]
        servers = [await asyncio.start_server(each, "127.0.0.1", 0) for each in accepting]
    foreign, *gateways = (server.sockets[0].getsockname() for server in servers)
    ways = zip(gateways, (None, _unverified()), (ATTACKS, IN_TLS), strict=False)
    try:
        with also(_cluster(foreign, ca_file)):
            failed = [
                f"{name} in TLS" if outer else name
                for gateway, outer, attacks in ways
                for name, attack in attacks.items()
                if not await _held_off(attack, gateway, outer, foreign, trust, canary)
            ]
    finally:
        for server in servers:
            server.close()
    if failed:
        raise Bypass(f"its gates did not hold off {', nor '.join(failed)}")


async def _held_off(
    attack: Attack,
    gateway: Address,
    outer: ssl.SSLContext | None,
    foreign: Address,
    trust: ssl.SSLContext,
    canary: Canary,
) -> bool:
    try:
        reader, writer = await asyncio.open_connection(*gateway, ssl=outer)
    except OSError:
        return False
    try:
        async with asyncio.timeout(_SECONDS):
            refused = await attack(Client(reader, writer, trust, f"{foreign[0]}:{foreign[1]}"))
    except (OSError, EOFError):
        return False
    finally:
        writer.close()
    return refused and canary.visits == 0


def _unverified() -> ssl.SSLContext:
    """Towards a listener of this process, whose certificate may be of any CA and for any name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _cluster(address: Address, ca_file: Path) -> Connection:
    return Connection(name=NAME, host=HOST, port=443, address=address, server_name=HOST, ca_file=str(ca_file))
