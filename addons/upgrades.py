"""Which protocols a connection may change to: only such as can be read, and only what was asked for.

It offers the server what can be read here, and gives the 101 that comes back its `Wire`; mitmproxy then hands the
connection to `upgrade_layer`. What no wire can be found for is withheld.
"""

from __future__ import annotations

from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketData

from addons.core.channels import UnknownProtocol
from addons.core.refusal import Refusal
from addons.core.wires import SPDY_PROTOCOL, WEBSOCKET_PROTOCOL, offer, refuse_upgrade, wire_of
from addons.exchange import exchange_of, need
from addons.refusal import refuse, settled

_EXTENSIONS = "sec-websocket-extensions"


class Upgrades:
    """Its field of the exchange is `wire`."""

    def request(self, flow: HTTPFlow) -> None:
        """Ask only for protocols that can be read."""
        if settled(flow):
            return
        request, headers = need(exchange_of(flow).request, "request"), flow.request.headers
        if not request.upgrade:
            return
        if (refusal := refuse_upgrade(request)) is not None:
            refuse(flow, refusal)
            return
        headers.pop(_EXTENSIONS, None)
        name = SPDY_PROTOCOL if request.upgrade == "spdy" else WEBSOCKET_PROTOCOL
        try:
            offered = offer(request, headers.get(name, ""))
        except UnknownProtocol as error:
            why, hint = str(error), "use kubectl, or offer v5.channel.k8s.io or v4.channel.k8s.io"
            refuse(flow, Refusal(code=403, rule="upgrade-not-recorded", why=why, hint=hint))
            return
        if offered:  # old servers do not split a list
            headers.set_all(name, offered if request.upgrade == "spdy" else [", ".join(offered)])

    def response(self, flow: HTTPFlow) -> None:
        """Find the wire of a 101. Raises UnknownProtocol: what cannot be read is withheld."""
        response, exchange = need(flow.response, "response"), exchange_of(flow)
        if response.status_code != 101 or flow.error is not None:
            return
        exchange.wire = wire_of(need(exchange.request, "request"), response.headers)
        if flow.websocket is None:  # SPDY: mitmproxy takes the connection for a WebSocket from here on
            flow.websocket = WebSocketData()
