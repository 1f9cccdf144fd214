"""A server in place of the cluster, which answers as no API server would."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from scripts.devenv.certificates import Authority
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_conf import AGENT_HOST, Upstream
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.gateways import start


@contextmanager
def before_a_pretender(cluster: Cluster, folder: Path, answer: bytes) -> Iterator[GatewayEnv]:
    """A gateway whose cluster answers every request with these bytes, and closes.

    It is none of the session's: what it forwards is in no audit log.
    """
    authority = Authority(folder / "pki")
    pair = authority.issue("pretender", "pretender", hosts=[AGENT_HOST])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, context, answer), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        upstream = replace(Upstream.of(cluster), address=address, ca_file=str(authority.pair.certificate))
        gateway = start(replace(upstream, profile="observe"), folder / "gateway", rules=None)
        try:
            yield gateway
        finally:
            gateway.stop()
            server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, context: ssl.SSLContext, answer: bytes) -> None:
    while True:
        try:
            raw = server.accept()[0]
        except OSError:
            return
        with suppress(OSError), raw, context.wrap_socket(raw, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(answer)
