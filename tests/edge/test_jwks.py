from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from addons.edge.jwks import MIN_INTERVAL, REFRESH_AFTER, KeySource, KeysUnavailable, public_keys
from tests.support.issuer import EC_1, ED_1, RSA_1, RSA_2, RSA_SMALL, Clock, Issuer, jwk, provider

MAX_AGE = provider("").keys_max_age_seconds

CONFIGURATION = "/.well-known/openid-configuration"


@pytest.fixture
async def source(idp: Issuer, clock: Clock) -> AsyncIterator[KeySource]:
    found = KeySource(provider(idp.url), clock)
    yield found
    await found.close()


async def settle(source: KeySource) -> None:
    """Wait for a fetch in the background without starting one."""
    if source._flight is not None:
        await source._flight


async def test_keys_are_discovered_once_and_then_cached(idp: Issuer, source: KeySource) -> None:
    assert [key.kid for key in await source.find("k1", "RS256")] == ["k1"]
    await source.find("k1", "RS256")
    assert idp.asked == [CONFIGURATION, "/jwks"]


async def test_a_configured_address_needs_no_discovery(idp: Issuer, clock: Clock) -> None:
    source = KeySource(provider(idp.url, jwks_uri=f"{idp.url}/jwks"), clock)
    assert await source.find("k1", "RS256")
    assert idp.asked == ["/jwks"]
    await source.close()


async def test_an_unknown_key_id_fetches_once_per_interval_whatever_the_flood(
    idp: Issuer, source: KeySource, clock: Clock
) -> None:
    await source.find("k1", "RS256")
    clock.now += MIN_INTERVAL
    found = await asyncio.gather(*(source.find(f"made-up-{number}", "RS256") for number in range(500)))
    assert set(found) == {()}
    assert idp.fetches == 2
    await source.find("another", "RS256")
    assert idp.fetches == 2, "too soon after the last"
    clock.now += MIN_INTERVAL
    idp.publish(jwk(RSA_1), jwk(RSA_2, "k2"))
    assert [key.kid for key in await source.find("k2", "RS256")] == ["k2"]
    assert idp.fetches == 3


async def test_a_waiter_that_goes_away_takes_nobody_elses_answer_with_it(idp: Issuer, source: KeySource) -> None:
    idp.delay = 0.05
    impatient = asyncio.ensure_future(source.find("k1", "RS256"))
    patient = asyncio.ensure_future(source.find("k1", "RS256"))
    await asyncio.sleep(0.01)
    impatient.cancel()
    assert await patient
    assert idp.fetches == 1


async def test_cached_keys_are_refreshed_in_the_background(idp: Issuer, source: KeySource, clock: Clock) -> None:
    await source.find("k1", "RS256")
    generation = source.generation
    idp.publish(jwk(RSA_2, "k2"))
    clock.now += REFRESH_AFTER
    assert await source.find("k1", "RS256"), "the old key, without waiting"
    assert idp.fetches == 1
    await settle(source)
    assert idp.fetches == 2
    assert source.generation == generation + 1
    assert [key.kid for key in await source.find("k2", "RS256")] == ["k2"]
    assert await source.find("k1", "RS256") == (), "a key its issuer withdrew"


async def test_the_generation_only_changes_with_the_keys(source: KeySource, clock: Clock) -> None:
    await source.find("k1", "RS256")
    generation = source.generation
    clock.now += REFRESH_AFTER
    await source.fetch()
    assert source.generation == generation


async def test_cached_keys_survive_an_outage_for_a_bounded_time(idp: Issuer, source: KeySource, clock: Clock) -> None:
    await source.find("k1", "RS256")
    idp.answers.clear()
    clock.now += MAX_AGE - 1
    assert await source.find("k1", "RS256")
    await settle(source)
    clock.now += MIN_INTERVAL
    with pytest.raises(KeysUnavailable):
        await source.find("k1", "RS256")
    assert not source.keep_fresh()
    await settle(source)
    idp.publish(jwk(RSA_1))
    clock.now += MIN_INTERVAL
    assert await source.find("k1", "RS256"), "back again"


async def test_an_unknown_key_during_an_outage_is_not_the_callers_fault(
    idp: Issuer, source: KeySource, clock: Clock
) -> None:
    await source.find("k1", "RS256")
    idp.answers.clear()
    clock.now += MIN_INTERVAL
    with pytest.raises(KeysUnavailable):
        await source.find("k2", "RS256")


