"""Section A, HTTP/2: where an operator offers it, a header block has one reading, or the stream has no answer."""

from __future__ import annotations

import secrets

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e import raw_http2
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.gateways import Gateways
from tests.e2e.raw import ask, request, target, tunnel
from tests.e2e.raw_http2 import get
from tests.e2e.wiretap import Wiretap

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """As the package's, offering HTTP/2."""
    return gateways.start("attacked-http2", wire.upstream, {"hold_seconds": 0, "http2": True})


def test_b06_a_plain_request_passes(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """Or what follows would prove nothing."""
    (outcome,) = raw_http2.ask(gateway, get(gateway, PATH, token=token))
    assert outcome.status == 200
    assert oracle.arrived() == [f"list {PATH}"]


PSEUDO_HEADERS: dict[str, dict[str, str | None]] = {
    "another authority": {"authority": "other-cluster.test"},
    "no authority": {"authority": None},
    "an authority that is a user": {"authority": "root@other-cluster.test"},
    "an authority with a line break": {"authority": "a\r\nImpersonate-User: root"},
    "no path": {"path": None},
    "an empty path": {"path": ""},
    "a star": {"path": "*"},
    "a path without a slash": {"path": PATH[1:]},
    "an absolute path": {"path": f"https://other-cluster.test{PATH}"},
    "a path with a line break": {"path": f"{PATH} HTTP/1.1\r\nImpersonate-User: root\r\nX-A: b"},
    "a path with a space": {"path": f"{PATH} HTTP/1.1"},
    "a path with a NUL": {"path": f"{PATH}\x00"},
    "no method": {"method": None},
    "a method with a space": {"method": "GET /api/v1/secrets HTTP/1.1\r\nHost: a\r\n\r\nGET"},
    "CONNECT": {"method": "CONNECT", "path": None, "scheme": None},
    "CONNECT elsewhere": {"method": "CONNECT", "path": None, "scheme": None, "authority": "169.254.169.254:80"},
    "extended CONNECT": {"method": "CONNECT", "protocol": "websocket"},
    "a protocol without CONNECT": {"protocol": "websocket"},
    "an unknown pseudo-header": {"cluster": "other"},
    "a status": {"status": "200"},
    "another scheme": {"scheme": "ftp"},
    "no scheme": {"scheme": None},
}


@pytest.mark.parametrize("pseudo", PSEUDO_HEADERS.values(), ids=PSEUDO_HEADERS)
def test_b06_pseudo_headers_that_are_not_plain_are_refused(
    pseudo: dict[str, str | None], gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    fields = get(gateway, PATH, token=token, **pseudo)
    (outcome,) = raw_http2.ask(gateway, fields)
    assert outcome.refused, outcome
    assert oracle.silent()
    assert oracle.arrived() == []


FIELDS = {
    "two paths": (":path", "/api/v1/secrets"),
    "two authorities": (":authority", "other-cluster.test"),
    "two methods": (":method", "DELETE"),
    "a pseudo-header after others": (":path", PATH),
    "another host": ("host", "other-cluster.test"),
    "upper case": ("Impersonate-User", "root"),
    "upper case within": ("impersonate-User", "root"),
    "a space in a name": ("x a", "b"),
    "a colon in a name": ("x:impersonate-user", "root"),
    "a line break in a name": ("x\r\nimpersonate-user", "root"),
    "a line break in a value": ("x-a", "b\r\nImpersonate-User: root"),
    "a line feed in a value": ("x-a", "b\nImpersonate-User: root"),
    "a NUL in a value": ("x-a", "b\x00"),
    "an empty name": ("", "root"),
    "connection": ("connection", "impersonate-user"),
    "upgrade": ("upgrade", "websocket"),
    "transfer-encoding": ("transfer-encoding", "chunked"),
    "te": ("te", "chunked"),
    "a length without a body": ("content-length", "5"),
    "a length that is none": ("content-length", "x"),
}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_b06_fields_that_have_no_place_in_http2_are_refused(
    field: tuple[str, str], gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    (outcome,) = raw_http2.ask(gateway, get(gateway, PATH, field, token=token))
    assert outcome.refused, outcome
    assert oracle.silent()
    assert oracle.arrived() == []


@pytest.mark.parametrize("length", ["1", "3", "2, 2"])
def test_b06_a_length_that_is_not_the_bodys(length: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    fields = get(gateway, PATH, ("content-length", length), token=token, method="POST")
    (outcome,) = raw_http2.ask(gateway, fields, body=b"{}")
    assert outcome.refused
    assert oracle.silent()


def test_b06_a_body_without_a_length_is_given_one(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """HTTP/2 needs none; without one, the body would be a request of its own to an API server that speaks HTTP/1."""
    name = f"m{secrets.token_hex(4)}"
    body = f"# /api/v1/secrets HTTP/1.1\r\nkind: ConfigMap\r\nmetadata: {{name: {name}}}\r\n\r\n".encode()
    fields = get(gateway, PATH, ("content-type", "application/yaml"), token=token, method="POST")
    (outcome,) = raw_http2.ask(gateway, fields, body=body)
    assert outcome.status == 201, outcome
    assert oracle.arrived() == [f"create {PATH}"]


@pytest.mark.parametrize("name", ["impersonate-user", "x-checksum", ":path", "authorization"])
def test_b06_trailers_are_refused(name: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    fields = get(gateway, PATH, ("content-type", "application/json"), token=token, method="POST")
    (outcome,) = raw_http2.ask(gateway, fields, body=b"{}", trailers=[(name, "root")])
    assert outcome.refused
    assert oracle.silent()


def test_b06_each_request_of_a_connection_is_gated(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    one, other = get(gateway, PATH, token=token), get(gateway, PATH)
    outcomes = raw_http2.ask(gateway, one, other, one)
    assert [outcome.status for outcome in outcomes] == [200, 401, 200]
    assert oracle.arrived() == [f"list {PATH}"] * 2


STARTS = {
    "prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "a nested CONNECT": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n",
    "a nested CONNECT to the same": b"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n",
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_b06_a_protocol_that_was_not_negotiated_is_not_spoken(
    start: bytes, gateway: GatewayEnv, oracle: Oracle
) -> None:
    answer = ask(gateway, start.replace(b"{target}", target(gateway).encode()), request(gateway, PATH), seconds=1)
    assert answer.status in (0, 400, 421)
    assert b"HTTP/1.1 200" not in answer.raw
    assert oracle.silent()
    assert oracle.arrived() == []


def test_b06_upgrading_to_it_in_clear_text_is_nothing(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    headers = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    answer = ask(gateway, request(gateway, PATH, *headers, token=token), seconds=1)
    assert answer.status in (200, 400)
    assert b"h2c" not in oracle.sent().lower()
    assert b"http2-settings" not in oracle.sent().lower()


def test_b06_a_gateway_that_does_not_offer_it_does_not_speak_it(gateways: Gateways, wire: Wiretap) -> None:
    plain = gateways.start("attacked-http1", wire.upstream)
    with tunnel(plain, protocols=["h2", "http/1.1"]) as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
