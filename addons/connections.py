"""Which cluster a client connection leads to: the CONNECT target decides, never a Host header or SNI.

For a client that opens no tunnel it is the name in the path of its first request. With it is kept the token that came
with the CONNECT, for as long as the connection lasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client

from addons.core.connection import Connection
from addons.core.secret import Secret
from addons.exchange import IncompleteExchange


@dataclass(frozen=True, slots=True)
class _Opened:
    """A client connection that leads to a cluster."""

    connection: Connection
    token: Secret | None = None
    by_path: bool = False


class Connections:
    """The registered clusters, and the one that each live client connection leads to."""

    def __init__(self, connections: Mapping[tuple[str, int], Connection]) -> None:
        self._registered = connections
        self._opened: WeakKeyDictionary[Client, _Opened] = WeakKeyDictionary()

    @contextmanager
    def also(self, connection: Connection) -> Iterator[None]:
        """Register one more meanwhile: for the gateway's attacks on itself, before anybody else can connect."""
        registered = self._registered
        self._registered = {**registered, (connection.host, connection.port): connection}
        try:
            yield
        finally:
            self._registered = registered

    def replace(self, connections: Mapping[tuple[str, int], Connection]) -> None:
        """Register these instead. Tunnels to what is registered still go on, under what is said of it now."""
        self._registered = connections

    def open(self, client: Client, host: str, port: int, token: Secret | None = None) -> Connection | None:
        """Bind a client connection to the cluster registered under a CONNECT target; None when there is none.

        `token` is the one that came with it.
        """
        connection = self._registered.get((host.lower(), port))
        if connection is not None:
            self._opened[client] = _Opened(connection, token)
        return connection

    def enter(self, client: Client, name: str) -> Connection | None:
        """Bind a client connection that has no tunnel to the cluster of that name; None when there is none."""
        found = next((each for each in self._registered.values() if each.name == name), None)
        if found is not None:
            self._opened[client] = _Opened(found, by_path=True)
        return found

    def has_tunnel(self, client: Client) -> bool:
        """True from a CONNECT that was not refused on, whatever is registered now."""
        opened = self._opened.get(client)
        return opened is not None and not opened.by_path

    def has_entered(self, client: Client) -> bool:
        """True if it leads to a cluster without a tunnel."""
        opened = self._opened.get(client)
        return opened is not None and opened.by_path

    def of(self, client: Client) -> Connection:
        """The cluster a client connection was bound to. Raises IncompleteExchange before that."""
        try:
            return self._opened[client].connection
        except KeyError:
            raise IncompleteExchange("the client connection leads to no registered cluster") from None

    def get(self, client: Client) -> Connection | None:
        """The same as it is registered now: None before that, or when it is registered no more."""
        if (opened := self._opened.get(client)) is None:
            return None
        was = opened.connection
        connection = self._registered.get((was.host, was.port))
        return connection if connection is not None and connection.name == was.name else None

    def token(self, client: Client) -> Secret | None:
        """The token that a client's tunnel was opened with, not verified; None outside of one, or when none came."""
        opened = self._opened.get(client)
        return None if opened is None else opened.token
