"""Reads a bearer token before anything in it is believed: the header field, its shape, its JOSE header, its issuer.

A caller gives it with each request, or once for all of a tunnel, in the Proxy-Authorization of its CONNECT.

Stricter than the specifications wherever two readers could differ. Nothing here verifies a signature.
Sources: RFC 6750, section 2.1; RFC 7617, section 2 (Basic); JSON Web Signature (RFC 7515), sections 4.1 and 7.1; RFC
8725 (JWT Best Current Practices), sections 3.1, 3.10 and 3.11.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from addons.core.secret import Secret

if TYPE_CHECKING:
    from addons.core.identity_provider import IdentityProvider

MAX_TOKEN = 16 * 1024
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_KEY_BY_CALLER = ("jku", "jwk", "x5u", "x5c")
"""They let the token choose the key it is verified with."""
_UNSUPPORTED = ("crit", "b64", "zip", "enc")
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class RejectedToken(PermissionError):
    """The caller's token does not identify it. The message is for the caller and quotes nothing of the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedToken:
    """What a token says of itself, only good for choosing the key. `kid` is empty when it names none."""

    alg: str
    kid: str
    iss: str


class TwoTokens(ValueError):
    """A request came with two different tokens."""


def bearer_token(authorization: Sequence[str]) -> str:
    """The token in a request's Authorization values, of which there must be exactly one. Raises RejectedToken."""
    if not authorization:
        raise RejectedToken("there is none")
    if len(authorization) > 1:
        raise RejectedToken("there is more than one Authorization header")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() not in ("bearer", "dpop") or not _is_one_word(token):
        raise RejectedToken(
            "the Authorization header must be `Bearer` (or `DPoP`) and one token, one space between them"
        )
    return token


def tunnel_token(proxy_authorization: Sequence[str]) -> str | None:
    """The token in a CONNECT's Proxy-Authorization values: a Basic password, or a Bearer token. None without any.

    Raises RejectedToken with one line of ASCII: of such an answer, clients show the reason phrase alone.
    """
    if not proxy_authorization:
        return None
    if len(proxy_authorization) > 1:
        raise RejectedToken("there is more than one Proxy-Authorization header: send one")
    scheme, _, token = proxy_authorization[0].partition(" ")
    if scheme.lower() == "basic":
        token = _password(token)
    if scheme.lower() not in ("basic", "bearer") or not _is_one_word(token):
        raise RejectedToken("give your token as the password of the proxy's URL: http://x:TOKEN@gateway")
    if len(token) > MAX_TOKEN:
        raise RejectedToken(f"your token is longer than {MAX_TOKEN} characters")
    return token


def request_token(authorization: Sequence[str], tunnels: Secret | None) -> str:
    """The token of a request: its own, or the one that its tunnel was opened with. Raises RejectedToken.

    Raises TwoTokens when it has both and they differ: whichever was taken, the caller might mean the other.
    """
    if not authorization and tunnels is not None:
        return tunnels.reveal()
    token = bearer_token(authorization)
    if tunnels not in (None, Secret(token)):
        raise TwoTokens("the token in Authorization is another than the one its tunnel was opened with")
    return token


def read_token(token: str) -> UnverifiedToken:
    """What a signed token in compact form says of itself. Raises RejectedToken for anything else."""
    if len(token) > MAX_TOKEN:
        raise RejectedToken(f"it is longer than {MAX_TOKEN} characters")
    if (parts := _COMPACT.fullmatch(token)) is None:
        raise RejectedToken("it is not a signed JSON Web Token")
    header, claims = decode_object(base64url(parts[1])), decode_object(base64url(parts[2]))
    for name in (*_KEY_BY_CALLER, *_UNSUPPORTED):
        if name in header:
            raise RejectedToken(f"its header parameter {name} is not accepted")
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise RejectedToken("its type (typ) is not that of an identity or access token")
    alg, kid, iss = header.get("alg"), header.get("kid", ""), claims.get("iss")
    if not isinstance(alg, str) or not isinstance(kid, str) or not isinstance(iss, str):
        raise RejectedToken("it needs a signature algorithm (alg) and an issuer (iss)")
    return UnverifiedToken(alg=alg, kid=kid, iss=iss)


def unverified_claims(token: str) -> dict[str, Any]:
    """The claims of a token in compact form, whoever wrote them. Raises RejectedToken."""
    if (parts := _COMPACT.fullmatch(token)) is None:
        raise RejectedToken("it is not a signed JSON Web Token")
    return decode_object(base64url(parts[2]))


def decode_object(text: bytes) -> dict[str, Any]:
    """A JSON object without duplicate names, in UTF-8. Raises RejectedToken."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise RejectedToken("it is not a JSON Web Token: its header and claims must be plain JSON") from None
    if not isinstance(value, dict):
        raise RejectedToken("it is not a JSON Web Token: its header and claims must be JSON objects")
    return value


def expected_tokens(providers: Iterable[IdentityProvider]) -> str:
    """Which tokens are accepted here, as advice to a caller without one."""
    wanted = " or ".join(
        f"{provider.issuer} for the audience {' or '.join(provider.audiences)}" for provider in providers
    )
    return f"get a new token from {wanted} and send it as the token of your kubeconfig user (Authorization: Bearer)"


def _is_one_word(token: str) -> bool:
    return bool(token) and " " not in token and token.isprintable()


def _password(credentials: str) -> str:
    """What follows the first colon; nothing of what is not a user and a password in base64."""
    try:
        return base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
    except ValueError:
        return ""


def base64url(text: str) -> bytes:
    """What a part of a token says. Raises RejectedToken."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise RejectedToken("it is not a JSON Web Token: a part of it is not base64url") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate name")
    return result
