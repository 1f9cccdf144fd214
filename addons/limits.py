"""How many clients there may be, and how long they may take: who dawdles holds a connection for a minute, not a day.

Waiting for a reply or an approval, watching and sessions have no limit here; between two requests, and until a request
is whole, there is one. The API server has similar ones (its 32 s for a head, 60 s for a request, 90 s between two).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons.exchange import need
from addons.refusal import Disconnect

log = structlog.get_logger()
FIRST_SECONDS = 30.0
"""From the connection to the first request in its tunnel, TLS included."""
REQUEST_SECONDS = 60.0
"""From the head of a request to the end of its body."""
IDLE_SECONDS = 120.0
"""Between two requests; longer than clients keep a connection that they do not use."""
LOOK_SECONDS = 1.0


class Limits:
    """`monotonic` gives seconds that never jump."""

    def __init__(self, max_clients: int, monotonic: Callable[[], float], disconnect: Disconnect) -> None:
        self._max_clients, self._monotonic, self._disconnect = max_clients, monotonic, disconnect
        self._due: dict[Client, float] = {}
        """When a client must have sent something whole; absent while it waits for us."""
        self._busy: dict[Client, set[str]] = {}

    def client_connected(self, client: Client) -> None:
        """Close the connection of one too many."""
        if len(self._busy) >= self._max_clients:
            client.error = "too many connections"
            log.warning("connection refused: too many are open", client=client.peername, open=len(self._busy))
            return
        if not self._busy:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        self._busy[client] = set()
        self._due[client] = self._monotonic() + FIRST_SECONDS

    def client_disconnected(self, client: Client) -> None:
        """Make room."""
        self._busy.pop(client, None)
        self._due.pop(client, None)

    def requestheaders(self, flow: HTTPFlow) -> None:
        """The rest of the request is due."""
        self._busy.setdefault(flow.client_conn, set()).add(flow.id)
        self._due[flow.client_conn] = self._monotonic() + REQUEST_SECONDS

    def request(self, flow: HTTPFlow) -> None:
        """Now it is our turn."""
        self._due.pop(flow.client_conn, None)

    def response(self, flow: HTTPFlow) -> None:
        """The next request is due; an upgraded connection has none."""
        if need(flow.response, "response").status_code != 101:
            self.error(flow)

    def error(self, flow: HTTPFlow) -> None:
        """The next request is due, unless another one of this connection is under way."""
        busy = self._busy.get(flow.client_conn)
        if busy is not None:
            busy.discard(flow.id)
            if not busy:
                self._due[flow.client_conn] = self._monotonic() + IDLE_SECONDS

    def _look(self) -> None:
        if self._busy:
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        now = self._monotonic()
        for client in [client for client, due in self._due.items() if due <= now]:
            del self._due[client]
            self._disconnect(client)
