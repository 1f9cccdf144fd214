"""The listener that speaks TLS: the proxy's own HTTP in it, and in that tunnels, or clusters by their paths."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from mitmproxy import http
from mitmproxy.connection import Client

from addons.connections import Connections
from addons.edge.authority import Authority, Leaf
from addons.edge.own_certificate import OwnCertificate, made_certificate
from addons.exchange import exchange_of
from addons.perimeter import Perimeter
from addons.tls import Tls
from tests.support.proxy import (
    HOST,
    TlsInTls,
    Upstream,
    Worker,
    everything,
    get,
    next_answer,
    open_tunnel,
    upstream,
    worker,
)

GATEWAY = "gateway.test"
BASIC = "Proxy-Authorization: Basic eDphLmIuYw=="
TOKENS: list[str] = []


class Notes:
    """The tokens of tunnels, by request."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        token = exchange_of(flow).tunnel_token
        TOKENS.append("" if token is None else token.reveal())


def stack_with(own: Callable[[Authority], OwnCertificate] | None) -> Callable[..., Sequence[object]]:
    def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
        perimeter = Perimeter(connections, lambda: None, time.time, 1 << 20)
        certificate = None if own is None else own(authority)
        return [perimeter, Tls(connections, authority, time.time, True, certificate), Notes()]

    return stack


def made(authority: Authority) -> OwnCertificate:
    return made_certificate(authority, [GATEWAY, "127.0.0.1"])


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, Upstream]]:
    folder = tmp_path_factory.mktemp("tls-listener")
    with upstream(folder) as server:
        clusters = [server.connection(), server.connection(name="other", host="other.test", port=6443)]
        with worker(folder, clusters, stack_with(made)) as gateway:
            yield gateway, server


@pytest.fixture(autouse=True)
def fresh(behind: tuple[Worker, Upstream]) -> None:
    TOKENS.clear()
    behind[1].requests.clear()


@pytest.mark.parametrize("name", [GATEWAY, "127.0.0.1"])
def test_a_tunnel_in_tls(behind: tuple[Worker, Upstream], name: str) -> None:
    gateway, server = behind
    with gateway.in_tls(name) as outer:
        assert b" 200 " in open_tunnel(outer, f"{HOST}:443", BASIC)
        inner = TlsInTls(outer, gateway.trust(), HOST)
        inner.sendall(get("/version"))
        assert inner.everything().startswith(b"HTTP/1.1 200")
    assert (len(server.requests), TOKENS) == (1, ["a.b.c"])


def test_only_http_1_around_and_what_is_set_inside(behind: tuple[Worker, Upstream]) -> None:
    gateway, _ = behind
    with gateway.in_tls(GATEWAY, "h2", "http/1.1") as outer:
        assert outer.selected_alpn_protocol() == "http/1.1"
        open_tunnel(outer, f"{HOST}:443")
        inner = TlsInTls(outer, gateway.trust("h2", "http/1.1"), HOST)
        assert inner.inner.selected_alpn_protocol() == "h2", "http2 is on here"
    with gateway.in_tls(GATEWAY, "h2") as outer:
        assert outer.selected_alpn_protocol() is None


def test_each_end_has_its_own_certificate(behind: tuple[Worker, Upstream]) -> None:
    gateway, _ = behind
    with gateway.in_tls(GATEWAY) as outer:
        open_tunnel(outer, f"{HOST}:443")
        ends: list[ssl.SSLSocket | ssl.SSLObject] = [outer, TlsInTls(outer, gateway.trust(), HOST).inner]
        found = [x509.load_der_x509_certificate(end.getpeercert(binary_form=True) or b"") for end in ends]
    names = [each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for each in found]
    assert [list(each.get_values_for_type(x509.DNSName)) for each in names] == [[GATEWAY], [HOST]]
    assert found[0].public_key() != found[1].public_key()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_no_old_tls(behind: tuple[Worker, Upstream], version: ssl.TLSVersion) -> None:
    context = behind[0].trust()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", behind[0].tls_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=GATEWAY) as tls,
    ):
        assert tls.version() == "TLSv1.2"
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", behind[0].tls_port), timeout=10) as raw,
        pytest.raises(ssl.SSLError, match="EOF"),
        context.wrap_socket(raw, server_hostname=GATEWAY),
    ):
        pass


