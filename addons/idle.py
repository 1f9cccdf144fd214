"""Connections to clusters that nobody uses for the moment: the next client of the same session goes on with one.

A command opens two or three connections, and without this each would shake hands with the cluster anew. One is kept
only if every exchange on it ended as it should and neither side has said a byte more, and it goes to the same session
alone: what a caller may have left in a connection is never met by another's request. It carries no identity of its
own, as every request has its credential with it.
"""

from __future__ import annotations

import asyncio
import select
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Iterator
from typing import Any, cast

from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.proxy.commands import Command
from mitmproxy.proxy.layers.http import HttpClient
from mitmproxy.proxy.layers.http._http1 import Http1Client
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.proxy.tunnel import TunnelState

from addons.reading import Reading

IDLE_SECONDS = 30.0
"""Unused; the API server closes a connection after 90 s of silence."""
MAX_AGE_SECONDS = 300.0
"""Then the next one is new: addresses, certificates and the members of a load balancer change."""
MOST = 128
"""Of one worker; for one more, the oldest ends."""
_LAYER, _TLS = "chaperone_tls_layer", "chaperone_tls"
"""Of a connection to a cluster: what speaks TLS on it, and what was spoken on it before, until it goes on."""
_KNOWN = (
    "state", "peername", "sockname", "timestamp_start", "timestamp_tcp_setup", "timestamp_tls_setup",
    "certificate_list", "alpn", "alpn_offers", "cipher", "tls_version", "sni",
)  # fmt: skip
"""What is known of a connection once it is open."""

_tls_layer: Any = ServerTLSLayer
_start_handshake = _tls_layer.start_handshake


def reuse_handshakes() -> None:
    """TLS to a cluster may go on where it was, for the life of the process."""
    _tls_layer.start_handshake = _start_or_go_on


def _start_or_go_on(layer: Any) -> Iterator[Command]:
    about = vars(layer.conn)
    about[_LAYER] = layer
    if (tls := about.pop(_TLS, None)) is None:
        yield from _start_handshake(layer)
    else:
        layer.tls = tls
        yield from layer._handshake_finished(None)


class Idle(asyncio.Protocol):
    """One of them. Whatever happens to it meanwhile is its end."""

    def __init__(
        self, server: Server, reader: StreamReader, writer: StreamWriter, forget: Callable[[Idle], None]
    ) -> None:
        """It is taken out of the hands of whoever read from it; `forget` is told of its end."""
        self._reader, self._writer, self._tls = reader, writer, vars(server)[_LAYER].tls
        self._known = {name: getattr(server, name) for name in _KNOWN}  # as it is now: for its client it ends
        self._inner = writer.transport.get_protocol()
        writer.transport.set_protocol(self)
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.end)
        self._forget = forget

    def go_on(self, server: Server) -> tuple[StreamReader, StreamWriter] | None:
        """What it is read from and written to, as `server` from now on; None if it has just ended."""
        self._timer.cancel()
        if self._writer.transport.is_closing() or has_news(self._writer):
            self.end()
            return None
        vars(server).update(self._known, **{_TLS: self._tls})
        self._writer.transport.set_protocol(self._inner)
        return self._reader, self._writer

    def end(self) -> None:
        """Close it."""
        self._timer.cancel()
        self._writer.close()
        self._forget(self)

    def data_received(self, data: bytes) -> None:
        """Nobody has asked for anything."""
        self.end()

    def eof_received(self) -> None:
        """The cluster needs it no more."""
        self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Those who wait for its end are told."""
        self.end()
        self._inner.connection_lost(exc)


class Left:
    """Stands for the writer, and the transport, of a connection that was taken out of a client's hands.

    It is not closed with what else was the client's, and as closed to whoever was there.
    """

    @property
    def transport(self) -> Left:
        """There is none."""
        return self

    def close(self) -> None:
        """Not by whoever left it."""

    def is_closing(self) -> bool:
        """Nothing can be written."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes that wait."""
        return 0

    async def drain(self) -> None:
        """Nothing waits."""


class IdleConnections[Key]:
    """Those of one worker, each for one key. For one event loop."""

    def __init__(self) -> None:
        self._idle: dict[Idle, Key] = {}

    def keep(self, key: Key, connection: Connection, io: ConnectionIO) -> None:
        """Take it out of its client's hands, if it may be used again."""
        if not isinstance(connection, Server) or not _is_clean(connection, io):
            return
        reader, writer = io.reader, io.writer
        assert isinstance(reader, Reading) and isinstance(writer, StreamWriter)  # _is_clean
        idle = Idle(connection, reader.release(), writer, self._forget)
        io.writer = cast(StreamWriter, Left())
        if len(self._idle) >= MOST:
            next(iter(self._idle)).end()
        self._idle[idle] = key

    def take(self, key: Key, server: Server) -> tuple[StreamReader, StreamWriter] | None:
        """The one that was used last, as `server` from now on; None without one."""
        for idle in [idle for idle, its in reversed(self._idle.items()) if its == key]:
            self._forget(idle)
            if (streams := idle.go_on(server)) is not None:
                return streams
        return None

    def close(self) -> None:
        """End them all."""
        for idle in list(self._idle):
            idle.end()

    def _forget(self, idle: Idle) -> None:
        self._idle.pop(idle, None)


def _is_clean(server: Server, io: ConnectionIO) -> bool:
    """Whether nothing is under way on it, nothing was left behind, and whoever uses it next would see it as new."""
    layer: Any = vars(server).get(_LAYER)
    if layer is None or not isinstance(io.reader, Reading) or not isinstance(io.writer, StreamWriter):
        return False
    client = layer.child_layer.child_layer if isinstance(layer.child_layer, HttpClient) else None
    transport: Any = io.writer.transport
    return (
        server.state is ConnectionState.OPEN
        and time.time() - (server.timestamp_start or 0) < MAX_AGE_SECONDS
        and layer.tunnel_state is TunnelState.OPEN
        and not layer.tls.pending()
        and isinstance(client, Http1Client)
        and client.state == client.read_headers
        and client.request is None
        and not client.buf
        and transport.is_reading()
        and not transport.is_closing()
        and transport.get_write_buffer_size() == 0
    )


def has_news(writer: StreamWriter) -> bool:
    """Whether something came, its end for example, that the loop has not told of yet."""
    look = select.poll()
    look.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(look.poll(0))
