"""The listener that speaks TLS: the proxy's own HTTP in it, and in that CONNECT alone."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from addons.tunnel import HttpsProxy
from tests.support.proxy import HOST, TlsInTls, Upstream, Worker, everything, get, open_tunnel, upstream, worker

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
    with upstream(folder) as server, worker(folder, [server.connection()], stack_with(made), HttpsProxy) as gateway:
        yield gateway, server


@pytest.fixture(autouse=True)
def fresh(behind: tuple[Worker, Upstream]) -> None:
    TOKENS.clear()
    behind[1].requests.clear()


def trust(gateway: Worker, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(gateway.authority.certificate_file))
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@contextmanager
def proxy(gateway: Worker, name: str = GATEWAY, *protocols: str) -> Iterator[ssl.SSLSocket]:
    """TLS with the gateway itself."""
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw,
        trust(gateway, *protocols).wrap_socket(raw, server_hostname=name) as tls,
    ):
        yield tls


@pytest.mark.parametrize("name", [GATEWAY, "127.0.0.1"])
def test_a_tunnel_in_tls(behind: tuple[Worker, Upstream], name: str) -> None:
    gateway, server = behind
    with proxy(gateway, name) as outer:
        assert b" 200 " in open_tunnel(outer, f"{HOST}:443", BASIC)
        inner = TlsInTls(outer, trust(gateway), HOST)
        inner.sendall(get("/version"))
        assert inner.everything().startswith(b"HTTP/1.1 200")
    assert (len(server.requests), TOKENS) == (1, ["a.b.c"])


def test_only_http_1_around_and_what_is_set_inside(behind: tuple[Worker, Upstream]) -> None:
    gateway, _ = behind
    with proxy(gateway, GATEWAY, "h2", "http/1.1") as outer:
        assert outer.selected_alpn_protocol() == "http/1.1"
        open_tunnel(outer, f"{HOST}:443")
        inner = TlsInTls(outer, trust(gateway, "h2", "http/1.1"), HOST)
        assert inner.inner.selected_alpn_protocol() == "h2", "http2 is on here"
    with proxy(gateway, GATEWAY, "h2") as outer:
        assert outer.selected_alpn_protocol() is None


def test_each_end_has_its_own_certificate(behind: tuple[Worker, Upstream]) -> None:
    gateway, _ = behind
    with proxy(gateway) as outer:
        open_tunnel(outer, f"{HOST}:443")
        ends: list[ssl.SSLSocket | ssl.SSLObject] = [outer, TlsInTls(outer, trust(gateway), HOST).inner]
        found = [x509.load_der_x509_certificate(end.getpeercert(binary_form=True) or b"") for end in ends]
    names = [each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for each in found]
    assert [list(each.get_values_for_type(x509.DNSName)) for each in names] == [[GATEWAY], [HOST]]
    assert found[0].public_key() != found[1].public_key()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_no_old_tls(behind: tuple[Worker, Upstream], version: ssl.TLSVersion) -> None:
    context = trust(behind[0])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", behind[0].port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=GATEWAY) as tls,
    ):
        assert tls.version() == "TLSv1.2"
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", behind[0].port), timeout=10) as raw,
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
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
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
    with proxy(gateway) as outer:
        outer.sendall(request_bytes)
        assert b" 200 " not in everything(outer, 1)
    assert server.connections == before


@pytest.mark.parametrize(
    "start", [pytest.param(CONNECT, id="CONNECT"), pytest.param(get("/version"), id="plain HTTP"), b"\x00" * 8]
)
def test_b01_in_the_tunnel_only_tls_is_spoken(behind: tuple[Worker, Upstream], start: bytes) -> None:
    gateway, server = behind
    before = server.connections
    with proxy(gateway) as outer:
        assert b" 200 " in open_tunnel(outer, f"{HOST}:443")
        outer.sendall(start)
        assert everything(outer, 1) == b""
    assert server.connections == before


def broken(_: Authority) -> OwnCertificate:
    def certificate(_: float) -> Leaf:
        raise RuntimeError("broken")

    return certificate


@pytest.mark.parametrize("own", [None, broken])
def test_without_a_certificate_the_connection_is_closed(
    own: Callable[[Authority], OwnCertificate] | None, tmp_path: Path
) -> None:
    with upstream(tmp_path) as server, worker(tmp_path, [server.connection()], stack_with(own), HttpsProxy) as gateway:
        with pytest.raises(ssl.SSLError), proxy(gateway):
            pass
        assert server.connections == 0