CONNECT = f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode()


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([CONNECT], id="CONNECT in clear"),
        pytest.param([b"C", CONNECT[1:]], id="the same in pieces"),
        pytest.param([b"\x16\x02\x00"], id="almost TLS"),
        pytest.param([b"\x16", CONNECT], id="TLS, then text"),
    ],
)
def test_b02_what_is_not_tls_is_closed(behind: tuple[Worker, Upstream], pieces: list[bytes]) -> None:
    gateway, server = behind
    before = server.connections
    with socket.create_connection(("127.0.0.1", gateway.tls_port), timeout=10) as raw:
        for piece in pieces:
            raw.sendall(piece)
            time.sleep(0.05)
        assert everything(raw, 2) == b""
    assert server.connections == before


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(get(f"http://{HOST}/version"), id="absolute form"),
        pytest.param(get(f"https://{HOST}/version"), id="absolute form, https"),
        pytest.param(get("/version"), id="B-04 origin form"),
        pytest.param(get("/version", host=GATEWAY), id="origin form, of the gateway"),
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="TLS in TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="B-06 HTTP/2"),
    ],
)
def test_b04_without_a_tunnel_nothing_is_passed_on(behind: tuple[Worker, Upstream], request_bytes: bytes) -> None:
    gateway, server = behind
    before = server.connections
    with gateway.in_tls(GATEWAY) as outer:
        outer.sendall(request_bytes)
        assert b" 200 " not in everything(outer, 1)
    assert server.connections == before


@pytest.mark.parametrize(
    "start", [pytest.param(CONNECT, id="CONNECT"), pytest.param(get("/version"), id="plain HTTP"), b"\x00" * 8]
)
def test_b01_in_the_tunnel_only_tls_is_spoken(behind: tuple[Worker, Upstream], start: bytes) -> None:
    gateway, server = behind
    before = server.connections
    with gateway.in_tls(GATEWAY) as outer:
        assert b" 200 " in open_tunnel(outer, f"{HOST}:443")
        outer.sendall(start)
        assert everything(outer, 1) == b""
    assert server.connections == before


def below(path: str, *headers: str) -> bytes:
    return get(path, *headers, host=f"{GATEWAY}:8443")


def kept(request: bytes) -> bytes:
    """The same on a connection that goes on."""
    return request.replace(b"Connection: close\r\n", b"")


@pytest.mark.parametrize(
    ("name", "host"), [("test", HOST), pytest.param("other", "other.test:6443", id="a port of its own")]
)
def test_a_cluster_by_its_path(behind: tuple[Worker, Upstream], name: str, host: str) -> None:
    gateway, server = behind
    with gateway.in_tls(GATEWAY) as outer:
        first = below(f"/clusters/{name}/api/v1/pods?limit=5", "Impersonate-User: admin", "Cookie: a=b", BASIC)
        outer.sendall(kept(first) + below(f"/clusters/{name}"))
        assert everything(outer).count(b"HTTP/1.1 200") == 2
    assert [path for _, path, _, _ in server.requests] == ["/api/v1/pods?limit=5", "/"]
    for _, _, headers, _ in server.requests:
        assert headers["Host"] == host
        assert not {"impersonate-user", "cookie", "proxy-authorization", "forwarded"} & {*map(str.lower, headers)}
    assert TOKENS == ["", ""], "a token that is no CONNECT's is none"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        pytest.param("/clusters/unknown/version", 404, id="no such cluster"),
        pytest.param("/clusters/TEST/version", 404, id="another case"),
        pytest.param("/clusters//version", 404, id="no name"),
        pytest.param("/clusters/te%73t/version", 404, id="B-10 escaped"),
        pytest.param("/clusters/test%2Fversion", 404, id="B-10 an escaped slash"),
        pytest.param("/clusters/%2e%2e/clusters/test/version", 404, id="B-12 escaped dots"),
        pytest.param("/clusters/../clusters/test/version", 404, id="B-12 dots"),
        pytest.param(f"/clusters/{HOST}/version", 404, id="a host"),
        pytest.param("/clusters", 403, id="no cluster"),
        pytest.param("//clusters/test/version", 403, id="B-12 two slashes"),
        pytest.param("/x/../clusters/test/version", 403, id="B-12 dots before"),
        pytest.param("/version", 403, id="no path of a cluster"),
        pytest.param("http://gateway.test/clusters/test/version", 403, id="absolute form in clear"),
    ],
)
def test_b10_b12_what_is_no_path_of_a_cluster(behind: tuple[Worker, Upstream], path: str, code: int) -> None:
    gateway, server = behind
    before = server.connections
    with gateway.in_tls(GATEWAY) as outer:
        outer.sendall(below(path))
        answer = everything(outer)
    assert answer.startswith(f"HTTP/1.1 {code} ".encode()) and b'"kind":"Status"' in answer, answer
    assert server.connections == before


