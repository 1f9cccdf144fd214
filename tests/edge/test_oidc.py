from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from addons.core.claims import RejectedToken
from addons.edge.jwks import MIN_INTERVAL, REFRESH_AFTER
from addons.edge.oidc import KeysUnavailable, Verifier
from scripts.devenv.oidc import mint
from tests.support.issuer import EC_1, ED_1, RSA_1, RSA_2, Clock, Issuer, issuer, jwk, provider
from tests.support.servers import openid_provider

NOW = 1_800_000_000.0
MAX_AGE = provider("").keys_max_age_seconds


@pytest.fixture
async def verifier(idp: Issuer, clock: Clock) -> AsyncIterator[Verifier]:
    found = Verifier([provider(idp.url)], clock)
    yield found
    await found.close()


async def test_a_token_is_verified_once_and_then_known(idp: Issuer, verifier: Verifier) -> None:
    token = idp.sign(NOW)
    assert verifier.cached(token, NOW) is None
    identity = await verifier.verify(token, NOW)
    assert (identity.iss, identity.sub, identity.groups) == (idp.url, "agent", ("g",))
    assert verifier.cached(token, NOW) is identity
    assert await verifier.verify(token, NOW) is identity
    assert idp.fetches == 1


async def test_a_known_token_is_still_held_to_the_clock(idp: Issuer, verifier: Verifier) -> None:
    token = idp.sign(NOW, nbf=NOW)
    await verifier.verify(token, NOW)
    assert verifier.cached(token, NOW + 599) is not None
    assert verifier.cached(token, NOW + 600) is None
    with pytest.raises(RejectedToken, match="expired 1 s ago"):
        await verifier.verify(token, NOW + 601)
    assert verifier.cached(token, NOW - 31) is None
    with pytest.raises(RejectedToken, match="not valid before"):
        await verifier.verify(token, NOW - 31)


async def test_a_known_token_falls_with_its_key(idp: Issuer, verifier: Verifier, clock: Clock) -> None:
    token = idp.sign(NOW)
    await verifier.verify(token, NOW)
    idp.publish(jwk(RSA_2, "k2"))
    clock.now += REFRESH_AFTER
    assert verifier.cached(token, NOW) is not None, "the refresh is under way"
    await verifier.prepare()
    assert verifier.cached(token, NOW) is None
    with pytest.raises(RejectedToken, match="does not publish"):
        await verifier.verify(token, NOW)


async def test_a_known_token_falls_with_a_long_outage(idp: Issuer, verifier: Verifier, clock: Clock) -> None:
    token = idp.sign(NOW, exp=NOW + 9999)
    await verifier.verify(token, NOW)
    idp.answers.clear()
    clock.now += MAX_AGE
    assert verifier.cached(token, NOW) is None
    with pytest.raises(KeysUnavailable):
        await verifier.verify(token, NOW)


async def test_rotation_is_picked_up_by_the_first_new_token(idp: Issuer, verifier: Verifier, clock: Clock) -> None:
    await verifier.verify(idp.sign(NOW), NOW)
    idp.publish(jwk(RSA_1), jwk(RSA_2, "k2"))
    clock.now += MIN_INTERVAL
    assert await verifier.verify(idp.sign(NOW, RSA_2, headers={"kid": "k2"}), NOW)


def tampered(idp: Issuer, **changes: Any) -> str:
    head, _, signature = idp.sign(NOW).split(".")
    body = base64.urlsafe_b64encode(json.dumps(idp.claims(NOW, **changes)).encode()).decode().rstrip("=")
    return f"{head}.{body}.{signature}"


def unsigned(idp: Issuer) -> str:
    return jwt.encode(idp.claims(NOW), "", algorithm="none", headers={"kid": "k1"}) + "c2ln"


def confused(idp: Issuer) -> str:
    """Signed with the public key taken as a shared secret."""
    secret = jwk(RSA_1)["n"].encode()
    return jwt.encode(idp.claims(NOW), secret, algorithm="HS256", headers={"kid": "k1"})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(unsigned, "alg", id="none"),
        pytest.param(confused, "alg", id="key confusion"),
        pytest.param(lambda idp: idp.sign(NOW, alg="RS384"), "alg", id="algorithm not allowed"),
        pytest.param(lambda idp: idp.sign(NOW, EC_1, "ES256"), "does not publish", id="key type does not match"),
        pytest.param(lambda idp: idp.sign(NOW, RSA_2), "signature", id="signed with another key"),
        pytest.param(lambda idp: tampered(idp, sub="admin"), "signature", id="claims changed"),
        pytest.param(lambda idp: idp.sign(NOW, headers={"kid": "k9"}), "does not publish", id="unknown key id"),
        pytest.param(lambda idp: idp.sign(NOW, iss="https://other"), "not accepted here", id="other issuer"),
        pytest.param(lambda idp: idp.sign(NOW, aud="other"), "another audience", id="other audience"),
        pytest.param(lambda idp: idp.sign(NOW, exp=NOW - 1), "expired", id="expired"),
        pytest.param(lambda idp: idp.sign(NOW, sub="system:admin"), "reserved", id="B-22 reserved name"),
    ],
)
async def test_rejected(idp: Issuer, verifier: Verifier, make: Any, reason: str) -> None:
    token = make(idp)
    with pytest.raises(RejectedToken, match=reason) as caught:
        await verifier.verify(token, NOW)
    shown = repr(caught.getrepr(chain=True))
    assert not any(part in str(caught.value) for part in token.split(".")), shown
    assert verifier.cached(token, NOW) is None


