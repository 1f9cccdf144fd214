"""From verified claims to an Identity, or the precise reason why not.

Runs after the signature check and decides everything else. Claims that are checked: `CHECKED`; claims with a meaning in
a specification that are deliberately not checked: `UNCHECKED`. Every other claim is only carried, for rules to read.
Sources: JSON Web Token (RFC 7519), section 4.1; OpenID Connect Core 1.0, sections 2 and 3.1.3.7; RFC 8693, section 4.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from addons.core.guardrails.cel import ClaimsExpression, Unevaluable
from addons.core.identity import Identity
from addons.core.identity_provider import ClaimSource, IdentityProvider, compile_identity
from addons.core.session_token import spoken_for
from addons.core.token import RejectedToken

__all__ = [
    "CHECKED",
    "UNCHECKED",
    "IdentityProvider",
    "RejectedToken",
    "compile_identity",
    "group_names",
    "identity_from_claims",
    "subject_of",
]

MAX_GROUPS = 200
"""Entra ID's own limit for groups in a token; more are refused, never cut."""
_MAX_LENGTH = 255

CHECKED: Mapping[str, str] = MappingProxyType(
    {
        "iss": "exactly the provider's issuer",
        "aud": "contains one of the provider's audiences",
        "exp": "required; the token is refused from that second on, without leeway",
        "nbf": "if present, not in the future (with leeway)",
        "iat": "if present, not in the future (with leeway)",
        "sub": "required, unless mapped from others; 1-255 printable ASCII characters, no spaces, no `system:` prefix",
        "jti": "required with singleUse; if present, text of 1-255 printable ASCII characters, no spaces",
        "act": "if present, an object whose `sub` is held to the same rules as `sub`",
        "groups": "if present or mapped, a list of at most 200 names: printable ASCII, no comma, no `system:` prefix",
        "origin, sid, connection, intent, cnf": "in session tokens: who vouched, and what they are bound to",
        "owner": "if mapped and present, held to the same rules as a group",
        "_claim_names": "groups that are named here are somewhere else (more than fit in a token): refused, never none",
        "requiredClaims": "present with one of the configured values, of the same type",
    }
)
UNCHECKED: Mapping[str, str] = MappingProxyType(
    {
        "azp": "who asked for the token; a provider that matters here sets requiredClaims",
        "nonce": "belongs to the login that obtained the token, which the gateway did not see",
        "auth_time, acr, amr": "how the person signed in; use requiredClaims where it matters",
        "at_hash, c_hash": "bind tokens the gateway never sees",
        "jti": "without singleUse it is not remembered: a token may be used from anywhere until it expires",
        "act.act": "earlier actors of a delegation chain are carried, not checked",
    }
)

_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")
_NAME = re.compile(r"[\x21-\x2b\x2d-\x7e](?:[\x20-\x2b\x2d-\x7e]{0,253}[\x21-\x2b\x2d-\x7e])?")


def identity_from_claims(claims: Mapping[str, Any], provider: IdentityProvider, now: float) -> Identity:
    """The identity that a provider's verified claims prove at `now` (Unix seconds). Raises RejectedToken."""
    if claims.get("iss") != provider.issuer:
        raise RejectedToken("its issuer (iss) is not the one whose key signed it")
    audience = _audience(claims.get("aud"), provider)
    expires_at = _check_times(claims, provider.leeway_seconds, now)
    for claim, wanted in provider.required_claims:
        _check_required(claims, claim, wanted)
    identity = Identity(
        iss=provider.issuer,
        sub=subject_of(_read(claims, provider.subject, "subject"), _named(provider.subject, "mapped subject")),
        aud=audience,
        exp=expires_at,
        jti=_token_id(claims, provider),
        groups=_groups(claims, provider),
        act=_actor(claims["act"]) if "act" in claims else "",
        owner=_owner(claims, provider.owner),
        claims=MappingProxyType(dict(claims)),
    )
    return _spoken_for(identity) if provider.session_tokens else identity


def _spoken_for(identity: Identity) -> Identity:
    found = spoken_for(identity)
    if found is None:
        raise RejectedToken(
            "it is not a session token: its origin, sid, connection, intent or cnf is not as it must be"
        )
    return found


def _audience(value: object, provider: IdentityProvider) -> tuple[str, ...]:
    match value:
        case str():
            audience: tuple[str, ...] = (value,)
        case list() if all(isinstance(item, str) for item in value):
            audience = tuple(value)
        case _:
            raise RejectedToken("its audience (aud) must be a text or a list of texts")
    if not any(item in provider.audiences for item in audience):
        raise RejectedToken("it is meant for another audience (aud)")
    return audience


