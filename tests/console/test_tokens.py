"""Exchange and revocation: what a session token says, and that it never says more than its proofs do."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from addons.console.app import make_app
from addons.core.dpop import thumbprint
from addons.core.lock import stopped
from addons.core.session import Session
from addons.core.token_exchange import EXCHANGE, JWT
from addons.edge.oidc import Verifier
from addons.edge.revocation_store import revoked
from tests.console.conftest import CONSOLE, World, policy_of, write_rules
from tests.support.issuer import EC_1, RSA_2, issuer, jwk

KEY_2 = ec.generate_private_key(ec.SECP256R1())


def refused(answer: httpx.Response, error: str, why: str = "", status: int = 400) -> None:
    found = answer.json()
    assert (answer.status_code, found["error"]) == (status, error), found
    assert why in found["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_proof_becomes_a_session_token(world: World) -> None:
    subject = world.token(sub="ann", groups=["g", "h"], owner="team", sid="own", jti="own")
    answer = await world.ask(subject, audience="prod", intent="INC-7", expires_in="60")
    found = answer.json()
    assert found.keys() == {"access_token", "issued_token_type", "token_type", "expires_in"}
    assert (found["issued_token_type"], found["token_type"], found["expires_in"]) == (JWT, "Bearer", 60)
    claims = world.parts.signer.claims_of(found["access_token"])
    assert claims.pop("jti") == claims.pop("sid") != "own"
    assert claims == {
        "iss": CONSOLE,
        "aud": "chaperone",
        "sub": "ann",
        "groups": ["g", "h"],
        "owner": "team",
        "iat": world.clock(),
        "exp": world.clock() + 60,
        "origin": {"iss": world.idp.url, "sub": "ann", "claims": {"owner": "team"}},
        "connection": "prod",
        "intent": "INC-7",
    }


async def test_the_gateway_takes_it_for_what_the_provider_said(world: World) -> None:
    token = await world.exchanged(world.token(sub="ann"), audience="prod")
    with issuer() as console:
        console.publish(*world.parts.signer.jwks["keys"])
        provider = world.parts.console.provider
        verifier = Verifier(
            [type(provider)(**{**{name: getattr(provider, name) for name in provider.__slots__},
                               "jwks_uri": f"{console.url}/jwks"})],
            time.monotonic,
        )  # fmt: skip
        found = await verifier.verify(token, world.clock())
        await verifier.close()
    assert (found.iss, found.sub, found.connection) == (world.idp.url, "ann", "prod")
    assert found.session_token


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param({}, 3600, id="the longest"),
        pytest.param({"expires_in": "0"}, 3600, id="0"),
        pytest.param({"expires_in": "86400"}, 3600, id="more than the longest"),
        pytest.param({"expires_in": "1"}, 1, id="a second"),
    ],
)
async def test_lifetime(world: World, asked: dict[str, str], seconds: int) -> None:
    answer = (await world.ask(world.token(), **asked)).json()
    assert answer["expires_in"] == seconds
    assert world.identity(answer["access_token"]).exp == world.clock() + seconds


async def test_no_token_outlives_the_one_it_is_made_of(world: World) -> None:
    first = await world.exchanged(world.token(), expires_in="100")
    world.clock.now += 40
    second = await world.ask(first)
    assert second.json()["expires_in"] == 60
    world.clock.now += 59.5
    refused(await world.ask(first), "invalid_grant", "about to expire")
    world.clock.now += 0.5
    refused(await world.ask(first), "invalid_grant", "the subject_token: it expired 0 s ago")


async def test_no_token_is_longer_than_the_gateway_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.console.tokens.MAX_TOKEN", 8000)
    assert (await world.ask(world.token(said="x" * 5000))).status_code == 200
    refused(await world.ask(world.token(said="x" * 6000)), "invalid_grant", "would not take it")


@pytest.mark.parametrize(
    ("field", "claim"), [pytest.param("audience", "connection", id="connection"), ("intent", "intent")]
)
async def test_what_is_bound_is_never_loosened(world: World, field: str, claim: str) -> None:
    first = await world.exchanged(world.token(), **{field: "prod"})
    for asked in ({}, {field: ""}, {field: "prod"}):
        again = await world.exchanged(first, **asked)
        assert world.parts.signer.claims_of(again)[claim] == "prod"
    refused(await world.ask(first, **{field: "test"}), "invalid_grant", "bound to another")
    narrower = await world.exchanged(await world.exchanged(world.token()), **{field: "prod"})
    assert world.parts.signer.claims_of(narrower)[claim] == "prod"


@pytest.mark.parametrize("connection", ["staging", "prod ", "PROD", "*"])
async def test_unknown_connections(world: World, connection: str) -> None:
    refused(await world.ask(world.token(), audience=connection), "invalid_target")


async def test_a_token_that_is_bound_to_a_key(world: World) -> None:
    answer = (await world.ask(world.token(), proof=world.proof())).json()
    assert answer["token_type"] == "DPoP"
    token, wanted = answer["access_token"], thumbprint(jwk(EC_1))
    assert world.identity(token).jkt == wanted
    refused(await world.ask(token), "invalid_dpop_proof", "bound to a key")
    refused(await world.ask(token, proof=world.proof(KEY_2)), "invalid_dpop_proof", "bound to a key")
    refused(await world.ask(token, proof=world.proof()), "invalid_dpop_proof", "used before")
    again = await world.exchanged(token, proof=world.proof(jti="2"))
    assert world.identity(again).jkt == wanted


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"htm": "GET"}, "another request", id="another method"),
        pytest.param({"htu": f"{CONSOLE}/revoke"}, "another request", id="another endpoint"),
        pytest.param({"iat": 1}, "is the clock right", id="old"),
        pytest.param({"jti": ""}, "no jti", id="no jti"),
    ],
)
async def test_bad_proofs(world: World, changes: dict[str, Any], why: str) -> None:
    refused(await world.ask(world.token(), proof=world.proof(**changes)), "invalid_dpop_proof", why)


async def test_two_proofs(world: World) -> None:
    form = {"grant_type": EXCHANGE, "subject_token": world.token(), "subject_token_type": JWT}
    headers = [("DPoP", world.proof()), ("DPoP", world.proof(jti="2"))]
    refused(await world.client.post("/token", data=form, headers=headers), "invalid_dpop_proof", "more than one")


async def test_somebody_acts(world: World) -> None:
    ann, agent = world.token(sub="ann", groups=["people"]), world.token(sub="agent")
    token = await world.exchanged(ann, agent)
    found = world.identity(token)
    assert (found.sub, found.groups, found.act) == ("ann", ("people",), "agent")
    assert world.identity(await world.exchanged(token)).act == "agent", "and does not become ann by an exchange"
    assert world.identity(await world.exchanged(ann, ann)).act == ""
    refused(await world.ask(token, world.token(sub="other")), "invalid_grant", "chain of actors")
    refused(await world.ask(ann, token + "x"), "invalid_grant", "the actor_token: ")
    refused(await world.ask(world.token(sub="bob"), token), "invalid_grant", "on somebody's behalf")
    refused(await world.ask(world.token(), world.token(sub="x", exp=world.clock())), "invalid_grant", "it expired")


async def test_may_act(world: World) -> None:
    ann = world.token(sub="ann", may_act={"sub": "agent"})
    agent, other = world.token(sub="agent"), world.token(sub="other")
    assert world.identity(await world.exchanged(ann, agent)).act == "agent"
    refused(await world.ask(ann, other), "invalid_grant", "may_act")
    between = await world.exchanged(ann)
    refused(await world.ask(between, other), "invalid_grant", "may_act")
    assert world.identity(await world.exchanged(between, agent)).act == "agent"


async def test_what_binds_the_actor_binds_what_it_does_for_others(world: World) -> None:
    ann, agent = world.token(sub="ann"), world.token(sub="agent")
    bound = await world.exchanged(agent, audience="prod", intent="INC-7", expires_in="60")
    found = world.identity(await world.exchanged(ann, bound))
    assert (found.act, found.connection, found.intent) == ("agent", "prod", "INC-7")
    assert found.exp == world.clock() + 60
    refused(await world.ask(ann, bound, audience="test"), "invalid_grant", "another connection")
    with_key = await world.exchanged(agent, proof=world.proof())
    refused(await world.ask(ann, with_key), "invalid_dpop_proof", "the actor token is bound to a key")
    refused(await world.ask(ann, with_key, world.proof(KEY_2)), "invalid_dpop_proof", "the actor token")
    assert world.identity(await world.exchanged(ann, with_key, world.proof(jti="2"))).jkt == thumbprint(jwk(EC_1))


def forged(world: World, **changes: Any) -> str:
    """What the console would say, said by somebody else."""
    now = world.clock()
    claims = {"iss": CONSOLE, "aud": "chaperone", "sub": "ann", "exp": now + 60, "iat": now, "sid": "s",
              "origin": {"iss": world.idp.url, "sub": "ann"}, **changes}  # fmt: skip
    return jwt.encode(claims, EC_1, "ES256")


async def test_subject_tokens_that_prove_nothing(world: World) -> None:
    now = world.clock()
    for name, token in {
        "opaque": "opaque",
        "expired": world.token(exp=now - 1),
        "not yet": world.token(nbf=now + 100),
        "another audience": world.token(aud="other"),
        "another key": world.token(key=RSA_2),
        "unknown issuer": world.token(iss="https://stranger"),
        "not signed": jwt.encode({"iss": world.idp.url, "sub": "ann"}, "", "none"),
        "the console's, by somebody else": forged(world),
        "the console's, without an origin": world.parts.signer.sign(
            {"iss": CONSOLE, "aud": "chaperone", "sub": "ann", "exp": now + 60, "sid": "s"}
        ),
        "the console's, for another": world.parts.signer.sign(
            {"iss": CONSOLE, "aud": "x", "sub": "a", "exp": now + 60, "sid": "s", "origin": {"iss": "i", "sub": "a"}}
        ),
    }.items():
        answer = await world.ask(token)
        refused(answer, "invalid_grant", "the subject_token: ")
        assert not any(part in answer.text for part in token.split(".") if len(part) > 10), name


async def test_keys_that_cannot_be_fetched_are_not_the_callers_fault(world: World) -> None:
    answers = dict(world.idp.answers)
    world.idp.answers.clear()
    try:
        refused(await world.ask(world.token()), "temporarily_unavailable", status=503)
        refused(await world.post("/revoke", {"token": world.token()}), "temporarily_unavailable", status=503)
    finally:
        world.idp.answers.update(answers)


async def stopped_now(world: World, token: str) -> bool:
    locks = await world.parts.store.call(revoked, world.clock())
    session = Session(id="s", identity=world.identity(token), connection="prod", started_at=0)
    return stopped(locks, session) is not None


async def test_revocation_ends_the_session_and_all_that_came_of_it(world: World) -> None:
    first = await world.exchanged(world.token())
    second = await world.exchanged(first, audience="prod")
    other = await world.exchanged(world.token())
    answer = await world.post("/revoke", {"token": second, "token_type_hint": "access_token"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert [await stopped_now(world, each) for each in (first, second, other)] == [True, True, False]
    later = await world.exchanged(first)
    assert await stopped_now(world, later), "what is made of it later is of the same session"


async def test_a_revocation_lasts_as_long_as_any_token_can(world: World) -> None:
    token = world.parts.signer.sign(
        {"iss": CONSOLE, "aud": "chaperone", "sub": "ann", "sid": "s", "exp": world.clock() + 43200,
         "origin": {"iss": world.idp.url, "sub": "ann"}}
    )  # fmt: skip
    await world.post("/revoke", {"token": token})
    world.clock.now += 43199
    assert await stopped_now(world, token), "although the longest is shorter now"


async def test_tokens_that_are_no_session_tokens_are_not_revoked(world: World) -> None:
    refused(await world.post("/revoke", {"token": world.token(sid="s")}), "unsupported_token_type")
    for token in ("opaque", forged(world), world.token(exp=world.clock())):
        answer = await world.post("/revoke", {"token": token})
        assert (answer.status_code, answer.json()) == (200, {}), "RFC 7009, section 2.2"
    refused(await world.post("/revoke", {"token": ""}), "invalid_request", "missing: token")
    refused(await world.post("/revoke", {}), "invalid_request")
    assert await world.parts.store.call(revoked, world.clock()) == []


async def test_a_token_for_a_single_use_is_exchanged_where_it_was_first_used(world: World, tmp_path: Path) -> None:
    folder = write_rules(tmp_path, world.idp.url)
    document = json.loads((folder / "0.yaml").read_text())
    document["spec"]["singleUse"] = True
    (folder / "0.yaml").write_text(json.dumps(document))
    await world.parts.replace(policy_of(folder))
    ann = world.token(sub="ann", jti="j1")
    first = await world.exchanged(ann, audience="prod")
    assert world.identity(await world.exchanged(ann, audience="prod")).sub == "ann", "at the same place"
    refused(await world.ask(ann, audience="test"), "invalid_grant", "first used with another connection")
    assert await world.exchanged(first), "a session token is not for a single use"
    transport = httpx.ASGITransport(make_app(world.parts), client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=CONSOLE) as elsewhere:
        stranger = replace(world, client=elsewhere)
        refused(await stranger.ask(ann, audience="prod"), "invalid_grant", "another address")
        refused(
            await stranger.ask(world.token(sub="x", jti="j2"), ann, audience="prod"), "invalid_grant", "another address"
        )