async def test_a_key_of_one_issuer_is_no_key_of_another(idp: Issuer, clock: Clock) -> None:
    with issuer() as other:
        other.publish(jwk(RSA_2))
        verifier = Verifier([provider(idp.url), provider(other.url, name="other")], clock)
        assert await verifier.prepare() == []
        assert (await verifier.verify(other.sign(NOW, RSA_2), NOW)).iss == other.url
        with pytest.raises(RejectedToken, match="signature"):
            await verifier.verify(idp.sign(NOW, RSA_2), NOW)
        await verifier.close()


async def test_a_token_without_key_id_needs_an_issuer_with_one_key(
    idp: Issuer, verifier: Verifier, clock: Clock
) -> None:
    plain = jwt.encode(idp.claims(NOW), RSA_1, algorithm="RS256")
    assert await verifier.verify(plain, NOW)
    idp.publish(jwk(RSA_1), jwk(RSA_2, "k2"))
    clock.now += MIN_INTERVAL
    await verifier.prepare()
    with pytest.raises(RejectedToken, match="does not publish"):
        await verifier.verify(plain, NOW)


@pytest.mark.parametrize(("key", "alg"), [(EC_1, "ES256"), (ED_1, "EdDSA"), (RSA_1, "PS256")])
async def test_other_algorithms(idp: Issuer, clock: Clock, key: Any, alg: str) -> None:
    idp.publish(jwk(key))
    verifier = Verifier([provider(idp.url, algorithms=frozenset({alg}))], clock)
    assert await verifier.verify(idp.sign(NOW, key, alg), NOW)
    await verifier.close()


async def test_issuers_that_cannot_be_reached_are_named(idp: Issuer, clock: Clock) -> None:
    verifier = Verifier([provider(idp.url), provider("http://127.0.0.1:1", name="down")], clock)
    assert await verifier.prepare() == ["http://127.0.0.1:1"]
    await verifier.close()


async def test_issuers_without_usable_keys_are_named_until_they_have_some(
    idp: Issuer, verifier: Verifier, clock: Clock
) -> None:
    await verifier.prepare()
    assert verifier.without_keys() == []
    published = dict(idp.answers)
    idp.answers.clear()
    clock.now += MAX_AGE
    assert verifier.without_keys() == [idp.url], "all keys are too old"
    await verifier.prepare()
    idp.answers |= published
    clock.now += MIN_INTERVAL
    assert verifier.without_keys() == [idp.url], "asking has begun to fetch them"
    await verifier.prepare()
    assert verifier.without_keys() == []


async def test_the_cache_is_bounded(idp: Issuer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.edge.oidc._SEEN_TOKENS", 2)
    tokens = [idp.sign(NOW, jti=f"j{number}") for number in range(3)]
    await verifier.verify(tokens[0], NOW)
    await verifier.verify(tokens[1], NOW)
    assert verifier.cached(tokens[0], NOW)
    await verifier.verify(tokens[2], NOW)
    assert [verifier.cached(token, NOW) is not None for token in tokens] == [True, False, True]


def test_a_real_provider_process() -> None:
    import asyncio

    async def check(url: str) -> None:
        token = mint(url, "agent-7", groups=["web-agents"], claims={"team": "web"})
        verifier = Verifier([provider(url)], time.monotonic)
        identity = await verifier.verify(token, time.time())
        assert (identity.sub, identity.groups, identity.aud) == ("agent-7", ("web-agents",), ("chaperone",))
        with pytest.raises(RejectedToken, match="audience"):
            await verifier.verify(mint(url, "agent-7", aud="another"), time.time())
        await verifier.close()

    with openid_provider() as url:
        asyncio.run(check(url))


async def test_other_providers_are_used_at_once_and_keys_that_stay_are_not_fetched_again(
    idp: Issuer, verifier: Verifier
) -> None:
    token = idp.sign(NOW)
    await verifier.verify(token, NOW)
    stricter = provider(idp.url, audiences=("other",))
    issuers, unreachable = await verifier.prepare_for([stricter, provider("http://127.0.0.1:1", name="down")])
    assert (unreachable, verifier.cached(token, NOW) is not None) == (["http://127.0.0.1:1"], True)
    verifier.use(issuers)
    assert verifier.cached(token, NOW) is None
    with pytest.raises(RejectedToken, match="audience"):
        await verifier.verify(token, NOW)
    assert idp.fetches == 1
    verifier.use((await verifier.prepare_for([]))[0])
    with pytest.raises(RejectedToken, match="issuer"):
        await verifier.verify(token, NOW)


async def test_a_token_that_waits_for_keys_while_its_provider_goes_is_judged_and_not_remembered(
    idp: Issuer, verifier: Verifier
) -> None:
    idp.delay = 0.2
    token = idp.sign(NOW)
    waiting = asyncio.ensure_future(verifier.verify(token, NOW))
    await asyncio.sleep(0.05)
    verifier.use((await verifier.prepare_for([]))[0])
    assert (await waiting).sub == "agent"
    assert verifier.cached(token, NOW) is None
