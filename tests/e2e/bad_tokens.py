"""Tokens that nobody may be believed for, and a word of the reason that the caller is given."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

import jwt

Mint = Callable[..., str]


def tampered(token: str) -> str:
    """Another subject under the old signature."""
    header, claims, signature = token.split(".")
    other = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"sub": "root"}
    return f"{header}.{base64.urlsafe_b64encode(json.dumps(other).encode()).decode().rstrip('=')}.{signature}"


def unsigned(token: str) -> str:
    return jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", algorithm="none")


def self_signed(token: str) -> str:
    """The algorithm confusion: a symmetric signature under the key id of the issuer."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, "k" * 64, algorithm="HS256", headers={"kid": jwt.get_unverified_header(token)["kid"]})


BAD: dict[str, tuple[Callable[[Mint], str], str]] = {
    "none": (lambda mint: "", "there is none"),
    "no token at all": (lambda mint: "nonsense", "not a signed JSON Web Token"),
    "expired": (lambda mint: mint("late", groups=["agents"], claims={"exp": int(time.time()) - 5}), "expired"),
    "not yet valid": (lambda mint: mint("early", groups=["agents"], claims={"nbf": int(time.time()) + 999}), "nbf"),
    "other audience": (lambda mint: mint("lost", groups=["agents"], aud="another-app"), "another audience (aud)"),
    "other issuer": (lambda mint: mint("x", groups=["agents"], claims={"iss": "https://evil.test"}), "issuer (iss)"),
    "tampered": (lambda mint: tampered(mint("bent", groups=["agents"])), "signature is not valid"),
    "unsigned": (lambda mint: unsigned(mint("plain", groups=["agents"])), "not a signed JSON Web Token"),
    "signed by the caller": (lambda mint: self_signed(mint("self", groups=["agents"])), "algorithm (alg)"),
    "reserved name": (lambda mint: mint("system:admin", groups=["agents"]), "reserved by Kubernetes"),
    "reserved group": (lambda mint: mint("g", groups=["system:masters"]), "reserved by Kubernetes"),
}
