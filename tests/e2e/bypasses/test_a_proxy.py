"""Section A, the first bytes: whatever is not HTTP in TLS in a tunnel to a registered cluster goes nowhere."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.raw import Answer, ask, connect, proxy, request, send_apart, target
from tests.support.proxy import everything

QUIET_SECONDS = 0.5
PATH = "/api/v1/namespaces/default/configmaps"
LINE = f"GET {PATH}"


@pytest.mark.parametrize("at", [1, 2, 3, 4, 10, 20, len(LINE)])
def test_b01_a_split_request_line_is_gated_like_any_other(
    at: int, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    """Nobody's request is refused, and somebody's arrives once, in the role of the grant."""
    for secret, wanted in [("", 401), (token, 200)]:
        whole = request(gateway, PATH, token=secret)
        assert ask(gateway, whole[:at], whole[at:]).status == wanted
    assert oracle.arrived() == [f"list {PATH}"]


STARTS = {
    "tab": b"GET\t" + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "digit": b"2GET " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "leading CRLF": b"\r\nGET " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "leading LF": b"\nGET " + PATH.encode() + b" HTTP/1.1\nHost: a\n\n",
    "no version": b"GET " + PATH.encode() + b"\r\n\r\n",
    "binary": b"\x00\x01\x02\x03\x04\x05\x06\x07",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "TLS in TLS": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    "HTTP/2 prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 64,
    "SPDY": b"\x80\x03\x00\x01\x01\x00\x00\x0a" + b"\x00" * 10,
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_b01_what_does_not_start_like_http_goes_nowhere(start: bytes, gateway: GatewayEnv, oracle: Oracle) -> None:
    answer = ask(gateway, start, b"GET " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n", seconds=QUIET_SECONDS)
    assert answer.status in (0, 400, 401, 421), answer
    assert oracle.silent()
    assert oracle.arrived() == []


@pytest.mark.parametrize("start", ["tab", "leading CRLF", "leading LF"])
def test_b01_an_odd_start_with_a_token_is_gated_or_closed(
    start: str, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    whole = STARTS[start].split(b"Host")[0] + request(gateway, PATH, token=token).partition(b"\r\n")[2]
    answer = ask(gateway, whole, seconds=QUIET_SECONDS)
    assert oracle.arrived() == ([f"list {PATH}"] if answer.status == 200 else [])


@pytest.mark.parametrize("at", [1, 2, 3, 5, 60])
def test_b02_a_split_client_hello_meets_the_gateways_certificate(at: int, gateway: GatewayEnv, oracle: Oracle) -> None:
    """Whoever trusts only the gateway's CA gets a connection, so it was not the cluster that answered."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=gateway.gateway_ca)
    tls = context.wrap_bio(incoming, outgoing, server_hostname=urlsplit(gateway.api_url).hostname)
    with proxy(gateway) as raw:
        assert connect(raw, target(gateway)).status == 200
        for pieces in _handshake(tls, outgoing, at):
            send_apart(raw, *pieces)
            incoming.write(raw.recv(65536))
        raw.sendall(outgoing.read())
        tls.write(request(gateway, PATH))
        raw.sendall(outgoing.read())
        assert Answer(_read(tls, incoming, everything(raw))).status == 401
    assert oracle.silent()


def _handshake(tls: ssl.SSLObject, outgoing: ssl.MemoryBIO, at: int) -> Iterator[list[bytes]]:
    """What to send next until the handshake is done, the first of it in two pieces."""
    while True:
        try:
            tls.do_handshake()
            return
        except ssl.SSLWantReadError:
            data = outgoing.read()
            yield [data[:at], data[at:]] if at else [data]
            at = 0


def _read(tls: ssl.SSLObject, incoming: ssl.MemoryBIO, received: bytes) -> bytes:
    """The clear text of all that was received."""
    incoming.write(received)
    text = b""
    try:
        while piece := tls.read(65536):
            text += piece
    except ssl.SSLWantReadError:
        pass
    return text


NOT_TLS = {
    "plain HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "TLS, then text": b"\x16G",
    "half a TLS record": b"\x16\x03",
    "SSL 2": b"\x80\x2e\x01\x00\x02",
    "zeroes": b"\x00" * 16,
    "one letter": b"G",
    "PROXY protocol": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n",
}


@pytest.mark.parametrize("start", NOT_TLS.values(), ids=NOT_TLS)
def test_b02_a_tunnel_without_tls_goes_nowhere(start: bytes, gateway: GatewayEnv, oracle: Oracle) -> None:
    with proxy(gateway) as raw:
        assert connect(raw, target(gateway)).status == 200
        raw.sendall(start)
        assert everything(raw, QUIET_SECONDS) == b""
    assert oracle.silent()


def test_b02_tls_of_long_ago_is_not_spoken(gateway: GatewayEnv, oracle: Oracle) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with proxy(gateway) as raw:
        assert connect(raw, target(gateway)).status == 200
        with pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(raw, server_hostname="x").close()
    assert oracle.silent()


def test_b02_bytes_sent_along_with_connect_are_part_of_the_tunnel(gateway: GatewayEnv, oracle: Oracle) -> None:
    """Clear text that follows CONNECT in the same segment is no way in either."""
    with proxy(gateway) as raw:
        raw.sendall(f"CONNECT {target(gateway)} HTTP/1.1\r\n\r\n".encode() + request(gateway, PATH))
        assert everything(raw, QUIET_SECONDS).count(b"HTTP/1.1") <= 1
    assert oracle.silent()
