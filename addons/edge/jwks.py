"""An issuer's public keys: fetched by discovery, kept, refreshed in the background, bounded in every direction.

Keys in use are never waited for. An unknown key id or an empty cache waits for one fetch that all waiters share, and
fetches never follow each other faster than `MIN_INTERVAL`, however many unknown key ids are thrown at the gateway.
Sources: OpenID Connect Discovery 1.0, sections 4 and 4.3; JSON Web Key (RFC 7517).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from addons.core.identity_provider import IdentityProvider
from addons.core.safe_url import is_loopback, is_safe_url
from addons.edge.machine_trust import machine_trust

log = structlog.get_logger()

REFRESH_AFTER = 300.0
"""Seconds after which keys are fetched again, in the background."""
MIN_INTERVAL = 10.0
_MAX_BYTES = 512 * 1024
_MAX_KEYS = 100
_DEADLINE = 10.0
_MIN_RSA_BITS = 2048

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class KeysUnavailable(ConnectionError):
    """An issuer's keys could not be fetched and none are left that may be used. The caller is not at fault."""


class _Garbage(ValueError):
    """What an issuer answered is not what the specification says."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key and the algorithms it may verify."""

    kid: str
    algorithms: frozenset[str]
    public: PublicKey


class KeySource:
    """The keys of one issuer. `monotonic` gives seconds that never jump."""

    def __init__(self, provider: IdentityProvider, monotonic: Callable[[], float]) -> None:
        self.generation = 0
        """Changes with the keys: what was verified with other keys is to be verified again."""
        self.refresh_at = float("-inf")
        """Time from which `keep_fresh` has something to do."""
        self._provider, self._monotonic = provider, monotonic
        self._keys: tuple[Key, ...] = ()
        self._jwks: Any = None
        self._usable_until = self._next_fetch_at = float("-inf")
        self._failed = True
        self._flight: asyncio.Task[None] | None = None
        self._client = _client(provider.issuer)

    def keep_fresh(self) -> bool:
        """True while the keys may be used. Starts a fetch in the background when one is due."""
        now = self._monotonic()
        if now >= self.refresh_at and now >= self._next_fetch_at:
            self._fetch_once()
        return now < self._usable_until

    async def find(self, kid: str, alg: str) -> tuple[Key, ...]:
        """The keys that may have signed a token, empty when the issuer has none. Raises KeysUnavailable."""
        if self.keep_fresh() and (found := self._matching(kid, alg)):
            return found
        await self.fetch()
        if self._monotonic() >= self._usable_until or (self._failed and not self._matching(kid, alg)):
            raise KeysUnavailable(f"the keys of {self._provider.issuer} cannot be fetched")
        return self._matching(kid, alg)

    async def fetch(self) -> bool:
        """Wait for the fetch under way, or for one of our own unless the last was too recent. True if it succeeded."""
        if self._flight is None and self._monotonic() >= self._next_fetch_at:
            self._fetch_once()
        if self._flight is not None:
            await asyncio.shield(self._flight)  # a waiter that goes away takes nobody else's answer with it
        return not self._failed

    async def retire(self) -> None:
        """Stop fetching once the fetch under way, which somebody may wait for, is over."""
        if self._flight is not None:
            await asyncio.wait([self._flight])
        await self.close()

    async def close(self) -> None:
        """Stop fetching."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        await self._client.aclose()

    def _matching(self, kid: str, alg: str) -> tuple[Key, ...]:
        """By key id and algorithm; a token without a key id only when there is no choice."""
        able = tuple(key for key in self._keys if alg in key.algorithms)
        if kid:
            return tuple(key for key in able if key.kid == kid)
        return able if len(able) == 1 else ()

    def _fetch_once(self) -> None:
        if self._flight is None:
            self._next_fetch_at = self._monotonic() + MIN_INTERVAL
            self._flight = asyncio.ensure_future(self._fetch())
            self._flight.add_done_callback(self._landed)

    def _landed(self, _: asyncio.Task[None]) -> None:
        self._flight = None

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_DEADLINE):
                jwks = await self._get(self._provider.jwks_uri or await self._discover())
                keys = public_keys(jwks)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, _Garbage) as error:
            self._failed = True
            log.warning("keys not fetched", issuer=self._provider.issuer, error=f"{type(error).__name__}: {error}")
            return
        now = self._monotonic()
        max_age = self._provider.keys_max_age_seconds
        self._failed, self.refresh_at, self._usable_until = False, now + min(REFRESH_AFTER, max_age / 2), now + max_age
        if jwks != self._jwks:
            self._keys, self._jwks = keys, jwks
            self.generation += 1

    async def _discover(self) -> str:
        document = await self._get(self._provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._provider.issuer:
            raise _Garbage("the discovery document is of another issuer")
        uri = document.get("jwks_uri")
        if not isinstance(uri, str) or not is_safe_url(uri):
            raise _Garbage("the discovery document names no safe jwks_uri")
        return uri

    async def _get(self, url: str) -> dict[str, Any]:
        content = bytearray()
        async with self._client.stream("GET", url) as response:
            if response.status_code != 200:
                raise _Garbage(f"status {response.status_code} from {url}")
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise _Garbage(f"more than {_MAX_BYTES} bytes from {url}")
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise _Garbage(f"no JSON from {url}") from error
        if not isinstance(document, dict):
            raise _Garbage(f"no JSON object from {url}")
        return document


def public_keys(jwks: Mapping[str, Any]) -> tuple[Key, ...]:
    """The usable signature keys of a key set. Others are left out; a set without any is garbage."""
    entries = jwks.get("keys")
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise _Garbage("the key set has no list of keys, or a very long one")
    keys = tuple(key for entry in entries if isinstance(entry, dict) and (key := _key(entry)) is not None)
    if not keys:
        raise _Garbage("the key set has no usable key")
    return keys


def _key(jwk: dict[str, Any]) -> Key | None:
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        public = _public(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    kid, alg = jwk.get("kid", ""), jwk.get("alg")
    able = frozenset(name for name in _algorithms(public) if alg is None or name == alg)
    return Key(kid, able, public) if isinstance(kid, str) and able else None


def _public(jwk: dict[str, Any]) -> Any:
    """A public key; private parts, if an issuer publishes them, make the key worthless."""
    if "d" in jwk:
        return None
    match jwk.get("kty"):
        case "RSA":
            return RSAAlgorithm.from_jwk(jwk)
        case "EC":
            return ECAlgorithm.from_jwk(jwk)
        case "OKP":
            return OKPAlgorithm.from_jwk(jwk)
    return None


def _algorithms(public: Any) -> frozenset[str]:
    match public:
        case rsa.RSAPublicKey() if public.key_size >= _MIN_RSA_BITS:
            return _RSA
        case ec.EllipticCurvePublicKey() if public.curve.name in _CURVES:
            return frozenset({_CURVES[public.curve.name]})
        case ed25519.Ed25519PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()


def _client(issuer: str) -> httpx.AsyncClient:
    """No redirects, no compression, the machine's trust store; a proxy from the environment except to this machine."""
    return httpx.AsyncClient(
        verify=machine_trust(),
        trust_env=not is_loopback(issuer),
        follow_redirects=False,
        timeout=5.0,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "kube-chaperone"},
        limits=httpx.Limits(max_connections=2, max_keepalive_connections=0),
    )
