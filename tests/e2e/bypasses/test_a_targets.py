"""Section A, where to: only the registered clusters, only by the tunnel's own name, and no way past the gateway."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.raw import Answer, ask, connect, proxy, request, target, tunnel
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"


@dataclass
class Canary:
    """A port of this machine that nobody has any business with."""

    port: int
    visits: int = 0


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    """Counts whoever connects, over IPv4 and IPv6 alike."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        found = Canary(server.getsockname()[1])

        def count() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return
                found.visits += 1

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        yield found
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_b03_no_spelling_of_this_machine_is_dialled(
    host: str, gateway: GatewayEnv, canary: Canary, oracle: Oracle
) -> None:
    with proxy(gateway) as raw:
        assert connect(raw, f"{host}:{canary.port}").status in (400, 403)
    assert canary.visits == 0
    assert oracle.silent()


ELSEWHERE = [
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "169.254.170.23:80",
    "sts.amazonaws.com:443",
    "ABCDEF0123456789.gr7.us-east-1.eks.amazonaws.com:443",
    "kubernetes.default.svc:443",
    "10.96.0.1:443",
    "{host}:2379",
    "{host}:10250",
    "{host}:53",
    "{host}:443",
    "{host}.:{port}",
    "x.{host}:{port}",
    "{host}@169.254.169.254:80",
    "169.254.169.254:80#@{host}:{port}",
    "{host}:{port}:80",
    "{host}",
    "https://{host}:{port}/",
    "/",
    "",
]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_b03_a_tunnel_to_anything_else_is_refused_before_dialling(
    elsewhere: str, gateway: GatewayEnv, oracle: Oracle
) -> None:
    url = urlsplit(gateway.api_url)
    with proxy(gateway) as raw:
        answer = connect(raw, elsewhere.format(host=url.hostname, port=url.port))
    assert answer.status in (400, 403), answer
    if answer.status == 403:
        assert answer.raw.startswith(b"HTTP/1.1 403 Forbidden: not a cluster registered")
    assert oracle.silent()


def test_b03_not_even_to_the_clusters_own_processes(gateway: GatewayEnv, cluster: Cluster, oracle: Oracle) -> None:
    for url in (cluster.api_url, cluster.sts_endpoint_url, cluster.oidc_issuer, gateway.gateway_url):
        with proxy(gateway) as raw:
            assert connect(raw, urlsplit(url).netloc).status == 403, url
    assert oracle.silent()


FORMS = [
    "http://{target}{path}",
    "https://{target}{path}",
    "HTTP://{target}{path}",
    "{path}",
    "http://mitm.it/",
    "http://mitm.it/cert/pem",
    "/readyz",
    "/metrics",
    "*",
]


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("form", FORMS)
def test_b04_a_request_without_a_tunnel_is_refused(
    form: str, method: str, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    path = form.format(target=target(gateway), path=PATH)
    with proxy(gateway) as raw:
        raw.sendall(request(gateway, path, token=token, method=method, body=b""))
        assert Answer(everything(raw)).status in (400, 403)
    assert oracle.silent()


def test_b04_even_with_the_same_connection_once_in_use(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """A refused CONNECT leaves no tunnel behind that a next request could use."""
    with proxy(gateway) as raw:
        assert connect(raw, "169.254.169.254:80").status == 403
        with suppress(OSError):
            raw.sendall(request(gateway, f"https://{target(gateway)}{PATH}", token=token))
        assert Answer(everything(raw)).status in (0, 400, 403)
    assert oracle.silent()


@pytest.mark.parametrize(
    ("path", "host", "headers", "code"),
    [
        (PATH, "other-cluster.test", (), 421),
        (PATH, "{host}", (), 421),
        (PATH, "{host}:1", (), 421),
        (PATH, "{host}.:{port}", (), 421),
        (PATH, "", (), 421),
        (PATH, "{target}", ("Host: other-cluster.test",), 421),
        (PATH, "other-cluster.test", ("Host: {target}",), 421),
        (PATH, "{target}", ("Host: {target}",), 421),
        (f"https://other-cluster.test{PATH}", "other-cluster.test", (), 421),
        (f"https://other-cluster.test{PATH}", "{target}", (), 421),
        (f"https://169.254.169.254{PATH}", "{target}", (), 421),
        (f"https://other-cluster.test@{{target}}{PATH}", "{target}", (), 400),
        (f"https://{{target}}{PATH}", "{target}", (), 200),
        (f"http://{{target}}{PATH}", "{target}", (), 200),
    ],
)
def test_b05_one_tunnel_is_for_one_cluster(
    path: str, host: str, headers: tuple[str, ...], code: int, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    url = urlsplit(gateway.api_url)
    names = {"host": url.hostname, "port": url.port, "target": url.netloc}
    lines = [line.format(**names) for line in headers]
    answer = ask(gateway, request(gateway, path.format(**names), *lines, token=token, host=host.format(**names)))
    assert answer.status == code, answer
    assert oracle.arrived() == ([f"list {PATH}"] if code == 200 else [])
    assert b"other-cluster" not in oracle.sent()


def test_b05_without_a_host_header(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    whole = request(gateway, PATH, token=token)
    without = b"\r\n".join(line for line in whole.split(b"\r\n") if not line.startswith(b"Host:"))
    assert ask(gateway, without).status in (400, 421)
    assert oracle.silent()


@pytest.mark.parametrize("name", ["other-cluster.test", "169.254.169.254", "localhost"])
def test_b05_the_name_in_tls_decides_nothing(name: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    with tunnel(gateway, server_name=name) as tls:
        tls.sendall(request(gateway, PATH, token=token))
        assert Answer(everything(tls)).status == 200
    assert oracle.arrived() == [f"list {PATH}"]


def test_b08_what_an_agent_holds_is_worth_nothing_without_the_gateway(
    cluster: Cluster, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    """That the API server cannot be reached at all is the network's to see to."""
    url = urlsplit(cluster.api_url)
    context = ssl.create_default_context(cafile=cluster.api_ca)
    with (
        socket.create_connection((url.hostname, url.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
    ):
        tls.sendall(request(gateway, PATH, f"User-Agent: {cluster.account}", token=token))
        assert Answer(everything(tls)).status == 401
    ((who, code),) = [(event["user"], event["responseStatus"]["code"]) for event in oracle.events()]
    assert (who.get("username", ""), code) == ("", 401)
