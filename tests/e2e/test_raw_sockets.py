"""Raw bytes against the whole gateway process: nothing that is not HTTP in TLS in a registered tunnel gets anywhere.

The full list, against the perimeter alone, is in tests/test_perimeter.py; here it is the real process and cluster.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.conftest import Gateways
from tests.e2e.wiretap import Wiretap, wiretap
from tests.support.proxy import everything

QUIET_SECONDS = 0.5


@pytest.fixture(scope="module")
def wire(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretap]:
    with wiretap(cluster, tmp_path_factory.mktemp("wire")) as tap:
        yield tap


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    return gateways.start("raw", wire.upstream)


@pytest.fixture(scope="module")
def token(mint: Callable[..., str]) -> str:
    return mint("raw", groups=["agents"])


@contextmanager
def proxy(gateway: GatewayEnv) -> Iterator[socket.socket]:
    address = urlsplit(gateway.gateway_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield raw


def connect(raw: socket.socket, target: str) -> bytes:
    """The answer to CONNECT."""
    raw.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and (byte := raw.recv(1)):
        answer += byte
    return answer


def target(gateway: GatewayEnv) -> str:
    return urlsplit(gateway.api_url).netloc


@contextmanager
def tunnel(gateway: GatewayEnv) -> Iterator[ssl.SSLSocket]:
    """TLS inside a tunnel to the cluster; only the gateway's certificate is accepted."""
    context = ssl.create_default_context(cafile=gateway.gateway_ca)
    with proxy(gateway) as raw:
        assert b" 200 " in connect(raw, target(gateway))
        with context.wrap_socket(raw, server_hostname=urlsplit(gateway.api_url).hostname) as tls:
            yield tls


def request(gateway: GatewayEnv, token: str, path: str = "/api/v1/namespaces") -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {target(gateway)}", f"Authorization: Bearer {token}", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@pytest.mark.parametrize("at", [1, 2, 3, 4, 10])
def test_b01_a_split_request_line_is_gated_like_any_other(at: int, gateway: GatewayEnv, token: str) -> None:
    for secret, wanted in [(token, 200), ("", 401)]:
        whole = request(gateway, secret)
        with tunnel(gateway) as tls:
            tls.sendall(whole[:at])
            tls.sendall(whole[at:])
            assert status_of(everything(tls)) == wanted


@pytest.mark.parametrize(
    "start",
    [
        b"GET\t/api/v1/secrets HTTP/1.1\r\nHost: a\r\n\r\n",
        b"2GET /api/v1/secrets HTTP/1.1\r\n\r\n",
        b"\x00\x01\x02\x03\x04\x05\x06\x07",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64,
        b"CONNECT 127.0.0.1:2379 HTTP/1.1\r\nHost: 127.0.0.1:2379\r\n\r\n",
    ],
    ids=["tab", "digit", "binary", "ssh", "h2 prior knowledge", "nested CONNECT"],
)
def test_b01_what_is_not_http_goes_nowhere(start: bytes, gateway: GatewayEnv, wire: Wiretap) -> None:
    mark, connections = wire.mark(), wire.connections
    with tunnel(gateway) as tls:
        tls.sendall(start)
        assert status_of(everything(tls, QUIET_SECONDS)) not in (101, 200)
    assert (wire.since(mark), wire.connections) == (b"", connections)


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n\r\n", b"\x16G", b"\x16\x03", b"\x00" * 16])
def test_b02_a_tunnel_without_tls_goes_nowhere(start: bytes, gateway: GatewayEnv, wire: Wiretap) -> None:
    connections = wire.connections
    with proxy(gateway) as raw:
        assert b" 200 " in connect(raw, target(gateway))
        raw.sendall(start)
        assert everything(raw, QUIET_SECONDS) == b""
    assert wire.connections == connections


@pytest.mark.parametrize("at", [1, 2, 5])
def test_b02_a_split_client_hello_meets_the_gateways_certificate(at: int, gateway: GatewayEnv, token: str) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=gateway.gateway_ca)
    tls = context.wrap_bio(incoming, outgoing, server_hostname=urlsplit(gateway.api_url).hostname)
    with proxy(gateway) as raw:
        assert b" 200 " in connect(raw, target(gateway))
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        raw.sendall(hello[:at])
        raw.sendall(hello[at:])
        while tls.version() is None or not tls.getpeercert():
            incoming.write(raw.recv(65536))
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
        raw.sendall(outgoing.read())
        tls.write(request(gateway, token))
        raw.sendall(outgoing.read())
        incoming.write(raw.recv(65536))
        assert status_of(_read(tls, incoming, raw)) == 200


def _read(tls: ssl.SSLObject, incoming: ssl.MemoryBIO, raw: socket.socket) -> bytes:
    while True:
        try:
            return tls.read(65536)
        except ssl.SSLWantReadError:
            incoming.write(raw.recv(65536))


ELSEWHERE = [
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "sts.amazonaws.com:443",
    "api.cluster.test:2379",
    "x.api.cluster.test:443",
    "localhost:53",
]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_b03_a_tunnel_to_anything_else_is_refused(elsewhere: str, gateway: GatewayEnv) -> None:
    with proxy(gateway) as raw:
        assert connect(raw, elsewhere).startswith(b"HTTP/1.1 403 Forbidden: not a cluster registered")


def test_b03_not_even_to_the_clusters_own_processes(gateway: GatewayEnv, cluster: Cluster) -> None:
    for url in (cluster.api_url, cluster.sts_endpoint_url, cluster.oidc_issuer, gateway.gateway_url):
        with proxy(gateway) as raw:
            assert status_of(connect(raw, urlsplit(url).netloc)) == 403, url


@pytest.mark.parametrize("form", ["http://{target}/api", "https://{target}/api", "/api"])
def test_b04_a_request_without_a_tunnel_is_refused(form: str, gateway: GatewayEnv, token: str, wire: Wiretap) -> None:
    connections = wire.connections
    with proxy(gateway) as raw:
        path = form.format(target=target(gateway))
        raw.sendall(request(gateway, token, path))
        answer = everything(raw)
    assert status_of(answer) in (400, 403)
    assert wire.connections == connections


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/namespaces/default%2fsecrets", 400),
        ("//api/v1/secrets", 400),
        ("/api/v1/../v1/secrets", 400),
        ("/api/v1/namespaces/default/%2e%2e/secrets", 400),
        ("/api/v1/namespaces/default/secrets%00", 400),
        ("/api/v1/nodes/node-1/proxy/metrics", 403),
        ("/apis/unknown.example/v1/things", 403),
        ("/metrics", 403),
    ],
)
def test_paths_that_two_could_read_differently_are_refused(
    path: str, code: int, gateway: GatewayEnv, token: str, wire: Wiretap
) -> None:
    mark = wire.mark()
    with tunnel(gateway) as tls:
        tls.sendall(request(gateway, token, path))
        answer = everything(tls)
    assert status_of(answer) == code, answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["kind"] == "Status"
    assert path.encode() not in wire.since(mark)
