"""Inside a tunnel, the HTTP of the proxy itself is left out: it only wraps each piece of the tunnel up and unwraps it.

For every piece that arrives, and every one that is sent, mitmproxy makes an HTTP event of the CONNECT request and finds
its stream, on the way down and up again. Once both ends know that the tunnel is open, what is inside of it is handed
events, and its commands taken, as those layers would do it; nothing in between waits for anything any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy.commands import CloseConnection, CloseTcpConnection, Command
from mitmproxy.proxy.events import Event
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server
from mitmproxy.proxy.layers.modes import HttpProxy

_connection: Any = Http1Connection
_make_pipe = _connection.make_pipe


def splice_tunnels() -> None:
    """Do so in every tunnel, for the life of the process."""
    _connection.make_pipe = _pipe


def _pipe(connection: Http1Connection) -> Iterator[Command]:
    """Called when the answer to a CONNECT, or an upgrade, is whole; what was read with it is in the tunnel already."""
    yield from _make_pipe(connection)
    request = connection.request
    if isinstance(connection, Http1Server) and request is not None and request.method == "CONNECT":
        http: Any = next(layer for layer in reversed(connection.context.layers) if isinstance(layer, HttpLayer))
        inside = http.streams[connection.stream_id].child_layer
        http._handle_event = straight = partial(through, connection.context.client, inside)
        if type(outermost := connection.context.layers[0]) is HttpProxy:  # not where it is in TLS itself
            cast(Any, outermost).handle_event = straight


def through(client: Client, inside: Layer, event: Event) -> Iterator[Command]:
    """What `HttpStream.passthrough` and `Http1Server` make of the layer inside a tunnel: connections close whole."""
    for command in inside.handle_event(event):
        if not isinstance(command, CloseConnection):
            yield command
        elif command.connection is not client:
            yield CloseConnection(command.connection) if isinstance(command, CloseTcpConnection) else command
        elif client.state & ConnectionState.CAN_WRITE:
            yield CloseConnection(client)
