"""Which cluster a client connection was opened to: the CONNECT target decides, never a Host header or SNI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client

from addons.core.connection import Connection
from addons.exchange import IncompleteExchange


class Connections:
    """The registered clusters, and the one each live client connection was opened to."""

    def __init__(self, connections: Mapping[tuple[str, int], Connection]) -> None:
        self._registered = connections
        self._opened: WeakKeyDictionary[Client, Connection] = WeakKeyDictionary()

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

    def open(self, client: Client, host: str, port: int) -> Connection | None:
        """Bind a client connection to the cluster registered under a CONNECT target; None when there is none."""
        connection = self._registered.get((host.lower(), port))
        if connection is not None:
            self._opened[client] = connection
        return connection

    def of(self, client: Client) -> Connection:
        """The cluster a client's tunnel was opened to. Raises IncompleteExchange outside of a tunnel."""
        try:
            return self._opened[client]
        except KeyError:
            raise IncompleteExchange("the client has not opened a tunnel to a registered cluster") from None

    def get(self, client: Client) -> Connection | None:
        """The same as it is registered now: None outside of a tunnel, or when it is registered no more."""
        opened = self._opened.get(client)
        if opened is None:
            return None
        connection = self._registered.get((opened.host, opened.port))
        return connection if connection is not None and connection.name == opened.name else None
