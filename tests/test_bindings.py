"""Session tokens are used for what they were issued for; their proofs leave the request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from mitmproxy.flow import Error

from addons.bindings import Bindings
from addons.core.dpop import thumbprint, token_hash
from addons.core.identity import Identity
from addons.edge.possession import Possession
from addons.exchange import Exchange
from tests.support.flows import CONNECTION, NOW, begun, status
from tests.support.issuer import EC_1, PrivateKey, jwk

WHO = Identity(iss="https://idp", sub="ann", aud=("chaperone",), exp=NOW + 60, session_token=True)
BY_KEY = replace(WHO, jkt=thumbprint(jwk(EC_1)))
TOKEN = token_hash("token")
EC_2 = ec.generate_private_key(ec.SECP256R1())


def proof(key: PrivateKey = EC_1, jti: str = "1", **changes: Any) -> tuple[bytes, bytes]:
    """A header with a proof for the request of `begun`."""
    claims = {"jti": jti, "htm": "GET", "htu": "https://api.prod.example/path", "iat": NOW, "ath": TOKEN}
    header = {"typ": "dpop+jwt", "jwk": jwk(key, None)}
    return b"DPoP", jwt.encode({**claims, **changes}, key, "ES256", header).encode()


def run(
    identity: Identity, *fields: tuple[bytes, bytes], bindings: Bindings | None = None, **values: Any
) -> dict[str, Any] | None:
    """What the caller is told, None if nothing; whatever happens, no proof goes further."""
    flow, exchange = begun((b"Accept", b"x"), *fields, identity=identity, token_hash=TOKEN, **values)
    (bindings or Bindings(Possession(lambda: NOW))).requestheaders(flow)
    assert b"dpop" not in {name.lower() for name, _ in flow.request.headers.fields}
    assert flow.request.headers["Accept"] == "x"
    assert isinstance(exchange, Exchange)
    if flow.response is None:
        return None
    return {**status(flow), "challenge": flow.response.headers.get("WWW-Authenticate")}


@pytest.mark.parametrize(
    ("identity", "intent"),
    [
        pytest.param(WHO, "", id="bound to nothing"),
        pytest.param(WHO, "INC-7", id="bound to nothing, with an intent"),
        pytest.param(replace(WHO, connection="prod"), "", id="this connection"),
        pytest.param(replace(WHO, intent="INC-7"), "", id="intent not said again"),
        pytest.param(replace(WHO, intent="INC-7"), "INC-7", id="the same intent"),
    ],
)
def test_what_the_token_is_good_for(identity: Identity, intent: str) -> None:
    assert run(identity, intent=intent) is None


@pytest.mark.parametrize(
    ("identity", "intent", "why"),
    [
        pytest.param(replace(WHO, connection="test"), "", "good for the connection test only", id="another connection"),
        pytest.param(replace(WHO, connection="Prod"), "", "good for the connection Prod only", id="by letter case"),
        pytest.param(replace(WHO, intent="INC-7"), "INC-8", "another intent", id="another intent"),
        pytest.param(replace(BY_KEY, connection="test"), "", "connection test only", id="before the key is looked at"),
    ],
)
def test_what_the_token_is_not_good_for(identity: Identity, intent: str, why: str) -> None:
    told = run(identity, proof(), intent=intent)
    assert told is not None
    assert (told["code"], told["challenge"]) == (403, None)
    assert why in told["message"]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([proof()], id="one"),
        pytest.param([(b"dPoP", proof()[1])], id="in other letters"),
        pytest.param([proof(iat=NOW - 60)], id="a minute old"),
    ],
)
def test_who_has_the_key(fields: list[tuple[bytes, bytes]]) -> None:
    assert run(BY_KEY, *fields) is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param([], "send one DPoP header", id="no proof"),
        pytest.param([proof(), proof(jti="2")], "send one DPoP header", id="two proofs"),
        pytest.param([(b"DPoP", b"")], "not a signed JSON Web Token", id="an empty one"),
        pytest.param([(b"DPoP", b"\xff")], "not a signed JSON Web Token", id="no ASCII"),
        pytest.param([proof(EC_2)], "another key than its own", id="another key"),
        pytest.param([proof(htm="POST")], "another request", id="another method"),
        pytest.param([proof(htu="https://api.prod.example/other")], "another request", id="another path"),
        pytest.param([proof(htu="https://api.test.example/path")], "another request", id="another cluster"),
        pytest.param([proof(ath=token_hash("other"))], "another token", id="another token"),
        pytest.param([proof(ath=None)], "another token", id="no token"),
        pytest.param([proof(iat=NOW - 61)], "within 60 s of now", id="old"),
    ],
)
def test_who_does_not_show_the_key(fields: list[tuple[bytes, bytes]], why: str) -> None:
    told = run(BY_KEY, *fields)
    assert told is not None
    assert (told["code"], told["challenge"]) == (401, 'DPoP error="invalid_dpop_proof"')
    assert "your token: " in told["message"] and why in told["message"]


def test_a_proof_counts_once() -> None:
    bindings = Bindings(Possession(lambda: NOW))
    assert run(BY_KEY, proof(), bindings=bindings) is None
    again = run(BY_KEY, proof(), bindings=bindings)
    assert again is not None and "used before" in again["message"]
    assert run(BY_KEY, proof(jti="2"), bindings=bindings) is None


def test_the_address_is_the_clusters_without_its_query() -> None:
    elsewhere = replace(CONNECTION, host="fd00::1", port=6443)
    flow, _ = begun(proof(htu="https://[fd00::1]:6443/a"), connection=elsewhere, identity=BY_KEY, token_hash=TOKEN)
    flow.request.path = "/a?b=c"
    Bindings(Possession(lambda: NOW)).requestheaders(flow)
    assert flow.response is None


def test_proofs_of_tokens_that_need_none_are_not_looked_at_and_go_no_further() -> None:
    assert run(WHO, (b"DPoP", b"garbage"), proof()) is None


def test_a_settled_flow_still_loses_its_proof() -> None:
    flow, exchange = begun(proof())
    flow.error = Error("client disconnected")
    Bindings(Possession(lambda: NOW)).requestheaders(flow)
    assert "dpop" not in flow.request.headers
    assert exchange.identity is None and flow.response is None
