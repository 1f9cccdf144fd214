from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.claims import RejectedToken
from addons.core.identity_provider import IdentityProvider
from addons.core.secret import Secret
from addons.core.token import (
    MAX_TOKEN,
    TwoTokens,
    UnverifiedToken,
    bearer_token,
    decode_object,
    expected_tokens,
    read_token,
    request_token,
    tunnel_token,
)


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def token(header: object = None, claims: object = None) -> str:
    return ".".join(
        (part({"alg": "RS256", "kid": "k"} if header is None else header),
         part({"iss": "https://idp"} if claims is None else claims), "c2ln")
    )  # fmt: skip


def header(**changes: Any) -> dict[str, Any]:
    return {"alg": "RS256", "kid": "k", **changes}


@pytest.mark.parametrize(
    ("value", "found"), [("Bearer abc", "abc"), ("bearer abc", "abc"), ("bEaReR a.b-c_d~+/=", "a.b-c_d~+/=")]
)
def test_bearer(value: str, found: str) -> None:
    assert bearer_token([value]) == found


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param([], "there is none", id="no header"),
        pytest.param(["Bearer a", "Bearer a"], "more than one", id="B-23 two headers"),
        pytest.param(["Basic YTpi"], "must be `Bearer`", id="B-23 Basic"),
        pytest.param(["Bearer"], "must be `Bearer`", id="no token"),
        pytest.param(["Bearer "], "must be `Bearer`", id="empty token"),
        pytest.param(["Bearer  a"], "must be `Bearer`", id="B-23 two spaces"),
        pytest.param(["Bearer a junk"], "must be `Bearer`", id="B-23 junk"),
        pytest.param(["Bearer a\nX: y"], "must be `Bearer`", id="line feed"),
        pytest.param(["a"], "must be `Bearer`", id="token alone"),
    ],
)
def test_no_bearer(values: list[str], reason: str) -> None:
    with pytest.raises(RejectedToken, match=reason):
        bearer_token(values)


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode("latin-1")).decode()


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param([], None, id="none"),
        pytest.param([basic("x:a.b.c")], "a.b.c", id="Basic"),
        pytest.param([basic("x:a.b.c").replace("Basic", "bASIC")], "a.b.c", id="the scheme in another case"),
        pytest.param([basic(":a.b.c")], "a.b.c", id="no user"),
        pytest.param([basic("x:a:b")], "a:b", id="the first colon"),
        pytest.param(["Bearer a.b.c"], "a.b.c", id="Bearer"),
        pytest.param([basic("x:" + "a" * MAX_TOKEN)], "a" * MAX_TOKEN, id="the longest"),
    ],
)
def test_the_token_of_a_tunnel(values: list[str], found: str | None) -> None:
    assert tunnel_token(values) == found


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param(["Bearer a", "Bearer a"], "more than one Proxy-Authorization", id="B-23 two headers"),
        pytest.param([basic("a.b.c")], "http://x:TOKEN@gateway", id="a user alone"),
        pytest.param([basic("a.b.c:")], "http://x:TOKEN@gateway", id="the token as the user"),
        pytest.param([basic("x:a b")], "http://x:TOKEN@gateway", id="a space in it"),
        pytest.param([basic("x:a\nb")], "http://x:TOKEN@gateway", id="a line feed in it"),
        pytest.param([basic("x:\xe9")], "http://x:TOKEN@gateway", id="no ASCII"),
        pytest.param(["Basic x:a.b.c"], "http://x:TOKEN@gateway", id="no base64"),
        pytest.param(["Basic " + basic("x:a")], "http://x:TOKEN@gateway", id="two schemes"),
        pytest.param(["Basic  eDph"], "http://x:TOKEN@gateway", id="two spaces"),
        pytest.param(["Basic"], "http://x:TOKEN@gateway", id="a scheme alone"),
        pytest.param([""], "http://x:TOKEN@gateway", id="empty"),
        pytest.param(["Bearer"], "http://x:TOKEN@gateway", id="no token"),
        pytest.param(["Bearer \udce9"], "http://x:TOKEN@gateway", id="an undecodable byte"),
        pytest.param(["Negotiate YQ=="], "http://x:TOKEN@gateway", id="another scheme"),
        pytest.param(["Digest username=a"], "http://x:TOKEN@gateway", id="Digest"),
        pytest.param(["Bearer " + "a" * (MAX_TOKEN + 1)], "longer than", id="too long to keep"),
    ],
)
def test_no_token_of_a_tunnel(values: list[str], reason: str) -> None:
    with pytest.raises(RejectedToken, match=reason) as caught:
        tunnel_token(values)
    assert str(caught.value).isascii() and str(caught.value).isprintable(), "it is sent as a reason phrase"


