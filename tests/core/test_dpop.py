"""Proofs of possession, before and after their signature is checked. The examples are those of the specifications."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from addons.core.claims import RejectedToken
from addons.core.dpop import (
    WINDOW_SECONDS,
    UnverifiedProof,
    check_proof,
    read_proof,
    target,
    thumbprint,
    token_hash,
)

NOW = 1_800_000_000.0
URL = "https://api.prod.example/api/v1/pods"
RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4"
    "n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZ"
    "Hzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEg"
    "U8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC_8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC_9449 = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
HEADER: Mapping[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": RFC_9449}
CLAIMS: Mapping[str, Any] = {"jti": "1", "htm": "GET", "htu": URL, "iat": NOW, "ath": "hash"}


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def proof(header: object = HEADER, claims: object = CLAIMS) -> str:
    return f"{part(header)}.{part(claims)}.c2ln"


@pytest.mark.parametrize(
    ("key", "found"),
    [
        pytest.param(RFC_7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", id="RFC 7638, section 3.1: RSA"),
        pytest.param(RFC_8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", id="RFC 8037, appendix A.3: OKP"),
        pytest.param(RFC_9449, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", id="RFC 9449, section 6.1: EC"),
    ],
)
def test_thumbprint(key: dict[str, Any], found: str) -> None:
    assert thumbprint(key) == found
    assert thumbprint({**dict(reversed(key.items())), "use": "sig"}) == found


def test_token_hash_is_that_of_rfc_9449() -> None:
    assert token_hash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU") == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    assert token_hash("\udce9") != token_hash("")


@pytest.mark.parametrize(
    ("host", "port", "path", "found"),
    [
        pytest.param("api.example", 443, "/a", "https://api.example/a", id="default port"),
        pytest.param("api.example", 6443, "/a", "https://api.example:6443/a", id="another port"),
        pytest.param("api.example", 443, "/a?b=c?d", "https://api.example/a", id="query"),
        pytest.param("fd00::1", 443, "/", "https://[fd00::1]/", id="IPv6"),
        pytest.param("fd00::1", 6443, "/", "https://[fd00::1]:6443/", id="IPv6 and a port"),
    ],
)
def test_target(host: str, port: int, path: str, found: str) -> None:
    assert target(host, port, path) == found


@pytest.mark.parametrize(
    ("alg", "key"),
    [("ES256", RFC_9449), ("EdDSA", RFC_8037), ("RS256", RFC_7638), ("PS256", RFC_7638)],
)
def test_a_proof_is_read_with_its_key(alg: str, key: dict[str, Any]) -> None:
    found = read_proof(proof({**HEADER, "alg": alg, "jwk": key}))
    assert (found.alg, found.jwk, found.claims) == (alg, key, CLAIMS)
    assert found.jkt == thumbprint(key)


def test_the_proof_of_rfc_9449_is_read() -> None:
    """Section 4.1, figure 2."""
    header = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rsc"
        "EJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
    )
    claims = (
        "eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaW"
        "F0IjoxNTYyMjYyNjE2fQ"
    )
    found = read_proof(f"{header}.{claims}.c2ln")
    assert found.jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert check_proof(found, "POST", "https://server.example.com/token", 1562262616) == "-BwC3ESc6acc2lTc"


def changed(**changes: Any) -> str:
    return proof({**HEADER, **changes})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "not a signed JSON Web Token", id="nothing"),
        pytest.param("a.b", "not a signed JSON Web Token", id="two parts"),
        pytest.param("a.b.c.d", "not a signed JSON Web Token", id="four parts"),
        pytest.param(f"{proof()}\n", "not a signed JSON Web Token", id="line feed"),
        pytest.param(f"{part(HEADER)}.{part(CLAIMS)}.", "not a signed JSON Web Token", id="no signature"),
        pytest.param(proof({**HEADER, "x": "x" * 4096}), "not a signed JSON Web Token", id="huge header"),
        pytest.param(f"{part(HEADER)}.a.c2ln", "base64url", id="not base64url"),
        pytest.param(proof(b"[]"), "JSON objects", id="header no object"),
        pytest.param(proof(claims=b'{"jti":"1","jti":"2"}'), "plain JSON", id="a claim twice"),
        pytest.param(changed(typ="JWT"), "must have typ", id="type of another token"),
        pytest.param(changed(typ=["dpop+jwt"]), "must have typ", id="type no text"),
        pytest.param(changed(alg="none"), "asymmetric alg", id="alg none"),
        pytest.param(changed(alg="HS256"), "asymmetric alg", id="alg HS256"),
        pytest.param(changed(alg=None), "asymmetric alg", id="no alg"),
        pytest.param(changed(alg=["ES256"]), "asymmetric alg", id="alg no text"),
        pytest.param(changed(alg={}), "asymmetric alg", id="alg an object"),
        pytest.param(changed(jwk=None), "a jwk", id="no key"),
        pytest.param(changed(jwk="key"), "a jwk", id="key no object"),
        pytest.param(changed(jwk={}), "public", id="no kty"),
        pytest.param(changed(jwk={"kty": "oct", "k": "c2VjcmV0"}), "public", id="symmetric key"),
        pytest.param(changed(jwk={"kty": ["EC"]}), "public", id="kty no text"),
        *(
            pytest.param(changed(jwk={**RFC_9449, member: "AQAB"}), "public", id=f"private member {member}")
            for member in ("d", "k", "p", "q", "dp", "dq", "qi", "oth")
        ),
    ],
)
def test_what_is_no_proof(text: str, why: str) -> None:
    with pytest.raises(RejectedToken, match=why):
        read_proof(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries({}, optional={"typ": st.just("dpop+jwt") | JSON, "alg": st.just("ES256") | JSON})
    | st.fixed_dictionaries({"typ": st.just("dpop+jwt"), "alg": st.just("ES256"), "jwk": JSON})
    | st.fixed_dictionaries(
        {
            "typ": st.just("dpop+jwt"),
            "alg": st.just("ES256"),
            "jwk": st.fixed_dictionaries({}, optional={"kty": st.just("EC") | JSON, "crv": JSON, "x": JSON, "y": JSON}),
        }
    ),
    st.fixed_dictionaries(
        {"jti": st.just("1") | JSON, "htm": st.just("GET"), "htu": st.just(URL), "iat": JSON}, optional={"ath": JSON}
    ),
)
@example(dict(HEADER), {**CLAIMS, "iat": 10**400})
def test_whatever_it_says_it_is_a_proof_or_refused(header: object, claims: object) -> None:
    try:
        found = read_proof(proof(header, claims))
        assert len(found.jkt) == 43
        assert check_proof(found, "GET", URL, NOW)
    except RejectedToken:
        pass


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{1,20}\.[A-Za-z0-9_-]{1,20}\.[A-Za-z0-9_-]{1,20}", fullmatch=True))
def test_any_text_is_a_proof_or_refused(text: str) -> None:
    with pytest.raises(RejectedToken):
        read_proof(text)


def judge(of_token: str = "hash", **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return check_proof(UnverifiedProof(alg="ES256", jwk=RFC_9449, claims=claims), "GET", URL, NOW, of_token)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as it must be"),
        pytest.param({"iat": int(NOW)}, id="whole seconds"),
        pytest.param({"iat": NOW - WINDOW_SECONDS}, id="the oldest"),
        pytest.param({"iat": NOW + WINDOW_SECONDS}, id="the newest"),
        pytest.param({"ath": "hash", "nonce": "n"}, id="claims that are not known"),
    ],
)
def test_a_good_proof_gives_its_jti(changes: dict[str, Any]) -> None:
    assert judge(**changes) == "1"


def test_where_a_token_is_asked_for_there_is_no_token_to_name() -> None:
    assert judge(of_token="") == "1"
    assert judge(of_token="", ath=None, jti="x" * 255) == "x" * 255


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"jti": None}, "no jti", id="no jti"),
        pytest.param({"jti": 1}, "no jti", id="jti no text"),
        pytest.param({"jti": ""}, "no jti", id="jti empty"),
        pytest.param({"jti": "x" * 256}, "no jti", id="jti too long"),
        pytest.param({"iat": None}, "within 60 s", id="no iat"),
        pytest.param({"iat": True}, "within 60 s", id="iat no number"),
        pytest.param({"iat": str(NOW)}, "within 60 s", id="iat text"),
        pytest.param({"iat": NOW - WINDOW_SECONDS - 1}, "within 60 s", id="too old"),
        pytest.param({"iat": NOW + WINDOW_SECONDS + 1}, "within 60 s", id="from the future"),
        pytest.param({"iat": float("nan")}, "within 60 s", id="NaN, from which nothing is far"),
        pytest.param({"iat": float("inf")}, "within 60 s", id="infinite"),
        pytest.param({"iat": 10**400}, "within 60 s", id="beyond all floats"),
        pytest.param({"iat": -1}, "within 60 s", id="negative"),
        pytest.param({"htm": "POST"}, "another request", id="another method"),
        pytest.param({"htm": "get"}, "another request", id="method in lower case"),
        pytest.param({"htm": None}, "another request", id="no method"),
        pytest.param({"htu": URL + "/"}, "another request", id="another address"),
        pytest.param({"htu": URL + "?a=b"}, "another request", id="address with a query"),
        pytest.param({"htu": [URL]}, "another request", id="address no text"),
        pytest.param({"htu": None}, "another request", id="no address"),
        pytest.param({"ath": "other"}, "another token", id="another token"),
        pytest.param({"ath": None}, "another token", id="no token"),
    ],
)
def test_a_proof_of_something_else(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RejectedToken, match=why):
        judge(**changes)
