"""Which protocols may be spoken: the proxy's own HTTP, TLS inside a tunnel, HTTP inside TLS. Nothing else, ever.

Where the listener speaks TLS, the proxy's own HTTP is inside of that. mitmproxy's own choice falls back to raw TCP when
it cannot tell, which lets a client that splits its first bytes tunnel past every gate (B-01, B-02); it is never asked.
"""

from __future__ import annotations

from mitmproxy.exceptions import AddonHalt
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, HttpLayer, modes
from mitmproxy.proxy.layers.http import HTTPMode

_TLS_START = b"\x16\x03"


class HttpsProxy(modes.HttpProxy):
    """The outermost layer of a connection to the listener that speaks TLS."""


class Refuse(layer.Layer):
    """Closes the client's connection instead of speaking to it."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.CloseConnection(self.context.client)


def in_tunnel(context: Context) -> bool:
    """False for what a client and the gateway itself say to each other: the proxy's HTTP, and TLS around it."""
    return any(isinstance(outer, HttpLayer) for outer in context.layers)


def next_layer_of(data: layer.NextLayer) -> layer.Layer:
    """The proxy's own HTTP first, then TLS inside the tunnel, then HTTP inside TLS; anything else is refused.

    Raises AddonHalt while too few bytes are there to tell: asked again when more arrive.
    """
    context = data.context
    outermost, *_ = context.layers
    first = [ClientTLSLayer] if isinstance(outermost, HttpsProxy) else []
    spoken = [type(outer) for outer in context.layers if isinstance(outer, ClientTLSLayer | HttpLayer)]
    if not isinstance(outermost, modes.HttpProxy):
        return Refuse(context)
    if spoken == first:
        return HttpLayer(context, HTTPMode.regular)
    if spoken == [*first, HttpLayer, ClientTLSLayer]:
        return HttpLayer(context, HTTPMode.transparent)
    return _tls(context, data.data_client()) if spoken in ([], [*first, HttpLayer]) else Refuse(context)


def _tls(context: Context, first_bytes: bytes) -> layer.Layer:
    if len(first_bytes) < 3 and _TLS_START.startswith(first_bytes[:2]):
        raise AddonHalt
    if not starts_like_tls_record(first_bytes):
        return Refuse(context)
    context.server.tls = in_tunnel(context)  # the cluster's end: HTTP opens it, in a layer of its own, for a request
    return ClientTLSLayer(context)
