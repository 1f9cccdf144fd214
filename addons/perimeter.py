"""The outer wall: only registered clusters, in a tunnel or by path, no header that asserts an identity or a route.

It begins the exchange of every request. Everything a caller says about who it is or where it comes from is removed
here; its bearer token is left for `authentication`, which removes it. A token that comes with the CONNECT goes at once.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from mitmproxy import http
from mitmproxy.proxy import layer

from addons.by_path import NO_TUNNEL, enter
from addons.connections import Connections
from addons.core.authorization import take_proxy_authorization
from addons.core.claims import RejectedToken
from addons.core.connection import Connection
from addons.core.headers import ForbiddenHeader, host_matches, intent_of, scrub_request_headers
from addons.core.refusal import Refusal
from addons.core.secret import Secret
from addons.core.token import tunnel_token
from addons.exchange import begin
from addons.policy import Policy
from addons.refusal import refuse, settled
from addons.tunnel import next_layer_of

log = structlog.get_logger()


class Perimeter:
    """First in the stack. `policy` gives the one in force, which the exchange keeps to its end."""

    name = "nextlayer"  # it takes the place of mitmproxy's addon of this name

    def __init__(
        self,
        connections: Connections,
        policy: Callable[[], Policy | None],
        now: Callable[[], float],
        request_bytes: int,
    ) -> None:
        self._connections, self._policy, self._now, self._limit = connections, policy, now, request_bytes

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Refuse before dialling; agents see only the reason phrase of this answer, so it names the remedy."""
        try:
            token = tunnel_token(_take_proxy_authorization(flow))
        except RejectedToken as error:
            _refuse_tunnel(flow, 407, f"Proxy Authentication Required: {error}")
            return
        if self._connections.has_entered(flow.client_conn):
            _refuse_tunnel(flow, 403, "Forbidden: this connection leads to a cluster already, open another")
            return
        secret = None if token is None else Secret(token)
        connection = self._connections.open(flow.client_conn, flow.request.host, flow.request.port, secret)
        if connection is None:
            _refuse_tunnel(flow, 403, "Forbidden: not a cluster registered with this Chaperone gateway")
            return
        flow.request.host, flow.request.port = connection.address

    def next_layer(self, data: layer.NextLayer) -> None:
        """Decide every protocol ourselves."""
        data.layer = next_layer_of(data)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Begin the exchange, or refuse what cannot be one."""
        _take_proxy_authorization(flow)  # first: refused requests lose it too
        exchange, client = begin(flow, self._now(), self._policy()), flow.client_conn
        refusal = None if flow.error or self._connections.has_tunnel(client) else enter(flow, self._connections)
        exchange.connection = self._connections.get(client)
        exchange.tunnel_token = self._connections.token(client)
        if flow.error:
            return
        if (refusal := refusal or self._outside(flow, exchange.connection)) is not None:
            refuse(flow, refusal)
            return
        fields = flow.request.headers.fields
        exchange.intent = intent_of(fields)
        if not flow.request.is_http2:
            flow.request.authority = ""  # sent on in origin form: one name of the server, that of the Host header
        try:
            flow.request.headers.fields = scrub_request_headers(fields)
        except ForbiddenHeader as error:
            refuse(flow, Refusal(code=400, rule="ambiguous-header", why=str(error), hint="send it once, in ASCII"))

    def request(self, flow: http.HTTPFlow) -> None:
        """Trailers come after the headers were judged: none is accepted. A body has the length that is said."""
        if settled(flow):
            return
        body = flow.request.raw_content or b""
        if body and flow.request.is_http2:  # which needs no length, but what goes on may be HTTP/1
            flow.request.headers.setdefault("content-length", str(len(body)))
        if flow.request.trailers:
            refuse(flow, Refusal(code=400, rule="trailers", why="request trailers are not accepted"))
        elif flow.request.headers.get("content-length", str(len(body))) != str(len(body)):
            refuse(flow, Refusal(code=400, rule="wrong-length", why="the body is not as long as its Content-Length"))

    def _outside(self, flow: http.HTTPFlow, connection: Connection | None) -> Refusal | None:
        """Why a request is not one of an agent inside its tunnel (B-04, B-05), None when it is."""
        if connection is None or flow.request.scheme != "https" or flow.is_replay or not flow.live:
            return NO_TUNNEL
        if not _addressed_to(connection, flow.request):
            return _MISDIRECTED
        length = flow.request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._limit:
            return _too_large(self._limit)
        return None


def _take_proxy_authorization(flow: http.HTTPFlow) -> list[str]:
    """What was there."""
    headers = flow.request.headers
    headers.fields, values = take_proxy_authorization(headers.fields)
    return values


def _refuse_tunnel(flow: http.HTTPFlow, code: int, reason: str) -> None:
    target = f"{flow.request.host}:{flow.request.port}"
    log.warning("tunnel refused", target=target, client=flow.client_conn.peername, code=code)
    flow.response = http.Response.make(code, headers=_CHALLENGE if code == 407 else ())
    flow.response.reason = reason


def _addressed_to(connection: Connection, request: http.Request) -> bool:
    """True if every name that a request gives its server, and there is one, is that of the tunnel.

    Besides Host that is the authority, of HTTP/2 or of a target in absolute form (RFC 9112, section 3.2.2).
    """
    names = [name for name in (request.headers.get("host"), request.authority or None) if name is not None]
    return bool(names) and all(host_matches(name, connection.host, connection.port) for name in names)


_CHALLENGE = ((b"proxy-authenticate", b'Basic realm="chaperone"'),)
_MISDIRECTED = Refusal(
    code=421,
    rule="misdirected",
    why="the request names another server than the cluster this tunnel was opened to",
    hint="use one tunnel per cluster and let the client set Host",
)


def _too_large(limit: int) -> Refusal:
    why = f"the body is larger than the {limit} bytes this gateway inspects"
    return Refusal(code=413, rule="too-large", why=why, hint="send smaller objects, or several requests")
