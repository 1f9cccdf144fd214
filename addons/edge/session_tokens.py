"""The console's signing key, in the state folder, and the tokens it signs.

Session tokens are JSON Web Tokens of type `at+jwt` (RFC 9068), signed with ES256; the key id is the key's thumbprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from jwt.api_jws import PyJWS

from addons.core.claims import RejectedToken
from addons.core.console import ALGORITHM
from addons.core.dpop import thumbprint
from addons.core.token import decode_object
from addons.edge.durable import make_once

KEY_FILE = "console-key.pem"
_JWS = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


class Signer:
    """Signs with the key in `state`, made if there is none. Raises OSError or ValueError for one that is no good."""

    def __init__(self, state: Path) -> None:
        self._key = _load(state / KEY_FILE)
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        public.pop("key_ops", None)
        self._kid = thumbprint(public)
        self.jwks: Mapping[str, Any] = {"keys": [{**public, "kid": self._kid, "use": "sig", "alg": ALGORITHM}]}
        """What the gateway verifies with (RFC 7517)."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with these claims."""
        return jwt.encode(dict(claims), self._key, ALGORITHM, headers={"kid": self._kid, "typ": "at+jwt"})

    def claims_of(self, token: str) -> dict[str, Any]:
        """The claims of a token that was signed with this key, however old. Raises RejectedToken."""
        try:
            payload: bytes = _JWS.decode_complete(token, key=self._key.public_key(), algorithms=[ALGORITHM])["payload"]
        except jwt.InvalidTokenError:
            raise RejectedToken("its signature is not valid") from None
        return decode_object(payload)


def _load(file: Path) -> ec.EllipticCurvePrivateKey:
    if not file.exists():
        _make(file)
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except (TypeError, UnsupportedAlgorithm) as error:  # with a password; of a kind that is not known
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError(f"{file} must hold a private key of the curve P-256")
    return key


def _make(file: Path) -> None:
    """Whoever comes first makes it."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    make_once(file, pem)
