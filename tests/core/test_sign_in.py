"""What is sent to an OpenID provider, and what of its answers is believed."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from addons.core.sign_in import (
    Attempt,
    Client,
    SignInFailed,
    authorization_url,
    believed,
    code_exchange,
    code_of,
    device_exchange,
    endpoint,
    refresh,
)

CLIENT = Client(issuer="https://idp.example", client_id="chaperone", scope="openid")
# The verifier and its challenge are those of RFC 7636, appendix B.
ATTEMPT = Attempt(state="s", nonce="n", verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
BACK = "http://127.0.0.1:1/callback"
NOW = 1_800_000_000.0


def test_the_browser_is_sent_with_a_challenge_and_never_the_verifier() -> None:
    url = authorization_url("https://idp.example/auth", CLIENT, ATTEMPT, BACK)
    query = {key: value for key, (value,) in parse_qs(urlsplit(url).query).items()}
    assert query == {
        "response_type": "code", "client_id": "chaperone", "redirect_uri": BACK, "scope": "openid", "state": "s",
        "nonce": "n", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
    }  # fmt: skip
    assert authorization_url("https://idp.example/auth?a=b", CLIENT, ATTEMPT, BACK).count("?") == 1


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        ({"issuer": "https://other", "token_endpoint": "https://idp.example/t"}, "says that it is 'https://other'"),
        ({"issuer": CLIENT.issuer}, "has no token_endpoint"),
        ({"issuer": CLIENT.issuer, "token_endpoint": "http://idp.example/t"}, "is not https"),
    ],
)
def test_endpoints_that_are_not_used(configuration: dict[str, Any], why: str) -> None:
    with pytest.raises(SignInFailed, match=why):
        endpoint(configuration, CLIENT.issuer, "token_endpoint")


@pytest.mark.parametrize("url", ["https://idp.example/t", "http://127.0.0.1:9000/t"])
def test_endpoints_that_are(url: str) -> None:
    assert endpoint({"issuer": CLIENT.issuer, "token_endpoint": url}, CLIENT.issuer, "token_endpoint") == url


def test_the_code_comes_with_the_state() -> None:
    assert code_of("/callback?code=c&state=s", ATTEMPT) == "c"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/callback?code=c", "another's answer"),
        ("/callback?code=c&state=t", "another's answer"),
        ("/callback?code=c&state=s&state=s", "another's answer"),
        ("/callback?error=access_denied&state=s", "refused: access_denied"),
        ("/callback?error=x&error_description=not+you&state=s", "refused: not you"),
        ("/callback?state=s", "it does not say why"),
        ("/callback?code=c&code=d&state=s", "it does not say why"),
    ],
)
def test_answers_of_browsers_that_are_not_believed(target: str, why: str) -> None:
    with pytest.raises(SignInFailed, match=why):
        code_of(target, ATTEMPT)


def test_what_the_token_endpoint_is_asked() -> None:
    assert code_exchange(CLIENT, ATTEMPT, "c", BACK)["code_verifier"] == ATTEMPT.verifier
    assert device_exchange(CLIENT, "d")["device_code"] == "d"
    assert refresh(CLIENT, "r") == {"grant_type": "refresh_token", "client_id": "chaperone", "refresh_token": "r"}


def signed(**claims: Any) -> str:
    whole = {"iss": CLIENT.issuer, "aud": "chaperone", "exp": NOW + 60, "nonce": "n", **claims}
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, whole)] + [b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_tokens() -> None:
    token = signed(aud=["x", "chaperone"])
    found = believed({"id_token": token, "refresh_token": "r"}, CLIENT, NOW, "n", "old")
    assert (found.id_token, found.expires_at, found.refresh_token) == (token, NOW + 60, "r")
    assert believed({"id_token": token}, CLIENT, NOW, kept="old").refresh_token == "old"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({}, "no ID token"),
        ({"id_token": "x"}, "no ID token"),
        ({"id_token": signed(iss="https://other")}, "for somebody else"),
        ({"id_token": signed(aud="other")}, "for somebody else"),
        ({"id_token": signed(aud=None)}, "for somebody else"),
        ({"id_token": signed(nonce="m")}, "another sign-in"),
        ({"id_token": signed(exp=NOW)}, "expired"),
        ({"id_token": signed(exp="soon")}, "expired"),
    ],
)
def test_tokens_that_are_not_believed(answer: dict[str, Any], why: str) -> None:
    with pytest.raises(SignInFailed, match=why):
        believed(answer, CLIENT, NOW, "n")


def test_what_is_kept_is_kept_apart() -> None:
    others = {Client(issuer="https://a", client_id="b").digest, Client(issuer="https://a", client_id="c").digest}
    assert len({CLIENT.digest, *others}) == 3
