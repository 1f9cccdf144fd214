"""One agent's job on one cluster: the unit of recording and replay."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from addons.core.identity import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`id` is safe as a folder name and the same in every worker process; `started_at` is Unix seconds."""

    id: str
    identity: Identity
    connection: str
    started_at: float
    intent: str = ""


def session_id(identity: Identity, connection: str, intent: str) -> str:
    """One job is one token's use of one connection with one intent, so every worker derives the same id.

    A `sid` or `session` claim (OpenID Connect Front-Channel Logout 1.0; token exchange) outlives token refreshes and is
    preferred; then `jti`; then `iat`, which changes with every issued token.
    """
    claims = identity.claims
    job = claims.get("session") or claims.get("sid") or identity.jti or claims.get("iat", "")
    seed = "\x00".join((identity.iss, identity.sub, identity.act, connection, str(job), intent))
    return hashlib.sha256(seed.encode()).hexdigest()[:20]
