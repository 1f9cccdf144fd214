"""People sign in to the pages: by SAML, at an OpenID provider, and what does not sign anybody in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from addons.console import sealed
from addons.console.app import make_app
from addons.core.browser_session import IDLE_SECONDS
from addons.edge import web_sign_in
from addons.policy import Policy
from scripts.devenv import plain_http
from tests.console.conftest import CONSOLE, World, policy_of, relay_state, write_rules
from tests.console.test_pages import COOKIE, ROLES, with_roles
from tests.support.issuer import RSA_2, Issuer
from tests.support.servers import openid_provider

OWN = {"Origin": CONSOLE}
SIGN_IN = [{"identityProvider": "idp", "clientId": "chaperone"}]


@pytest.fixture(scope="module")
def policy(idp: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = write_rules(tmp_path_factory.mktemp("rules"), idp.url, "workforce")
    return policy_of(with_roles(folder, signIn=SIGN_IN, roles=ROLES | {"viewer": ["agents", "g"]}))


@pytest.fixture
def openid(idp: Issuer) -> Iterator[Issuer]:
    """The provider, at which people can sign in."""
    before, idp.forms[:], idp.asked[:] = dict(idp.answers), [], []
    described = {name: f"{idp.url}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
    described |= {"issuer": idp.url, "jwks_uri": f"{idp.url}/jwks"}
    idp.answers["/.well-known/openid-configuration"] = 200, json.dumps(described).encode()
    yield idp
    idp.answers.clear()
    idp.answers.update(before)


async def begun(world: World, provider: str = "idp", **fields: str) -> httpx.Response:
    return await world.client.post("/sign-in", data={"provider": provider, **fields}, headers=OWN)


async def sent(world: World, **fields: str) -> dict[str, str]:
    """What a browser takes to the OpenID provider."""
    found = await begun(world, **fields)
    assert found.status_code == 303, found.text
    return {name: values[0] for name, values in parse_qs(urlsplit(found.headers["Location"]).query).items()}


async def back(world: World, query: dict[str, str], **changes: Any) -> httpx.Response:
    """The browser is back with a code, for which the provider gives a token."""
    token = world.token(**{"sub": "ann", "nonce": query["nonce"], **changes})
    world.idp.answers["/token_endpoint"] = 200, json.dumps({"id_token": token}).encode()
    return await world.client.get("/oidc/callback", params={"code": "c0de", "state": query["state"]})


def cookie_of(answer: httpx.Response) -> Any:
    cookies = SimpleCookie()
    for header in answer.headers.get_list("Set-Cookie"):
        cookies.load(header)
    return cookies.get(COOKIE)


def refused(answer: httpx.Response, why: str, status: int = 400) -> None:
    assert (answer.status_code, why in answer.text) == (status, True), answer.text
    assert cookie_of(answer) is None


async def test_the_page_offers_every_provider(world: World) -> None:
    found = await world.client.get("/sign-in", params={"next": '/"><script>'})
    assert found.text.count("<form ") == 2
    assert "Sign in at idp" in found.text and "Sign in at workforce" in found.text
    assert "<script" not in found.text
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "form-action *" in policy


async def test_by_saml(world: World) -> None:
    found = await begun(world, "workforce", next="/locks")
    assert urlsplit(found.headers["Location"]).netloc == "workforce.example"
    done = await world.answered(relay_state(found))
    assert (done.status_code, done.headers["Location"]) == (303, "/locks")
    cookie = cookie_of(done)
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "lax", "/")
    assert (cookie["domain"], cookie["max-age"], cookie["expires"]) == ("", "", "") and len(cookie.value) >= 43
    assert "ann@corp (viewer)" in (await world.client.get("/")).text
    world.clock.now += IDLE_SECONDS
    assert (await world.client.get("/")).status_code == 303


async def test_by_openid(world: World, openid: Issuer) -> None:
    query = await sent(world, next="/grants")
    assert query | {"state": "", "nonce": "", "code_challenge": ""} == {
        "response_type": "code", "client_id": "chaperone", "redirect_uri": f"{CONSOLE}/oidc/callback",
        "scope": "openid profile email", "code_challenge_method": "S256",
        "state": "", "nonce": "", "code_challenge": "",
    }  # fmt: skip
    done = await back(world, query)
    assert (done.status_code, done.headers["Location"]) == (303, "/grants")
    cookie = cookie_of(done)
    assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "lax", "/")
    (form,) = (parse_qs(form) for form in openid.forms)
    digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
    assert (form["code"], form["redirect_uri"], form["client_id"]) == (["c0de"], [query["redirect_uri"]], ["chaperone"])
    assert "ann (viewer)" in (await world.client.get("/")).text
    world.clock.now += 600
    assert (await world.client.get("/")).status_code == 303, "as long as the ID token"
    refused(await back(world, query), "no sign-in is under way")


async def test_at_a_real_provider(world: World, tmp_path: Path) -> None:
    with openid_provider() as issuer:
        provider = plain_http.async_client()
        await provider.put(f"{issuer}/users/alice", json={"groups": ["g"]})
        await world.parts.replace(policy_of(with_roles(write_rules(tmp_path, issuer), signIn=SIGN_IN)))
        found = await begun(world)
        page = await provider.post(found.headers["Location"], data={"sub": "alice"})
        await provider.aclose()
        query = urlsplit(page.headers["Location"]).query
        done = await world.client.get(f"/oidc/callback?{query}")
        assert (done.status_code, done.headers["Location"]) == (303, "/"), done.text
        found = await world.client.get("/")
        assert f"{issuer}#alice" in found.text and found.status_code == 403, "she has no role here"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"nonce": "another"}, "another sign-in", id="another nonce"),
        pytest.param({"nonce": None}, "another sign-in", id="no nonce"),
        pytest.param({"aud": "somebody"}, "for somebody else", id="another audience"),
        pytest.param({"iss": "https://evil.example"}, "for somebody else", id="another issuer"),
        pytest.param({"azp": "somebody"}, "another client", id="another client"),
        pytest.param({"act": {"sub": "robot"}}, "someone&#x27;s behalf", id="an agent for a person"),
        pytest.param({"cnf": {"jkt": "x"}}, "bound to something", id="bound to a key"),
        pytest.param({"exp": 1}, "expired", id="expired"),
        pytest.param({"groups": "g"}, "list", id="claims that are refused everywhere"),
        pytest.param({"key": RSA_2}, "signature is not valid", id="not signed by the provider"),
    ],
)
async def test_tokens_that_sign_nobody_in(world: World, openid: Issuer, changes: dict[str, Any], why: str) -> None:
    refused(await back(world, await sent(world), **changes), why)
    assert (await world.client.get("/")).status_code == 303


async def test_a_session_token_signs_nobody_in(world: World, openid: Issuer) -> None:
    """Even as the ID token of the provider's own answer."""
    query = await sent(world)
    token = await world.exchanged(world.token(nonce=query["nonce"]))
    openid.answers["/token_endpoint"] = 200, json.dumps({"id_token": token}).encode()
    refused(await world.client.get("/oidc/callback", params={"code": "c", "state": query["state"]}), "somebody else")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param((400, b'{"error": "invalid_grant"}'), "refused: invalid_grant", id="a refusal"),
        pytest.param((200, b"<html>"), "no JSON", id="a page"),
        pytest.param((200, b"[]"), "no JSON", id="no object"),
        pytest.param((302, b"http://127.0.0.1:9/"), "no JSON", id="sent on"),
        pytest.param((200, b"{}"), "no ID token", id="no token"),
        pytest.param((200, b'{"a": "' + b"x" * web_sign_in._MOST + b'"}'), "too much", id="too much"),
    ],
)
async def test_answers_of_a_provider_that_are_none(
    world: World, openid: Issuer, answer: tuple[int, bytes], why: str
) -> None:
    query = await sent(world)
    openid.answers["/token_endpoint"] = answer
    refused(await world.client.get("/oidc/callback", params={"code": "c", "state": query["state"]}), why)


