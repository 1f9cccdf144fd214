"""Whose connections to a cluster go on when a client has left: those of one session, for that session (see `idle`).

A client that speaks for several sessions, or HTTP/2, leaves none and is given none. If it was given one before it spoke
for another session, that one ends first.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client, Connection, Server
from mitmproxy.http import HTTPFlow
from mitmproxy.proxy.server import ConnectionIO

from addons.connections import Connections
from addons.core.connection import Connection as Cluster
from addons.exchange import exchange_of, need
from addons.idle import IdleConnections
from addons.refusal import settled

_SEVERAL = ""
_END = "chaperone_end_of_what_goes_on"
"""Of a client that goes on with a connection: ends it."""


class Reuse:
    """`connections` says which cluster a client's connection leads to."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._idle: IdleConnections[tuple[Cluster, str]] = IdleConnections()
        self._sessions: WeakKeyDictionary[Client, str] = WeakKeyDictionary()

    def request(self, flow: HTTPFlow) -> None:
        """Note whose it is, before it is forwarded."""
        if not settled(flow):
            session = need(exchange_of(flow).session, "session").id
            if self._sessions.setdefault(flow.client_conn, session) != session:
                self._sessions[flow.client_conn] = _SEVERAL
                vars(flow.client_conn).pop(_END, lambda: None)()

    def done(self) -> None:
        """The gateway stops."""
        self._idle.close()

    def take(self, client: Client, server: Server, end: Callable[[], None]) -> tuple[StreamReader, StreamWriter] | None:
        """An idle connection for a client, as `server` from now on, which `end` closes; None without one."""
        key = self._key(client)
        streams = None if key is None else self._idle.take(key, server)
        if streams is not None:
            vars(client)[_END] = end
        return streams

    def keep(self, client: Client, connection: Connection, io: ConnectionIO) -> None:
        """Keep one of a client that has left, if it may be used again."""
        if (key := self._key(client)) is not None:
            self._idle.keep(key, connection, io)

    def _key(self, client: Client) -> tuple[Cluster, str] | None:
        """The cluster as it was when the client came, as long as it is still registered so, and the session."""
        cluster, session = self._connections.get(client), self._sessions.get(client, _SEVERAL)
        if cluster is None or session == _SEVERAL or client.alpn == b"h2" or cluster != self._connections.of(client):
            return None
        return cluster, session
