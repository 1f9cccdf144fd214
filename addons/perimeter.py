"""The outer wall: only registered clusters, only TLS with HTTP inside, no header that asserts an identity or a route.

It begins the exchange of every request, and keeps which cluster each client connection was opened to: the CONNECT
target, never a Host header or SNI. Inside a tunnel nothing but HTTP is ever spoken: mitmproxy's own choice of protocol,
which falls back to raw TCP, is never asked (B-01, B-02).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from weakref import WeakKeyDictionary

from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.exceptions import AddonHalt
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer, ServerTLSLayer, modes
from mitmproxy.proxy.layers.http import HTTPMode

from addons.core.connection import Connection
from addons.core.headers import ForbiddenHeader, host_matches, intent_of, scrub_request_headers
from addons.core.refusal import Refusal
from addons.exchange import IncompleteExchange, begin
from addons.refusal import refuse, settled

_TLS_START = b"\x16\x03"


class Connections:
    """The registered clusters, and the one each live client connection was opened to."""

    def __init__(self, connections: Mapping[tuple[str, int], Connection]) -> None:
        self._registered = connections
        self._opened: WeakKeyDictionary[Client, Connection] = WeakKeyDictionary()

    def open(self, client: Client, host: str, port: int) -> Connection | None:
        """Bind a client connection to the cluster registered under a CONNECT target; None when there is none."""
        connection = self._registered.get((host.lower(), port))
        if connection is not None:
            self._opened[client] = connection
        return connection

    def of(self, client: Client) -> Connection:
        """The cluster of a client connection. Raises IncompleteExchange outside of a tunnel."""
        try:
            return self._opened[client]
        except KeyError:
            raise IncompleteExchange("the client has not opened a tunnel to a registered cluster") from None

    def get(self, client: Client) -> Connection | None:
        """As `of`, None outside of a tunnel."""
        return self._opened.get(client)


class Perimeter:
    """First in the stack."""

    def __init__(self, connections: Connections, now: Callable[[], float], request_bytes: int) -> None:
        self._connections, self._now, self._limit = connections, now, request_bytes

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse before dialling; agents see only the reason phrase of this answer, so it names the remedy."""
        connection = self._connections.open(flow.client_conn, flow.request.host, flow.request.port)
        if connection is None:
            flow.response = http.Response.make(403)
            flow.response.reason = "Forbidden: not a cluster registered with this Chaperone gateway"
            return
        flow.request.host, flow.request.port = connection.address

    def next_layer(self, data: layer.NextLayer) -> None:
        """Decide every protocol ourselves."""
        data.layer = _next_layer(data)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Begin the exchange, or refuse what cannot be one."""
        exchange = begin(flow, self._now())
        exchange.connection = self._connections.get(flow.client_conn)
        if flow.error:
            return
        if (refusal := self._outside(flow, exchange.connection)) is not None:
            refuse(flow, refusal)
            return
        fields = flow.request.headers.fields
        exchange.intent = intent_of(fields)
        try:
            flow.request.headers.fields = scrub_request_headers(fields)
        except ForbiddenHeader as error:
            refuse(flow, Refusal(code=400, rule="ambiguous-header", why=str(error), hint="send it once, in ASCII"))

    def request(self, flow: http.HTTPFlow) -> None:
        """Trailers come after the headers were judged: none is accepted. A chunked body shows its size only now."""
        if settled(flow):
            return
        if flow.request.trailers:
            refuse(flow, Refusal(code=400, rule="trailers", why="request trailers are not accepted"))
        elif len(flow.request.raw_content or b"") > self._limit:
            refuse(flow, _too_large(self._limit))

    def _outside(self, flow: http.HTTPFlow, connection: Connection | None) -> Refusal | None:
        """Why a request is not one of an agent inside its tunnel (B-04, B-05), None when it is."""
        if connection is None or flow.request.scheme != "https" or flow.is_replay or not flow.live:
            return _NO_TUNNEL
        if not host_matches(flow.request.host_header or "", connection.host, connection.port):
            return _MISDIRECTED
        length = flow.request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._limit:
            return _too_large(self._limit)
        return None


_NO_TUNNEL = Refusal(
    code=403,
    rule="no-tunnel",
    why="requests are only accepted inside a CONNECT tunnel to a registered cluster",
    hint="set HTTPS_PROXY to the gateway and use the cluster's https:// address",
)
_MISDIRECTED = Refusal(
    code=421,
    rule="misdirected",
    why="the Host header does not name the cluster this tunnel was opened to",
    hint="use one tunnel per cluster and let the client set Host",
)


def _too_large(limit: int) -> Refusal:
    why = f"the body is larger than the {limit} bytes this gateway inspects"
    return Refusal(code=413, rule="too-large", why=why, hint="send smaller objects, or several requests")


class Refuse(layer.Layer):
    """Closes the client's connection instead of speaking to it."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


def _next_layer(data: layer.NextLayer) -> layer.Layer:
    """The proxy's own HTTP first, then TLS inside the tunnel, then HTTP inside TLS; anything else is refused.

    Raises AddonHalt while too few bytes are there to tell: asked again when more arrive.
    """
    context = data.context
    if not isinstance(context.layers[0], modes.HttpProxy):
        return Refuse(context)
    if len(context.layers) == 1:
        return HttpLayer(context, HTTPMode.regular)
    if any(isinstance(outer, ClientTLSLayer) for outer in context.layers):
        return HttpLayer(context, HTTPMode.transparent)
    return _tunnel(context, data.data_client())


def _tunnel(context: Context, first_bytes: bytes) -> layer.Layer:
    if len(first_bytes) < 3 and _TLS_START.startswith(first_bytes[:2]):
        raise AddonHalt
    if not starts_like_tls_record(first_bytes):
        return Refuse(context)
    server = ServerTLSLayer(context)
    server.child_layer = ClientTLSLayer(context)
    return server
