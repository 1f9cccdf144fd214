"""The clusters below the gateway's own address: for clients that know no proxy, on the listener that speaks TLS.

The name in the path decides, and for all of a client's connection: what the gates know of a cluster, they know by that.
From here on such a request is what it would be inside a tunnel.
"""

from __future__ import annotations

from mitmproxy.http import HTTPFlow

from addons.connections import Connections
from addons.core.cluster_path import split
from addons.core.headers import authority
from addons.core.refusal import Refusal


def enter(flow: HTTPFlow, connections: Connections) -> Refusal | None:
    """Lead a request that is in no tunnel to the cluster that its path names; why not, if it must not be."""
    client, request = flow.client_conn, flow.request
    found = split(request.path)
    if not client.tls or request.scheme != "https" or found is None:
        return NO_TUNNEL
    if len(request.headers.get_all("host")) != 1:
        return _AMBIGUOUS
    name, target = found
    connection = connections.get(client) if connections.has_entered(client) else connections.enter(client, name)
    if connection is None:
        return _UNKNOWN
    if connection.name != name:
        return _ANOTHER
    request.host, request.port = connection.address
    request.headers["Host"] = authority(connection.host, connection.port)
    request.path = target
    return None


NO_TUNNEL = Refusal(
    code=403,
    rule="no-tunnel",
    why="requests are only accepted inside a CONNECT tunnel to a registered cluster, or in TLS below /clusters/NAME",
    hint="set HTTPS_PROXY to the gateway and use the cluster's https:// address",
)
_AMBIGUOUS = Refusal(
    code=400, rule="ambiguous-header", why="header host does not occur once", hint="let the client set Host"
)
_UNKNOWN = Refusal(
    code=404,
    rule="unknown-cluster",
    why="the path names no cluster registered with this gateway",
    hint="ask the people who run the gateway for a kubeconfig",
)
_ANOTHER = Refusal(
    code=421,
    rule="misdirected",
    why="the path names another cluster than the first request of this connection did",
    hint="use one connection per cluster",
    retry="yes, on a new connection",
)
