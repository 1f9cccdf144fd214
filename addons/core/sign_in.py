"""Signing in as a person at an OpenID provider: what is sent, and what of the answers is believed.

The authorization code flow with PKCE for a public client, by a browser on the same machine, and the device flow where
there is none. Sources: OpenID Connect Core 1.0, sections 3.1.2 and 3.1.3.7; RFC 7636 (PKCE), RFC 8252 (native
applications), RFC 8628 (device flow).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from addons.core.safe_url import is_loopback
from addons.core.token import RejectedToken, unverified_claims

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class SignInFailed(PermissionError):
    """The provider did not say who it is, or said it of something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What is registered at the provider for people who sign in: a public client, without a secret."""

    issuer: str
    client_id: str
    scope: str = "openid profile email groups offline_access"

    @property
    def digest(self) -> str:
        """A name for what is kept for it."""
        return hashlib.sha256(f"{self.issuer}\n{self.client_id}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to sign in. All three are random, and known to nobody else before they are used."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """`code_challenge` of the method S256."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def endpoint(configuration: Mapping[str, Any], issuer: str, name: str) -> str:
    """An endpoint of the provider, by its metadata. Raises SignInFailed."""
    if configuration.get("issuer") != issuer:
        raise SignInFailed(f"{issuer} says that it is {configuration.get('issuer')!r}: give --issuer exactly so")
    url = str(configuration.get(name) or "")
    if not url:
        raise SignInFailed(f"{issuer} has no {name}: it cannot be signed in to this way")
    if urlsplit(url).scheme != "https" and not is_loopback(url):
        raise SignInFailed(f"the {name} of {issuer} is not https")
    return url


def authorization_url(url: str, client: Client, attempt: Attempt, redirect_uri: str) -> str:
    """Where a browser is sent."""
    query = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": client.scope,
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"


def code_of(target: str, attempt: Attempt) -> str:
    """The code in what a browser came back with. Raises SignInFailed."""
    query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items() if len(values) == 1}
    if not hmac.compare_digest(query.get("state", "").encode(), attempt.state.encode()):
        raise SignInFailed("the browser came back with another's answer: sign in again")
    if "code" not in query:
        raise SignInFailed(f"the provider refused: {reason(query)}")
    return query["code"]


def reason(answer: Mapping[str, Any]) -> str:
    """Why a provider refused. Source: RFC 6749, section 5.2."""
    return str(answer.get("error_description") or answer.get("error") or "it does not say why")


def code_exchange(client: Client, attempt: Attempt, code: str, redirect_uri: str) -> dict[str, str]:
    """What the token endpoint is asked for a code."""
    return {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": attempt.verifier,
    }


def device_exchange(client: Client, device_code: str) -> dict[str, str]:
    """What the token endpoint is asked while a person types a code somewhere else."""
    return {"grant_type": _DEVICE_GRANT, "client_id": client.client_id, "device_code": device_code}


def refresh(client: Client, refresh_token: str) -> dict[str, str]:
    """What the token endpoint is asked for new tokens."""
    return {"grant_type": "refresh_token", "client_id": client.client_id, "refresh_token": refresh_token}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a person has signed in with. `expires_at` is in Unix seconds."""

    id_token: str = field(repr=False)
    expires_at: float
    refresh_token: str = field(default="", repr=False)


def believed(answer: Mapping[str, Any], client: Client, now: float, nonce: str = "", kept: str = "") -> Tokens:
    """The tokens in the token endpoint's answer; `kept` is the refresh token so far.

    The signature is the gateway's to verify: this came from the provider itself, over TLS. Raises SignInFailed.
    """
    try:
        claims = unverified_claims(str(answer.get("id_token") or ""))
    except RejectedToken:
        raise SignInFailed("the provider sent no ID token: is `openid` in --scope?") from None
    audience, expires = claims.get("aud"), claims.get("exp")
    if claims.get("iss") != client.issuer or client.client_id not in (
        audience if isinstance(audience, list) else [audience]
    ):
        raise SignInFailed("the provider sent a token for somebody else")
    if nonce and claims.get("nonce") != nonce:
        raise SignInFailed("the provider sent a token of another sign-in")
    if not isinstance(expires, int | float) or expires <= now:
        raise SignInFailed("the provider sent a token that has expired: is the clock right?")
    renewed = str(answer.get("refresh_token") or kept)
    return Tokens(id_token=answer["id_token"], expires_at=float(expires), refresh_token=renewed)