@pytest.mark.parametrize(
    ("second", "code"),
    [
        pytest.param(below("/clusters/other/version"), 421, id="another cluster"),
        pytest.param(below("/clusters/unknown/version"), 421, id="no cluster"),
        pytest.param(below("/version"), 403, id="no path of a cluster"),
        pytest.param(get(f"https://{HOST}/version"), 403, id="the cluster's own URL"),
        pytest.param(get("/version"), 403, id="the cluster's own Host"),
        pytest.param(below("/clusters/test/version", f"Host: {HOST}"), 400, id="two Hosts"),
        pytest.param(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(), 403, id="a tunnel"),
        pytest.param(b"CONNECT other.test:6443 HTTP/1.1\r\nHost: other.test\r\n\r\n", 403, id="another tunnel"),
    ],
)
def test_b05_a_connection_leads_to_one_cluster(behind: tuple[Worker, Upstream], second: bytes, code: int) -> None:
    gateway, server = behind
    with gateway.in_tls(GATEWAY) as outer:
        outer.sendall(kept(below("/clusters/test/version")))
        assert next_answer(outer)[0] == 200
        outer.sendall(second)
        assert next_answer(outer)[0] == code
    assert len(server.requests) == 1


def test_b05_in_a_tunnel_the_path_is_the_clusters_own(behind: tuple[Worker, Upstream]) -> None:
    gateway, server = behind
    with gateway.in_tls(GATEWAY) as outer:
        open_tunnel(outer, f"{HOST}:443")
        inner = TlsInTls(outer, gateway.trust(), HOST)
        inner.sendall(get("/clusters/other/version"))
        assert inner.everything().startswith(b"HTTP/1.1 200")
    ((_, path, headers, _),) = server.requests
    assert (path, headers["Host"]) == ("/clusters/other/version", HOST)


def test_a_body_by_path(behind: tuple[Worker, Upstream]) -> None:
    gateway, server = behind
    head = f"POST /clusters/test/api HTTP/1.1\r\nHost: {GATEWAY}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    with gateway.in_tls(GATEWAY) as outer:
        outer.sendall(head.encode() + b"body")
        assert everything(outer).startswith(b"HTTP/1.1 200")
    assert [(method, path, body) for method, path, _, body in server.requests] == [("POST", "/api", b"body")]


def broken(_: Authority) -> OwnCertificate:
    def certificate(_: float) -> Leaf:
        raise RuntimeError("broken")

    return certificate


@pytest.mark.parametrize("own", [None, broken])
def test_without_a_certificate_the_connection_is_closed(
    own: Callable[[Authority], OwnCertificate] | None, tmp_path: Path
) -> None:
    with upstream(tmp_path) as server, worker(tmp_path, [server.connection()], stack_with(own)) as gateway:
        with pytest.raises(ssl.SSLError), gateway.in_tls(GATEWAY):
            pass
        assert server.connections == 0