@pytest.mark.parametrize(
    ("described", "why"),
    [
        pytest.param({"issuer": "https://evil.example"}, "says that it is", id="another issuer"),
        pytest.param({"authorization_endpoint": "http://evil.example/"}, "not https", id="in clear"),
        pytest.param({"authorization_endpoint": ""}, "has no authorization_endpoint", id="no endpoint"),
    ],
)
async def test_descriptions_of_a_provider_that_are_none(
    world: World, openid: Issuer, described: dict[str, str], why: str
) -> None:
    good = json.loads((openid.answers["/.well-known/openid-configuration"] or (0, b""))[1])
    openid.answers["/.well-known/openid-configuration"] = 200, json.dumps(good | described).encode()
    refused(await begun(world), why)


async def test_a_provider_that_does_not_answer(world: World, tmp_path: Path) -> None:
    await world.parts.replace(policy_of(with_roles(write_rules(tmp_path, "http://127.0.0.1:9"), signIn=SIGN_IN)))
    refused(await begun(world), "cannot be asked")


async def test_what_comes_back_is_for_the_browser_that_began(world: World, openid: Issuer) -> None:
    query = await sent(world)
    transport = httpx.ASGITransport(make_app(world.parts))
    async with httpx.AsyncClient(transport=transport, base_url=CONSOLE) as victim:
        answer = await victim.get("/oidc/callback", params={"code": "c", "state": query["state"]})
    refused(answer, "no sign-in is under way in this browser")
    assert openid.forms == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"state": "x"}, "no sign-in is under way", id="another state"),
        pytest.param({"state": None}, "no sign-in is under way", id="no state"),
        pytest.param({"code": None, "error": "access_denied"}, "refused: access_denied", id="a refusal"),
    ],
)
async def test_what_comes_back_is_no_answer(
    world: World, openid: Issuer, changes: dict[str, str | None], why: str
) -> None:
    query = {"code": "c", "state": (await sent(world))["state"], **changes}
    refused(await world.client.get("/oidc/callback", params={k: v for k, v in query.items() if v}), why)
    assert openid.forms == []