def discovery(idp: Issuer, **changes: Any) -> bytes:
    return json.dumps({"issuer": idp.url, "jwks_uri": f"{idp.url}/jwks", **changes}).encode()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param(CONFIGURATION, (500, b""), id="error"),
        pytest.param(CONFIGURATION, (302, b"https://evil.example/"), id="redirect"),
        pytest.param(CONFIGURATION, (200, b"<html>"), id="no JSON"),
        pytest.param(CONFIGURATION, (200, b"[]"), id="no object"),
        pytest.param(CONFIGURATION, (200, b'{"issuer": "https://other", "jwks_uri": "/jwks"}'), id="other issuer"),
        pytest.param(CONFIGURATION, "http://keys.example/", id="keys in clear"),
        pytest.param(CONFIGURATION, 7, id="keys at a number"),
        pytest.param("/jwks", (404, b""), id="no keys"),
        pytest.param("/jwks", (200, b" " * 600_000), id="too long"),
        pytest.param("/jwks", (200, b'{"keys": {}}'), id="keys are no list"),
        pytest.param("/jwks", (200, b'{"keys": []}'), id="empty list"),
        pytest.param("/jwks", (200, json.dumps({"keys": [{}] * 101}).encode()), id="too many keys"),
    ],
)
async def test_garbage_replaces_nothing(idp: Issuer, source: KeySource, clock: Clock, path: str, answer: Any) -> None:
    await source.find("k1", "RS256")
    idp.answers[path] = answer if isinstance(answer, tuple) else (200, discovery(idp, jwks_uri=answer))
    clock.now += MIN_INTERVAL
    assert not await source.fetch()
    assert await source.find("k1", "RS256")


async def test_a_provider_down_at_the_start_is_unavailable(idp: Issuer, clock: Clock) -> None:
    source = KeySource(provider("http://127.0.0.1:1"), clock)
    with pytest.raises(KeysUnavailable, match=r"http://127\.0\.0\.1:1"):
        await source.find("k1", "RS256")
    await source.close()


@pytest.mark.alone
async def test_closing_ends_a_fetch(idp: Issuer, clock: Clock) -> None:
    idp.delay = 1
    source = KeySource(provider(idp.url), clock)
    waiting = asyncio.ensure_future(source.fetch())
    await asyncio.sleep(0.02)
    await source.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await KeySource(provider(idp.url), clock).close()


ED448 = OKPAlgorithm.to_jwk(ed448.Ed448PrivateKey.generate().public_key(), as_dict=True)
PRIVATE = RSAAlgorithm.to_jwk(RSA_1, as_dict=True)


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        pytest.param(jwk(RSA_1), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, id="RSA"),
        pytest.param(jwk(RSA_1, alg="RS256", use="sig"), {"RS256"}, id="RSA for one algorithm"),
        pytest.param(jwk(EC_1), {"ES256"}, id="P-256"),
        pytest.param(jwk(ec.generate_private_key(ec.SECP384R1())), {"ES384"}, id="P-384"),
        pytest.param(jwk(ED_1, key_ops=["verify"]), {"EdDSA"}, id="Ed25519"),
        pytest.param(jwk(RSA_1, None), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, id="without kid"),
        pytest.param(jwk(RSA_SMALL), set(), id="RSA of 1024 bits"),
        pytest.param(jwk(RSA_1, use="enc"), set(), id="for encryption"),
        pytest.param(jwk(RSA_1, key_ops=["sign"]), set(), id="not for verifying"),
        pytest.param(jwk(RSA_1, key_ops="verify"), set(), id="operations are no list"),
        pytest.param(jwk(RSA_1, alg="ES256"), set(), id="algorithm of another key type"),
        pytest.param(jwk(RSA_1, alg=["RS256"]), set(), id="algorithm is a list"),
        pytest.param(jwk(RSA_1, kid=7), set(), id="kid is a number"),
        pytest.param(jwk(RSA_1, n="!"), set(), id="broken modulus"),
        pytest.param(jwk(ec.generate_private_key(ec.SECP256K1())), set(), id="secp256k1"),
        pytest.param({**ED448, "kid": "k1"}, set(), id="Ed448"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}, set(), id="a shared secret"),
        pytest.param({**PRIVATE, "kid": "k1", "key_ops": ["verify"]}, set(), id="private key published"),
        pytest.param({}, set(), id="nothing"),
        pytest.param("text", set(), id="text"),
    ],
)
def test_which_keys_are_usable(entry: Any, algorithms: set[str]) -> None:
    *first, last = public_keys({"keys": [entry, jwk(EC_1, "last")]})
    assert last.kid == "last"
    assert [key.algorithms for key in first] == ([frozenset(algorithms)] if algorithms else [])
