"""Who the caller is, in OIDC claim names (OpenID Connect Core 1.0, section 2; `act` from RFC 8693, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A verified caller. Only `core.claims.identity_from_claims`, after the signature check, makes one in production.

    `exp` is Unix seconds. `claims` holds every verified claim, for rules; it never holds the token itself.
    """

    iss: str
    sub: str
    aud: tuple[str, ...]
    exp: float
    jti: str = ""
    groups: tuple[str, ...] = ()
    act: str = ""
    """Subject of the acting party when an agent works on behalf of `sub`; empty otherwise."""
    owner: str = ""
    """The human or team answerable for the agent; may not approve its requests."""
    connection: str = ""
    """The only connection that the token is good for; empty: any."""
    intent: str = ""
    """What the token is for; empty: what the caller says."""
    jkt: str = ""
    """Thumbprint of the key that the caller must prove to have (RFC 9449); empty: none."""
    session_token: bool = False
    """Whether the console issued the token; `iss` is then who vouched for the caller before."""
    claims: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def subjects(self) -> frozenset[str]:
        """What others may know the caller by: `sub`, and the token's own where another claim is mapped to it."""
        origin = self.claims.get("origin") if self.session_token else None
        first = origin if isinstance(origin, Mapping) else self.claims
        return frozenset((self.sub, str(first.get("sub", self.sub))))

    @property
    def username(self) -> str:
        """The identity as one line for people and records: `sub`, qualified by its issuer."""
        return f"{self.iss}#{self.sub}"