@pytest.mark.parametrize(
    ("authorization", "tunnels", "found"),
    [
        pytest.param([], "t", "t", id="the tunnel's"),
        pytest.param(["Bearer r"], None, "r", id="its own"),
        pytest.param(["Bearer t"], "t", "t", id="the same twice"),
    ],
)
def test_the_token_of_a_request(authorization: list[str], tunnels: str | None, found: str) -> None:
    assert request_token(authorization, None if tunnels is None else Secret(tunnels)) == found


@pytest.mark.parametrize(
    ("authorization", "tunnels", "error"),
    [
        pytest.param([], None, RejectedToken, id="none"),
        pytest.param(["Bearer r"], "t", TwoTokens, id="B-23 two that differ"),
        pytest.param(["Basic eDp0"], "t", RejectedToken, id="B-23 its own is none, and the tunnel's no substitute"),
        pytest.param(["Bearer t", "Bearer t"], "t", RejectedToken, id="B-23 two headers"),
    ],
)
def test_no_token_of_a_request(authorization: list[str], tunnels: str | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        request_token(authorization, None if tunnels is None else Secret(tunnels))


def test_read() -> None:
    assert read_token(token()) == UnverifiedToken(alg="RS256", kid="k", iss="https://idp")
    assert read_token(token(header={"alg": "ES256", "typ": "at+JWT", "x5t": "t"})).kid == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("x" * (MAX_TOKEN + 1), "longer", id="too long"),
        pytest.param("abc", "not a signed", id="opaque"),
        pytest.param("a.b", "not a signed", id="two parts"),
        pytest.param("a.b.c.d.e", "not a signed", id="encrypted token"),
        pytest.param(token() + "=", "not a signed", id="padding"),
        pytest.param(token().replace(".", ".!", 1), "not a signed", id="a character that decoders skip"),
        pytest.param(token().rpartition(".")[0] + ".", "not a signed", id="no signature"),
        pytest.param("abcde." + token().partition(".")[2], "not base64url", id="not base64url"),
        pytest.param(token(header=b"{"), "plain JSON", id="header is no JSON"),
        pytest.param(token(header=b"\xff"), "plain JSON", id="header is no UTF-8"),
        pytest.param(token(header=b"[" * 10000), "plain JSON", id="deep nesting"),
        pytest.param(token(header=[]), "JSON objects", id="header is a list"),
        pytest.param(token(claims="text"), "JSON objects", id="claims are text"),
        pytest.param(token(header=b'{"alg":"RS256","alg":"none"}'), "plain JSON", id="two alg"),
        pytest.param(token(claims=b'{"iss":"a","iss":"b"}'), "plain JSON", id="two iss"),
        pytest.param(token(header=header(jku="https://evil")), "jku is not accepted", id="jku"),
        pytest.param(token(header=header(jwk={})), "jwk is not accepted", id="jwk"),
        pytest.param(token(header=header(x5u="https://evil")), "x5u is not accepted", id="x5u"),
        pytest.param(token(header=header(x5c=[])), "x5c is not accepted", id="x5c"),
        pytest.param(token(header=header(crit=["exp"])), "crit is not accepted", id="crit"),
        pytest.param(token(header=header(b64=False)), "b64 is not accepted", id="b64"),
        pytest.param(token(header=header(zip="DEF")), "zip is not accepted", id="zip"),
        pytest.param(token(header=header(typ="logout+jwt")), "type", id="logout token"),
        pytest.param(token(header=header(typ=None)), "type", id="type is null"),
        pytest.param(token(header={"kid": "k"}), "alg", id="no alg"),
        pytest.param(token(header=header(alg=["RS256"])), "alg", id="alg is a list"),
        pytest.param(token(header=header(kid=7)), "alg", id="kid is a number"),
        pytest.param(token(claims={}), "iss", id="no iss"),
        pytest.param(token(claims={"iss": ["https://idp"]}), "iss", id="iss is a list"),
    ],
)
def test_not_read(text: str, reason: str) -> None:
    with pytest.raises(RejectedToken, match=reason):
        read_token(text)


@given(st.text(max_size=200) | st.binary(max_size=200).map(part).map(lambda text: f"{text}.{text}.{text}"))
def test_garbage_is_rejected_and_not_quoted(text: str) -> None:
    with pytest.raises(RejectedToken) as caught:
        read_token(text)
    assert len(text) < 8 or text not in str(caught.value)


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_objects_are_decoded(value: dict[str, Any]) -> None:
    assert decode_object(json.dumps(value).encode()) == value


def test_advice_names_every_issuer_and_audience() -> None:
    one = IdentityProvider(name="a", issuer="https://a", audiences=("x", "y"), algorithms=frozenset())
    two = IdentityProvider(name="b", issuer="https://b", audiences=("z",), algorithms=frozenset())
    assert "https://a for the audience x or y or https://b for the audience z" in expected_tokens([one, two])