async def test_what_comes_back_is_of_another_provider(world: World, openid: Issuer) -> None:
    query = {"code": "c", "state": (await sent(world))["state"], "iss": "https://evil.example"}
    refused(await world.client.get("/oidc/callback", params=query), "another provider")
    assert openid.forms == []


async def test_a_sign_in_takes_ten_minutes_at_most(world: World, openid: Issuer) -> None:
    query = await sent(world)
    world.clock.now += 600
    refused(await back(world, query), "no sign-in is under way")


async def test_a_provider_that_is_taken_away_meanwhile(world: World, openid: Issuer, tmp_path: Path) -> None:
    query = await sent(world)
    await world.parts.replace(policy_of(with_roles(write_rules(tmp_path, world.idp.url))))
    refused(await back(world, query), "not sign in at this provider any more")


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
async def test_only_its_own_page_begins(world: World, headers: dict[str, str]) -> None:
    found = await world.client.post("/sign-in", data={"provider": "workforce"}, headers=headers)
    refused(found, "only accepted from the console", 403)


@pytest.mark.parametrize("name", ["", "nobody", " "])
async def test_providers_that_are_none(world: World, name: str) -> None:
    refused(await begun(world, name), "no such SAML provider")


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ("/approvals/abcd2345", "/approvals/abcd2345"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/search?verb=*&text=a+b%26c", "/search?verb=*&text=a+b%26c"),
        ("/sessions/5e-1.2/casts/exec-1.cast/text", "/sessions/5e-1.2/casts/exec-1.cast/text"),
        ("/a/b/c/d/e/f", "/"),
        ("/a//b", "/"),
        ("/../a", "/"),
        ("/a?b#c", "/"),
        ("/a?//evil.example", "/"),
        ("/a\n", "/"),
        ("", "/"),
    ],
)
async def test_where_somebody_goes_on_to(world: World, wish: str, path: str) -> None:
    found = await begun(world, "workforce", next=wish)
    assert (await world.answered(relay_state(found))).headers["Location"] == path


async def test_the_session_is_a_new_one_each_time(world: World) -> None:
    """An id that somebody has planted in a browser is never that of a session; one that was, is no more."""
    world.client.cookies.set(COOKIE, "planted" * 7, domain="c.example", path="/")
    first = cookie_of(await world.answered(relay_state(await begun(world, "workforce")))).value
    second = cookie_of(await world.answered(relay_state(await begun(world, "workforce")))).value
    assert len({first, second, "planted" * 7}) == 3
    world.client.cookies.clear()
    statuses = [
        (await world.client.get("/", headers={"Cookie": f"{COOKIE}={each}"})).status_code
        for each in ("planted" * 7, first, second)
    ]
    assert statuses == [303, 303, 200]


async def test_however_many_are_begun_others_sign_in(world: World, openid: Issuer) -> None:
    """Nothing is kept here for somebody unknown, and the provider is not asked more often."""
    query = await sent(world)
    mine = world.client.cookies[(name := sealed.cookie_name(CONSOLE, query["state"]))]
    for _ in range(300):
        assert (await begun(world)).status_code == 303
    assert world.parts.people.sign_ins._used == {}
    assert openid.asked.count("/.well-known/openid-configuration") == 1
    world.client.cookies.clear()
    world.client.cookies.set(name, mine)
    assert (await back(world, query)).status_code == 303
