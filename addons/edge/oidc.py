"""Verifies callers' tokens: signature by the issuer's keys, then the claims.

A token seen before costs a digest and a lookup. The cache holds digests, never tokens, and what is in it is checked
against the clock and the issuer's present keys each time. Deliberately absent: any way to accept an unsigned token.
Source: RFC 8725 (JWT Best Current Practices).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from jwt import InvalidTokenError
from jwt.api_jws import PyJWS

from addons.core.claims import RejectedToken, identity_from_claims
from addons.core.identity import Identity
from addons.core.identity_provider import IdentityProvider
from addons.core.token import UnverifiedToken, decode_object, read_token
from addons.edge.jwks import Key, KeySource, KeysUnavailable

__all__ = ["KeysUnavailable", "Verifier"]

_SEEN_TOKENS = 8192
_JWS = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True)
class _Seen:
    identity: Identity
    not_before_at: float
    source: KeySource
    generation: int


class Verifier:
    """Tokens to identities, for all providers. Belongs to one event loop."""

    def __init__(self, providers: Iterable[IdentityProvider], monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._issuers = {provider.issuer: (provider, KeySource(provider, monotonic)) for provider in providers}
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()

    def cached(self, token: str, now: float) -> Identity | None:
        """The identity of a token that was verified before and still holds at `now` (Unix seconds); else None."""
        seen = self._seen.get(digest := sha256(token.encode("utf-8", "surrogateescape")).digest())
        if seen is None:
            return None
        source = seen.source
        fresh = self._monotonic() < source.refresh_at or source.keep_fresh()
        if not fresh or seen.generation != source.generation or not seen.not_before_at <= now < seen.identity.exp:
            return None
        self._seen.move_to_end(digest)
        return seen.identity

    async def verify(self, token: str, now: float) -> Identity:
        """The identity a token proves at `now` (Unix seconds). Raises RejectedToken, or KeysUnavailable."""
        if (identity := self.cached(token, now)) is not None:
            return identity
        unverified = read_token(token)
        if unverified.iss not in self._issuers:
            raise RejectedToken("its issuer (iss) is not accepted here")
        provider, source = self._issuers[unverified.iss]
        if unverified.alg not in provider.algorithms:
            raise RejectedToken("its signature algorithm (alg) is not accepted for its issuer")
        keys = await source.find(unverified.kid, unverified.alg)
        identity = identity_from_claims(decode_object(_verified(token, unverified, keys)), provider, now)
        self._remember(token, identity, provider, source)
        return identity

    async def prepare(self) -> list[str]:
        """Fetch every issuer's keys; the issuers that could not be reached."""
        return [issuer for issuer, (_, source) in self._issuers.items() if not await source.fetch()]

    def without_keys(self) -> list[str]:
        """The issuers whose tokens cannot be judged now; being asked keeps the others' keys fresh."""
        return [issuer for issuer, (_, source) in self._issuers.items() if not source.keep_fresh()]

    async def close(self) -> None:
        """Stop fetching keys."""
        for _, source in self._issuers.values():
            await source.close()

    def _remember(self, token: str, identity: Identity, provider: IdentityProvider, source: KeySource) -> None:
        starts = [identity.claims[claim] for claim in ("nbf", "iat") if claim in identity.claims]
        not_before_at = max(starts, default=0) - provider.leeway_seconds
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        self._seen[digest] = _Seen(identity, not_before_at, source, source.generation)
        if len(self._seen) > _SEEN_TOKENS:
            self._seen.popitem(last=False)


def _verified(token: str, unverified: UnverifiedToken, keys: tuple[Key, ...]) -> bytes:
    """The payload, once one of the keys verifies the signature. The error of the library is not passed on."""
    for key in keys:
        try:
            payload: bytes = _JWS.decode_complete(token, key=key.public, algorithms=[unverified.alg])["payload"]
            return payload
        except InvalidTokenError:
            continue
    if not keys:
        raise RejectedToken("it is signed with a key its issuer does not publish")
    raise RejectedToken("its signature is not valid")
