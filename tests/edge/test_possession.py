"""Proofs of possession with real keys: whose they are, for what, and that each counts once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.core.claims import RejectedToken
from addons.core.dpop import WINDOW_SECONDS, thumbprint
from addons.edge import possession as edge_possession
from addons.edge.possession import Possession
from tests.support.issuer import EC_1, ED_1, RSA_1, RSA_SMALL, Clock, PrivateKey, jwk

URL = "https://api.prod.example/api"
EC_2 = ec.generate_private_key(ec.SECP256R1())
P_384 = ec.generate_private_key(ec.SECP384R1())
RSA_PRIVATE = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_1))


def proof(
    clock: Clock, key: PrivateKey = EC_1, alg: str = "ES256", named: Any = None, jti: str = "1", **changes: Any
) -> str:
    """A proof made now; `named` is the key that it says it is made with."""
    claims = {"jti": jti, "htm": "GET", "htu": URL, "iat": clock(), **changes}
    header = {"typ": "dpop+jwt", "jwk": jwk(key, None) if named is None else named}
    return jwt.encode(claims, key, alg, header)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.fixture
def possession(clock: Clock) -> Possession:
    return Possession(clock)


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        pytest.param(EC_1, "ES256", id="ES256"),
        pytest.param(ED_1, "EdDSA", id="EdDSA"),
        pytest.param(RSA_1, "RS256", id="RS256"),
        pytest.param(RSA_1, "PS256", id="PS256"),
    ],
)
def test_the_key_that_made_a_proof(clock: Clock, possession: Possession, key: PrivateKey, alg: str) -> None:
    wanted = thumbprint(jwk(key))
    assert possession.proven(proof(clock, key, alg), "GET", URL) == wanted
    possession.check(proof(clock, key, alg, jti="2", ath="hash"), "GET", URL, "hash", wanted)


def unsigned(clock: Clock, alg: str, signature: str = "AA") -> str:
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": jwk(EC_1, None)}
    return f"{part(header)}.{part({'jti': '1', 'htm': 'GET', 'htu': URL, 'iat': clock()})}.{signature}"


def public_key_as_secret(clock: Clock) -> str:
    """HS256 with what everybody knows."""
    pem = EC_1.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = unsigned(clock, "HS256").rpartition(".")[0]
    digest = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def resigned(clock: Clock) -> str:
    """The signature of one proof on the claims of another."""
    one, other = proof(clock), proof(clock, jti="2")
    return f"{other.rpartition('.')[0]}.{one.rpartition('.')[2]}"


CLOCK = Clock()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(unsigned(CLOCK, "none"), "asymmetric alg", id="alg none"),
        pytest.param(public_key_as_secret(CLOCK), "asymmetric alg", id="HS256 with the public key as secret"),
        pytest.param(proof(CLOCK, RSA_1, "RS256", RSA_PRIVATE), "public", id="a private key"),
        pytest.param(unsigned(CLOCK, "ES256"), "signature", id="no signature"),
        pytest.param(resigned(CLOCK), "signature", id="signature of another proof"),
        pytest.param(proof(CLOCK, EC_2, named=jwk(EC_1, None)), "signature", id="signed with another key"),
        pytest.param(proof(CLOCK, RSA_1, "RS256", jwk(EC_1, None)), "signature", id="algorithm of another kind of key"),
        pytest.param(proof(CLOCK, EC_1, "ES256", jwk(RSA_1, None)), "signature", id="key of another kind"),
        pytest.param(proof(CLOCK, EC_1, "ES256", jwk(P_384, None)), "signature", id="key of another curve"),
        pytest.param(proof(CLOCK, RSA_SMALL, "RS256"), "signature", id="RSA key too small"),
        *(
            pytest.param(proof(CLOCK, named=key), "signature", id=f"key {name}")
            for name, key in {
                "without x": {"kty": "EC", "crv": "P-256", "y": "AA"},
                "without curve": {"kty": "EC", "x": "AA", "y": "AA"},
                "of an unknown curve": {**jwk(EC_1, None), "crv": "P-1"},
                "not on the curve": {**jwk(EC_1, None), "x": jwk(EC_2, None)["x"]},
                "with x no text": {**jwk(EC_1, None), "x": 1},
                "with x not base64": {**jwk(EC_1, None), "x": "é"},
                "with crv no text": {**jwk(EC_1, None), "crv": ["P-256"]},
                "of RSA without n": {"kty": "RSA", "e": "AQAB"},
                "of OKP without x": {"kty": "OKP", "crv": "Ed25519"},
                "of OKP of another curve": {"kty": "OKP", "crv": "X25519", "x": "AA"},
            }.items()
        ),
    ],
)
def test_what_proves_nothing(possession: Possession, text: str, why: str) -> None:
    with pytest.raises(RejectedToken, match=why):
        possession.proven(text, "GET", URL)


VALUE = st.none() | st.integers(-1, 9) | st.text(max_size=5) | st.lists(st.text(max_size=2), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["ES256", "EdDSA", "RS256", "PS256"]),
    st.sampled_from([jwk(EC_1, None), jwk(ED_1, None), jwk(RSA_1, None)]),
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops"]), VALUE),
)
def test_whatever_key_is_named_nothing_is_proven(
    possession: Possession, alg: str, key: dict[str, Any], changes: dict[str, Any]
) -> None:
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": {**key, **changes}}
    with pytest.raises(RejectedToken):
        possession.proven(
            f"{part(header)}.{part({'jti': '1', 'htm': 'GET', 'htu': URL, 'iat': 1000})}.AAAA", "GET", URL
        )


@pytest.mark.parametrize(
    ("method", "url", "why"),
    [
        pytest.param("POST", URL, "another request", id="method"),
        pytest.param("GET", URL + "s", "another request", id="address"),
    ],
)
def test_a_proof_is_for_one_request(clock: Clock, possession: Possession, method: str, url: str, why: str) -> None:
    made = proof(clock)
    with pytest.raises(RejectedToken, match=why):
        possession.proven(made, method, url)
    assert possession.proven(made, "GET", URL), "a proof that was not accepted is not used up"


def test_a_good_proof_with_another_key(clock: Clock, possession: Possession) -> None:
    with pytest.raises(RejectedToken, match="another key"):
        possession.check(proof(clock, EC_2, ath="h"), "GET", URL, "h", thumbprint(jwk(EC_1)))
    with pytest.raises(RejectedToken, match="another token"):
        possession.check(proof(clock, ath="h"), "GET", URL, "i", thumbprint(jwk(EC_1)))


def test_a_proof_counts_once_as_long_as_it_could_count(clock: Clock, possession: Possession) -> None:
    early = proof(clock, iat=clock() + WINDOW_SECONDS)
    possession.proven(early, "GET", URL)
    for later in (0, 1, WINDOW_SECONDS, 2 * WINDOW_SECONDS):
        clock.now = 1000.0 + later
        with pytest.raises(RejectedToken, match="used before"):
            possession.proven(early, "GET", URL)
    clock.now += 0.001
    with pytest.raises(RejectedToken, match="not made within"):
        possession.proven(early, "GET", URL)


def test_a_jti_is_its_keys_own(clock: Clock, possession: Possession) -> None:
    possession.proven(proof(clock), "GET", URL)
    possession.proven(proof(clock, EC_2), "GET", URL)
    possession.proven(proof(clock, jti="2"), "GET", URL)
    with pytest.raises(RejectedToken, match="used before"):
        possession.proven(proof(clock, iat=clock() - 1), "GET", URL)


def test_a_proof_may_be_made_just_before_and_just_after_now(clock: Clock, possession: Possession) -> None:
    for jti, seconds in enumerate((-WINDOW_SECONDS, WINDOW_SECONDS)):
        assert possession.proven(proof(clock, jti=str(jti), iat=clock() + seconds), "GET", URL)
    for seconds in (-WINDOW_SECONDS - 1, WINDOW_SECONDS + 1):
        with pytest.raises(RejectedToken, match="not made within"):
            possession.proven(proof(clock, jti="x", iat=clock() + seconds), "GET", URL)


def test_a_flood_does_not_make_an_old_proof_new(
    clock: Clock, possession: Possession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_possession, "_PROOFS", 3)
    proofs = [proof(clock, jti=str(number)) for number in range(4)]
    for each in proofs[:3]:
        possession.proven(each, "GET", URL)
    with pytest.raises(RejectedToken, match="too many"):
        possession.proven(proofs[3], "GET", URL)
    with pytest.raises(RejectedToken, match="used before"):
        possession.proven(proofs[0], "GET", URL)
    clock.now += 2 * WINDOW_SECONDS + 1
    assert possession.proven(proof(clock, jti="later"), "GET", URL), "what is past is forgotten"
    assert len(possession._used) == 1


def test_rsa_keys_of_a_usual_size_fit(clock: Clock, possession: Possession) -> None:
    key = rsa.generate_private_key(65537, 4096)
    assert possession.proven(proof(clock, key, "RS256"), "GET", URL) == thumbprint(jwk(key))
