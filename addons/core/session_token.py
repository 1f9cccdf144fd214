"""Session tokens: what the console says of a caller whom another provider has vouched for, and what is read from it.

A session token is short-lived and signed by the console. It may be bound to a connection, an intent and a key, and what
it is bound to, no later exchange loosens. Sources: RFC 8693 (token exchange), section 4.1; RFC 7800, section 3.1, and
RFC 9449 (DPoP), section 6.1, for `cnf`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from addons.core.identity import Identity

ORIGIN = "origin"
"""The claim that says who vouched: `iss`, `sub` and, for rules to read, the other `claims` of the first proof."""
_OWN = frozenset("origin iss sub aud exp nbf iat jti sid session nonce at_hash c_hash cnf act groups".split())
"""Claims that are about a token and not about its subject, and those that are in the session token itself."""


MAY_ACT = "may_act"
"""The claim that says who alone may act for the subject (RFC 8693, section 4.4). Kept: an exchange must not lose it."""


class NotGranted(PermissionError):
    """The proof does not allow a session token such as the one asked for. The message is for the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a session token is good for; what is empty is not restricted. `jkt` is a key's thumbprint (RFC 7638)."""

    connection: str = ""
    intent: str = ""
    jkt: str = ""


def bound_to(identity: Identity) -> Binding:
    """What the token of an identity is bound to."""
    return Binding(connection=identity.connection, intent=identity.intent, jkt=identity.jkt)


def narrowed(identity: Identity, wish: Binding) -> Binding:
    """The binding of a new token for this identity. Raises NotGranted where it would loosen the old one."""
    old = bound_to(identity)
    return Binding(
        connection=_kept(old.connection, wish.connection, "connection"),
        intent=_kept(old.intent, wish.intent, "intent"),
        jkt=_kept(old.jkt, wish.jkt, "key"),
    )


def acting(identity: Identity, actor: Identity | None) -> str:
    """Who acts for the identity by a new token, "" if nobody but itself. Raises NotGranted."""
    if actor is None or actor.username == identity.username:
        return identity.act
    if identity.act:
        raise NotGranted("somebody acts for the subject already: a chain of actors is not granted")
    if actor.act:
        raise NotGranted("the actor token is itself used on somebody's behalf")
    if MAY_ACT in identity.claims and not _named(identity.claims[MAY_ACT], identity, actor):
        raise NotGranted("the subject token names another who may act (may_act)")
    return actor.sub


def session_claims(
    identity: Identity,
    binding: Binding,
    act: str,
    issuer: str,
    audience: str,
    times: tuple[float, float],
    token_id: str,
) -> dict[str, Any]:
    """The claims of a new session token; `times` are its beginning and end in Unix seconds.

    Tokens that come of one first exchange share its `sid`: they are one session, and are revoked together.
    """
    begins, ends = times
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": identity.sub,
        "groups": list(identity.groups),
        "iat": int(begins),
        "exp": int(ends),
        "jti": token_id,
        "sid": session_of(identity) or token_id,
        ORIGIN: origin_of(identity),
    }
    optional = {
        "owner": identity.owner,
        "act": {"sub": act} if act else None,
        "connection": binding.connection,
        "intent": binding.intent,
        "cnf": {"jkt": binding.jkt} if binding.jkt else None,
    }
    if MAY_ACT in identity.claims:
        claims[MAY_ACT] = identity.claims[MAY_ACT]
    return claims | {name: value for name, value in optional.items() if value}


def origin_of(identity: Identity) -> dict[str, Any]:
    """Who vouched for an identity first, as whom, and what else they said."""
    said = identity.claims.get(ORIGIN)
    found = said if identity.session_token and isinstance(said, dict) else {}
    others = {name: value for name, value in identity.claims.items() if name not in _OWN}
    return {
        "iss": identity.iss,
        "sub": str(found.get("sub") or identity.claims.get("sub", identity.sub)),
        "claims": found.get("claims", {}) if identity.session_token else others,
    }


def session_of(identity: Identity) -> str:
    """The session that a session token belongs to, "" for every other proof."""
    return str(identity.claims.get("sid", "")) if identity.session_token else ""


def spoken_for(identity: Identity) -> Identity | None:
    """Whom a verified session token speaks for: what its first issuer said of them. None if it does not say so well."""
    claims = identity.claims
    origin, cnf = claims.get(ORIGIN), claims.get("cnf", {})
    issuer = origin.get("iss") if isinstance(origin, dict) else None
    connection, intent = claims.get("connection", ""), claims.get("intent", "")
    jkt = cnf.get("jkt", None if cnf else "") if isinstance(cnf, dict) else None
    if not isinstance(issuer, str) or not issuer or not claims.get("sid"):
        return None
    if not isinstance(connection, str) or not isinstance(intent, str) or not isinstance(jkt, str):
        return None
    first = origin.get("claims") if isinstance(origin, dict) else None
    said = MappingProxyType({**(first if isinstance(first, dict) else {}), **claims})
    return replace(identity, iss=issuer, connection=connection, intent=intent, jkt=jkt, session_token=True, claims=said)


def lifetime(seconds: int, longest: int, now: float, not_after: float) -> tuple[float, float]:
    """Beginning and end of a new token, in Unix seconds; `seconds` 0 asks for the longest."""
    return now, min(now + min(seconds or longest, longest), not_after)


def not_after(identity: Identity) -> float:
    """What no token that is made of this one outlives: a session token's own end. Unix seconds."""
    return identity.exp if identity.session_token else float("inf")


def _named(may_act: object, identity: Identity, actor: Identity) -> bool:
    """Whether it is the actor; an issuer that is not named is the subject's own."""
    if not isinstance(may_act, dict) or not isinstance(may_act.get("sub"), str):
        return False
    return may_act["sub"] in actor.subjects and may_act.get("iss", identity.iss) == actor.iss


def _kept(old: str, new: str, what: str) -> str:
    if old and new and old != new:
        raise NotGranted(f"the subject token is bound to another {what}")
    return old or new
