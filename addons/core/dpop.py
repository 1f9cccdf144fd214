"""Proof that a caller has the key that its session token is bound to: RFC 9449 (DPoP), judged after the signature.

A proof is for one request: its method, its address and its token. Deliberately absent: nonces, which need an answer
that an agent's client would have to act on; the window for `iat` is short instead, and a proof counts once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from addons.core.claims import RejectedToken
from addons.core.token import base64url, decode_object

ALGORITHMS = frozenset({"ES256", "EdDSA", "RS256", "PS256"})
WINDOW_SECONDS = 60
"""How far `iat` may be from now, and how long a proof has to be remembered."""
_COMPACT = re.compile(r"([A-Za-z0-9_-]{1,4096})\.([A-Za-z0-9_-]{1,4096})\.[A-Za-z0-9_-]{1,2048}")
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
"""The members that make up a thumbprint. Source: RFC 7638, section 3.2; RFC 8037, section 2."""
_PRIVATE = frozenset({"d", "k", "p", "q", "dp", "dq", "qi", "oth"})
"""The members of a key that is not public. Source: RFC 7518, section 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedProof:
    """A proof before its signature is checked, with the key that it names: only that of the token will do."""

    alg: str
    jwk: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def jkt(self) -> str:
        """The thumbprint of its key."""
        return thumbprint(self.jwk)


def read_proof(text: str) -> UnverifiedProof:
    """A proof as it is sent. Raises RejectedToken."""
    if (parts := _COMPACT.fullmatch(text)) is None:
        raise RejectedToken("its DPoP proof is not a signed JSON Web Token")
    header, claims = (decode_object(base64url(part)) for part in parts.groups())
    alg, jwk = header.get("alg"), header.get("jwk")
    if header.get("typ") != "dpop+jwt" or not _one_of(alg, ALGORITHMS) or not isinstance(jwk, dict):
        raise RejectedToken("the header of its DPoP proof must have typ dpop+jwt, an asymmetric alg and a jwk")
    if not _one_of(jwk.get("kty"), _REQUIRED) or _PRIVATE & jwk.keys():
        raise RejectedToken("the key in its DPoP proof must be a public one")
    return UnverifiedProof(alg=str(alg), jwk=jwk, claims=claims)


def check_proof(proof: UnverifiedProof, method: str, url: str, now: float, ath: str = "") -> str:
    """The `jti` of a proof whose signature is good, if it is for this request. Raises RejectedToken.

    `url` is a `target`. `ath` is the `token_hash` of what the proof comes with; "" where a token is asked for.
    """
    claims = proof.claims
    jti, made = claims.get("jti"), claims.get("iat")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 255:
        raise RejectedToken("its DPoP proof has no jti of 1 to 255 characters")
    if not _is_time(made) or abs(now - made) > WINDOW_SECONDS:
        raise RejectedToken(f"its DPoP proof was not made within {WINDOW_SECONDS} s of now: is the clock right?")
    if claims.get("htm") != method or claims.get("htu") != url:
        raise RejectedToken("its DPoP proof is for another request (htm, htu)")
    if ath and claims.get("ath") != ath:
        raise RejectedToken("its DPoP proof is for another token (ath)")
    return jti


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """RFC 7638: the SHA-256 of a public key's required members, base64url."""
    members = {name: str(jwk.get(name, "")) for name in _REQUIRED[str(jwk["kty"])]}
    return _hash(json.dumps(members, sort_keys=True, separators=(",", ":")))


def target(host: str, port: int, path: str) -> str:
    """`htu`: where a request goes, without query and fragment; the default port is left out (RFC 9449, section 4.3)."""
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}{'' if port == 443 else f':{port}'}{path.partition('?')[0]}"


def token_hash(token: str) -> str:
    """`ath`: the SHA-256 of a token, base64url."""
    return _hash(token)


def _one_of(value: object, known: Container[str]) -> bool:
    """Whether it is one of these texts; JSON has values that no table can be asked for."""
    return isinstance(value, str) and value in known


def _is_time(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be compared: not NaN, which nothing is far from, nor one beyond all floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else 0 <= value < 2**53


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