def _check_times(claims: Mapping[str, Any], leeway: float, now: float) -> float:
    """The expiry, once no time in the claims says that the token is not valid now."""
    if "exp" not in claims:
        raise RejectedToken("it has no expiry (exp)")
    expires_at = _time(claims["exp"], "exp")
    if now >= expires_at:
        raise RejectedToken(f"it expired {math.ceil(now - expires_at)} s ago")
    if "nbf" in claims and (early := _time(claims["nbf"], "nbf") - now) > leeway:
        raise RejectedToken(f"it is not valid before {math.ceil(early)} s from now (nbf)")
    if "iat" in claims and (early := _time(claims["iat"], "iat") - now) > leeway:
        raise RejectedToken(f"it was issued {math.ceil(early)} s in the future (iat): one of the clocks is wrong")
    return expires_at


def _time(value: object, claim: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise RejectedToken(f"its {claim} is not a time in Unix seconds")
    return value


def _check_required(claims: Mapping[str, Any], claim: str, wanted: tuple[object, ...]) -> None:
    """Values are equal only with their type: `True` is not 1."""
    value = claims.get(claim)
    if not any(type(value) is type(item) and value == item for item in wanted):
        raise RejectedToken(f"its claim {claim} is missing or has another value than this gateway requires")


def subject_of(value: object, claim: str) -> str:
    """The value as a subject; `claim` is what messages call it. Raises RejectedToken."""
    if not isinstance(value, str) or not _SUBJECT.fullmatch(value):
        raise RejectedToken(f"its {claim} must be 1-{_MAX_LENGTH} printable ASCII characters without spaces")
    return _not_reserved(value, claim)


def _token_id(claims: Mapping[str, Any], provider: IdentityProvider) -> str:
    if "jti" in claims:
        return subject_of(claims["jti"], "jti")
    if provider.single_use:
        raise RejectedToken("it has no jti, by which the gateway would know it when it is used elsewhere")
    return ""


def _actor(value: object) -> str:
    if not isinstance(value, dict):
        raise RejectedToken("its act must be an object with a sub (RFC 8693, section 4.1)")
    return subject_of(value.get("sub"), "act.sub")


def _read(claims: Mapping[str, Any], source: ClaimSource, what: str) -> object:
    """The value of a claim or an expression; None if there is no such claim."""
    if isinstance(source, str):
        return claims.get(source)
    try:
        return source.value(claims)
    except Unevaluable as error:
        raise RejectedToken(f"its claims do not give the {what} that this gateway reads from them") from error


def _named(source: ClaimSource, mapped: str) -> str:
    """What messages call the source. An expression is the gateway's own business."""
    return mapped if isinstance(source, ClaimsExpression) else source


def _groups(claims: Mapping[str, Any], provider: IdentityProvider) -> tuple[str, ...]:
    """No groups where the token has no such claim, but not where it says that they are to be had elsewhere."""
    source, claim = provider.groups, _named(provider.groups, "mapped groups")
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and claim in elsewhere:
        raise RejectedToken(f"its {claim} are too many to be in it (_claim_names): let its issuer put in fewer")
    if isinstance(source, str) and source not in claims:
        return ()
    return group_names(_read(claims, source, "groups"), claim)


def group_names(value: object, claim: str) -> tuple[str, ...]:
    """The value as the names of groups. Raises RejectedToken."""
    if not isinstance(value, list):
        raise RejectedToken(f"its {claim} must be a list of group names")
    if len(value) > MAX_GROUPS:
        raise RejectedToken(f"its {claim} lists more than {MAX_GROUPS} groups")
    return tuple(_name(item, claim) for item in value)


def _owner(claims: Mapping[str, Any], source: ClaimSource) -> str:
    if isinstance(source, str) and (not source or source not in claims):
        return ""
    return _name(_read(claims, source, "owner"), _named(source, "mapped owner"))


def _name(value: object, claim: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise RejectedToken(
            f"each name in its {claim} must be 1-{_MAX_LENGTH} printable ASCII characters, no comma, no outer spaces"
        )
    return _not_reserved(value, claim)


def _not_reserved(value: str, claim: str) -> str:
    """Kubernetes keeps `system:` for itself: such a name could be taken for one of its own (B-22)."""
    if value.lower().startswith("system:"):
        raise RejectedToken(f"its {claim} uses the prefix system:, which is reserved by Kubernetes")
    return value
