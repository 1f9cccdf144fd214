"""Both TLS ends of a tunnel: the gateway's certificate towards the agent, the cluster's own CA towards the cluster.

And, where the listener itself speaks TLS, the end around the proxy's own HTTP, with the certificate of the gateway.

The cluster is chosen by the CONNECT target alone; the agent's SNI decides nothing (B-05). No client certificate is ever
offered upstream (B-26): what slips through a broken stack is anonymous there.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mitmproxy.net import tls as net_tls
from mitmproxy.tls import TlsData
from OpenSSL import SSL

from addons.connections import Connections
from addons.edge.authority import Authority, Leaf
from addons.exchange import need
from addons.tunnel import in_tunnel

# pyOpenSSL has no call of its own for name verification; this is the library beneath it.
_openssl: Any = SSL._lib  # type: ignore[attr-defined]
_HOST_FLAGS = _openssl.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | _openssl.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
_HTTP1 = b"http/1.1"


class Tls:
    """Gives mitmproxy the OpenSSL connection for each end; without one, mitmproxy closes the connection.

    `own` gives the certificate of the listener that speaks TLS, if there is one, and the same as long as it holds.
    """

    def __init__(
        self,
        connections: Connections,
        authority: Authority,
        now: Callable[[], float],
        http2: bool,
        own: Callable[[float], Leaf] | None = None,
    ) -> None:
        self._connections, self._authority, self._now, self._own = connections, authority, now, own
        self._protocols = (b"h2", _HTTP1) if http2 else (_HTTP1,)
        self._own_context = lru_cache(maxsize=2)(lambda leaf: _server_context(leaf, (_HTTP1,)))
        self._server_context = lru_cache(maxsize=1024)(self._make_server_context)

    def tls_start_client(self, data: TlsData) -> None:
        """Towards the agent: a certificate for the name it dialled."""
        if in_tunnel(data.context):
            connection = self._connections.of(data.context.client)
            context = self._server_context(connection.host, int(self._now() // 86400))
        else:
            context = self._own_context(need(self._own, "the listener's certificate")(self._now()))
        ssl = SSL.Connection(context)
        ssl.set_accept_state()
        data.ssl_conn = ssl

    def tls_start_server(self, data: TlsData) -> None:
        """Towards the cluster: its CA and its name, nothing else."""
        connection = self._connections.of(data.context.client)
        data.conn.sni = connection.server_name
        data.conn.alpn_offers = (b"h2",) if data.context.client.alpn == b"h2" else (_HTTP1,)
        ssl = SSL.Connection(_client_context(connection.ca_file))
        _verify_name(ssl, connection.server_name)
        ssl.set_alpn_protos(list(data.conn.alpn_offers))
        ssl.set_connect_state()
        data.ssl_conn = ssl

    def _make_server_context(self, host: str, day: int) -> SSL.Context:
        """One per host and day; `day` (since 1970) is the cache's clock and makes the certificate renew itself."""
        leaf = self._authority.leaf(host, datetime.datetime.fromtimestamp(day * 86400, datetime.UTC))
        return _server_context(leaf, self._protocols)


def _server_context(leaf: Leaf, protocols: tuple[bytes, ...]) -> SSL.Context:
    def select(_: SSL.Connection, offered: list[bytes]) -> Any:
        return next((name for name in protocols if name in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(net_tls.DEFAULT_OPTIONS)
    context.use_certificate(leaf.certificate)
    for certificate in leaf.between:
        context.add_extra_chain_cert(certificate)
    context.use_privatekey(leaf.key)
    context.set_alpn_select_callback(select)
    return context


@lru_cache(maxsize=1024)
def _client_context(ca_file: str) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_PEER)
    context.load_verify_locations(ca_file)
    return context


def _verify_name(ssl: SSL.Connection, server_name: str) -> None:
    parameters = _openssl.SSL_get0_param(ssl._ssl)
    _openssl.X509_VERIFY_PARAM_set_hostflags(parameters, _HOST_FLAGS)
    try:
        packed = ipaddress.ip_address(server_name).packed
    except ValueError:
        name = server_name.encode("idna")
        ssl.set_tlsext_host_name(name)
        accepted = _openssl.X509_VERIFY_PARAM_set1_host(parameters, name, len(name))
    else:
        accepted = _openssl.X509_VERIFY_PARAM_set1_ip(parameters, packed, len(packed))
    if accepted != 1:
        raise ValueError(f"OpenSSL refused to verify the name {server_name}")
