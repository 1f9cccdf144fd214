"""Section A, framing: where one request ends and the next begins is read by everybody alike, or the answer is 400."""

from __future__ import annotations

import secrets

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.raw import ask, request

PATH = "/api/v1/namespaces/default/configmaps"
SMUGGLED = "/api/v1/namespaces/default/secrets/smuggled"
CHUNKED = "Transfer-Encoding: chunked"
NOTHING = b"0\r\n\r\n"
TWO_SECONDS = 2.0
"""Of silence, where the gateway waits for the rest of what it takes for one request."""


def smuggled(gateway: GatewayEnv) -> bytes:
    """The request that must not be seen by anybody; without a token, for the gateway would refuse it in any case."""
    return request(gateway, SMUGGLED)


# The value of every header, and the codes that it may be answered with. None of these requests arrives.
REFUSED = {
    "CL and TE": ("Content-Length: 5", CHUNKED),
    "TE and CL": (CHUNKED, "Content-Length: 5"),
    "two CL that differ": ("Content-Length: 0", "Content-Length: 5"),
    "two CL alike": ("Content-Length: 5", "Content-Length: 5"),
    "a list of CL": ("Content-Length: 5, 5",),
    "negative CL": ("Content-Length: -5",),
    "signed CL": ("Content-Length: +5",),
    "hexadecimal CL": ("Content-Length: 0x5",),
    "CL of other digits": ("Content-Length: \xb2",),
    "unknown TE": ("Transfer-Encoding: xchunked",),
    "TE not last": ("Transfer-Encoding: chunked, identity",),
    "identity": ("Transfer-Encoding: identity", "Content-Length: 5"),
    "gzip": ("Transfer-Encoding: gzip, chunked",),
    "two TE": (CHUNKED, "Transfer-Encoding: identity"),
    "two TE alike": (CHUNKED, CHUNKED),
    "space before the colon": ("Transfer-Encoding : chunked",),
    "NUL in the name": ("Transfer-Encoding\x00: chunked",),
    "NUL in a value": ("X-A: b\x00c",),
    "folded": ("X-A: b", " Transfer-Encoding: chunked"),
    "folded first": (" X-A: b",),
    "CR alone": ("X-A: b\rTransfer-Encoding: chunked",),
    "no colon": ("X-A",),
    "no name": (": x",),
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_b07_framing_that_two_could_read_differently_is_refused(
    headers: tuple[str, ...], gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    head = request(gateway, PATH, *headers, token=token, method="POST")
    answer = ask(gateway, head + NOTHING + smuggled(gateway), seconds=TWO_SECONDS)
    assert answer.status == 400, answer
    assert answer.raw.count(b"HTTP/1.1 ") == 1
    assert oracle.silent()


# What follows the head of a chunked request.
BODIES = {
    "size with a bare LF": b"2\n{}\n0\n\n",
    "size of other digits": b"0x2\r\n{}\r\n0\r\n\r\n",
    "size with a sign": b"+2\r\n{}\r\n0\r\n\r\n",
    "size with a space": b" 2\r\n{}\r\n0\r\n\r\n",
    "no size": b"\r\n{}\r\n0\r\n\r\n",
    "size too large": b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "wrong size": b"1\r\n{}\r\n0\r\n\r\n",
    "trailers": b"2\r\n{}\r\n0\r\nImpersonate-User: root\r\n\r\n",
    "harmless trailers": b"2\r\n{}\r\n0\r\nX-Checksum: 1\r\n\r\n",
    "trailers only": b"0\r\nImpersonate-User: root\r\nAuthorization: Bearer x\r\n\r\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_b07_chunks_and_trailers_that_are_not_plain_are_refused(
    body: bytes, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    head = request(gateway, PATH, CHUNKED, "Content-Type: application/json", token=token, method="POST")
    answer = ask(gateway, head + body + smuggled(gateway), seconds=TWO_SECONDS)
    assert answer.status == 400, answer
    assert "Status" in answer.json()["kind"]
    assert oracle.silent()
    assert ask(gateway, request(gateway, PATH, token=token)).status == 200, "and it serves the next"


@pytest.mark.parametrize("named", ["Transfer-Encoding", "Content-Length", "Host, Content-Type"])
def test_b07_what_frames_a_body_is_not_taken_away(named: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """Without its length, a body would be a request of its own to the API server: this one is YAML as well as HTTP."""
    name = secrets.token_hex(4)
    body = f"# {SMUGGLED} HTTP/1.1\r\nkind: ConfigMap\r\napiVersion: v1\r\nmetadata: {{name: m{name}}}\r\n\r\n".encode()
    chunked = CHUNKED if named == "Transfer-Encoding" else f"Content-Length: {len(body)}"
    sent = b"%x\r\n%b\r\n%b" % (len(body), body, NOTHING) if chunked == CHUNKED else body
    headers = (chunked, f"Connection: close, {named}", "Content-Type: application/yaml")
    answer = ask(gateway, request(gateway, PATH, *headers, token=token, method="POST") + sent, seconds=TWO_SECONDS)
    assert answer.status == 201, answer
    assert oracle.arrived() == [f"create {PATH}"]


def test_b07_space_around_an_encoding_is_none(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """It is sent on in the one plain form."""
    head = request(gateway, PATH, "Transfer-Encoding:\tchunked\x0b", token=token, method="POST")
    answer = ask(gateway, head + NOTHING + smuggled(gateway), seconds=TWO_SECONDS)
    assert answer.status == 400, answer
    assert b"\x0b" not in oracle.sent()
    assert [line for line in oracle.arrived() if "smuggled" in line] == []


def test_b07_a_chunk_extension_means_nothing(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """The body is one, to the gateway and to the API server, which reads it anew from a plain framing."""
    body = b'2;a="\r\n{}\r\n0\r\n\r\n'
    head = request(gateway, PATH, CHUNKED, "Content-Type: application/json", token=token, method="POST")
    answer = ask(gateway, head + body + smuggled(gateway), seconds=TWO_SECONDS)
    assert answer.status in (400, 422), answer
    assert SMUGGLED.encode() not in oracle.sent()
    assert b";a=" not in oracle.sent()


def test_b07_header_lines_that_end_in_a_bare_lf_are_header_lines(
    gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    """They are judged as what they are, and sent on as the API server expects them, without what is forbidden."""
    whole = request(gateway, PATH, "X-A: b\nImpersonate-User: root\nX-B: c", token=token)
    assert ask(gateway, whole).status in (200, 400)
    assert b"mpersonate" not in oracle.sent()
    assert [event.get("impersonatedUser") for event in oracle.events()] in ([], [None])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_b07_pipelined_requests_are_each_gated(method: str, gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    first = request(gateway, PATH, "Connection: keep-alive", token=token)
    answer = ask(gateway, first + request(gateway, SMUGGLED, method=method), seconds=TWO_SECONDS)
    assert answer.raw.count(b"HTTP/1.1 200") == 1
    assert answer.raw.count(b"HTTP/1.1 401") == 1
    assert oracle.arrived() == [f"list {PATH}"]


def test_b07_a_body_that_a_get_has_is_no_next_request(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    whole = request(gateway, PATH, "Content-Type: text/plain", token=token, body=smuggled(gateway))
    answer = ask(gateway, whole, seconds=TWO_SECONDS)
    assert answer.raw.count(b"HTTP/1.1 ") == 1
    assert [line for line in oracle.arrived() if "smuggled" in line] == []


def test_b07_a_body_that_stays_away_is_not_made_up(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    """A length without its bytes, and the connection ends: nothing was asked."""
    whole = request(gateway, PATH, "Content-Length: 500", "Content-Type: application/json", token=token, method="POST")
    assert ask(gateway, whole + b"{}", seconds=0.5).status == 0
    assert oracle.silent()
    assert oracle.arrived() == []
