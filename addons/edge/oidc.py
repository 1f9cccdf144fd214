"""Verifies callers' tokens: signature by the issuer's keys, then the claims.

A token seen before costs a digest and a lookup. The cache holds digests, never tokens, and what is in it is checked
against the clock and the issuer's present keys each time. Deliberately absent: any way to accept an unsigned token.
Source: RFC 8725 (JWT Best Current Practices).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from jwt import InvalidTokenError
from jwt.api_jws import PyJWS

from addons.core.claims import RejectedToken, identity_from_claims
from addons.core.identity import Identity
from addons.core.identity_provider import IdentityProvider
from addons.core.token import UnverifiedToken, decode_object, expected_tokens, read_token
from addons.edge.jwks import Key, KeySource, KeysUnavailable

__all__ = ["KeysUnavailable", "Verifier"]

_SEEN_TOKENS = 8192
_JWS = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


Issuers = Mapping[str, tuple[IdentityProvider, KeySource]]
"""By `iss`: what is demanded of its tokens, and its keys."""


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
        self._issuers: Issuers = {each.issuer: (each, KeySource(each, monotonic)) for each in providers}
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._retiring: set[asyncio.Task[None]] = set()

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

    @property
    def advice(self) -> str:
        """Which tokens are accepted, for a caller without one."""
        return expected_tokens([provider for provider, _ in self._issuers.values()])

    async def prepare_for(self, providers: Iterable[IdentityProvider]) -> tuple[Issuers, list[str]]:
        """The keys of other providers, for `use`, and the issuers that could not be reached.

        Keys that come from where they came from stay; the others are fetched.
        """
        known = {_where(provider): source for provider, source in self._issuers.values()}
        issuers = {
            provider.issuer: (provider, known.get(_where(provider)) or KeySource(provider, self._monotonic))
            for provider in providers
        }
        added = {issuer: source for issuer, (_, source) in issuers.items() if source not in known.values()}
        fetched = await asyncio.gather(*(source.fetch() for source in added.values()))
        return issuers, [issuer for issuer, reached in zip(added, fetched, strict=True) if not reached]

    def use(self, issuers: Issuers) -> None:
        """Judge by these from now on. Tokens seen before are verified again."""
        kept = {source for _, source in issuers.values()}
        dropped = [source for _, source in self._issuers.values() if source not in kept]
        self._issuers, self._seen = issuers, OrderedDict()
        for source in dropped:  # who waits for one of them still gets its answer
            task = asyncio.ensure_future(source.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

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
        await asyncio.gather(*self._retiring)

    def _remember(self, token: str, identity: Identity, provider: IdentityProvider, source: KeySource) -> None:
        if self._issuers.get(provider.issuer) != (provider, source):
            return  # judged by what was replaced meanwhile
        starts = [identity.claims[claim] for claim in ("nbf", "iat") if claim in identity.claims]
        not_before_at = max(starts, default=0) - provider.leeway_seconds
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        self._seen[digest] = _Seen(identity, not_before_at, source, source.generation)
        if len(self._seen) > _SEEN_TOKENS:
            self._seen.popitem(last=False)


def _where(provider: IdentityProvider) -> tuple[str, str, float]:
    return provider.issuer, provider.jwks_uri, provider.keys_max_age_seconds


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
