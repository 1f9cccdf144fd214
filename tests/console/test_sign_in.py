"""Sign-in by SAML, for a browser that comes for a code and for a device that waits."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest

from addons.console.sealed import cookie_name
from addons.core.dpop import thumbprint
from addons.core.saml import PROTOCOL
from addons.policy import Policy
from tests.console.conftest import AUTHORIZE, CONSOLE, REDIRECT, World, policy_of, relay_state, write_rules
from tests.console.test_tokens import refused
from tests.support.issuer import EC_1, jwk
from tests.support.saml import OTHER_PAIR, assertion, encoded, instant, response, signed


def shown(answer: httpx.Response, why: str, status: int = 400) -> None:
    """A refusal as a page, from which nobody is sent anywhere."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Location" not in answer.headers
    assert why in answer.text


async def test_a_browser_signs_in(world: World) -> None:
    sent = await world.client.get("/authorize", params={**AUTHORIZE, "nonce": "n-1"})
    assert sent.status_code == 303
    target = urlsplit(sent.headers["Location"])
    assert (target.scheme, target.netloc, target.path) == ("https", "workforce.example", "/sso")
    query = parse_qs(target.query)
    request = zlib.decompress(base64.b64decode(query["SAMLRequest"][0]), wbits=-15).decode()
    (state,) = query["RelayState"]
    assert PROTOCOL in request and f'ID="{state}"' in request and f"{CONSOLE}/saml/acs" in request

    back = await world.answered(state)
    assert back.status_code == 303
    location = urlsplit(back.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT
    fields = parse_qs(location.query)
    assert fields.keys() == {"code", "state"} and fields["state"] == ["st&te"]

    found = (await world.redeem(fields["code"][0])).json()
    assert (found["token_type"], found["expires_in"], found["id_token"]) == ("Bearer", 3600, found["access_token"])
    claims = world.parts.signer.claims_of(found["id_token"])
    assert (claims["nonce"], claims["aud"], claims["iss"]) == ("n-1", "chaperone", CONSOLE)
    who = world.identity(found["access_token"])
    assert (who.iss, who.sub, who.groups) == ("urn:idp", "ann@corp", ("agents",))


async def test_what_came_of_a_sign_in_is_exchanged_like_any_token(world: World) -> None:
    token = (await world.redeem(await world.code())).json()["access_token"]
    found = world.identity(await world.exchanged(token, world.token(sub="agent"), audience="prod"))
    assert (found.iss, found.sub, found.act, found.connection) == ("urn:idp", "ann@corp", "agent", "prod")


async def test_a_code_for_a_token_that_is_bound_to_a_key(world: World) -> None:
    found = (await world.redeem(await world.code(), world.proof())).json()
    assert found["token_type"] == "DPoP"
    assert world.identity(found["access_token"]).jkt == thumbprint(jwk(EC_1))


async def test_the_session_ends_with_the_sign_in(world: World) -> None:
    state = await world.sent_to_provider()
    who = assertion(request_id=state, base=CONSOLE, now=world.clock())
    statement = who.find("./{*}AuthnStatement")
    assert statement is not None
    statement.set("SessionNotOnOrAfter", instant(world.clock() + 90))
    back = await world.answered(state, signed(response(who)))
    (code,) = parse_qs(urlsplit(back.headers["Location"]).query)["code"]
    assert (await world.redeem(code)).json()["expires_in"] == 90


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": "w" * 43}, id="another verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1:7778/back"}, id="another address"),
        pytest.param({"client_id": "somebody"}, id="another client"),
    ],
)
async def test_a_code_that_is_redeemed_wrongly_is_gone(world: World, changes: dict[str, str]) -> None:
    code = await world.code()
    refused(await world.redeem(code, **changes), "invalid_grant")
    refused(await world.redeem(code), "invalid_grant", "not known here, was used")


async def test_a_code_counts_once_and_for_a_minute(world: World) -> None:
    code = await world.code()
    assert (await world.redeem(code)).status_code == 200
    refused(await world.redeem(code), "invalid_grant", "was used")
    late = await world.code()
    world.clock.now += 60
    refused(await world.redeem(late), "invalid_grant", "took too long")
    refused(await world.redeem("x"), "invalid_grant", "not known here")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "http://evil.example/",
        "https://127.0.0.1/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example/",
        "http://evil.example@127.0.0.1/",
        "http://user:pass@127.0.0.1/",
        "http://evil.example#@127.0.0.1/",
        "http://127.0.0.1/#x",
        "http://127.0.0.1/#",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1\\.evil.example/",
        "http://evil.example\\127.0.0.1",
        "http://127.0.0.1:80\\@evil.example",
        "http://127.0.0.1\t.evil.example/",
        "http://127.0.0.1:x/",
        "http://[::1",
        "http://[::1]evil.example/",
        "http:/127.0.0.1/",
        "http:127.0.0.1",
        "//127.0.0.1/",
        "127.0.0.1",
        "javascript:alert(1)//127.0.0.1",
        "data:text/html,x",
        "file:///etc/passwd",
        "chaperone://127.0.0.1",
        " http://127.0.0.1/",
        "http://0x7f000001/",
    ],
)
async def test_nobody_is_sent_anywhere_but_to_their_own_machine(world: World, address: str) -> None:
    answer = await world.client.get("/authorize", params={**AUTHORIZE, "redirect_uri": address})
    shown(answer, "redirect_uri must be an http address of this machine")


@pytest.mark.parametrize(
    ("address", "begins"),
    [
        ("http://localhost:1/", "http://localhost:1/?code="),
        ("http://[::1]:1/x", "http://[::1]:1/x?code="),
        ("http://127.0.0.1:1", "http://127.0.0.1:1?code="),
        ("http://127.0.0.1:1/?a=b", "http://127.0.0.1:1/?a=b&code="),
        ("http://127.0.0.1:1/?a=\r\nSet-Cookie: x=y", "http://127.0.0.1:1/?a=%0D%0ASet-Cookie:%20x=y&code="),
    ],
)
async def test_the_machines_own_addresses(world: World, address: str, begins: str) -> None:
    back = await world.answered(await world.sent_to_provider(redirect_uri=address, state=None))
    assert back.headers["Location"].startswith(begins)
    assert "state=" not in back.headers["Location"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"client_id": "somebody"}, "client is not known", id="another client"),
        pytest.param({"response_type": "token"}, "response_type", id="another flow"),
        pytest.param({"code_challenge": None}, "code_challenge", id="no challenge"),
        pytest.param({"code_challenge": "short"}, "code_challenge", id="no S256 challenge"),
        pytest.param({"code_challenge_method": "plain"}, "code_challenge_method", id="method plain"),
        pytest.param({"code_challenge_method": None}, "code_challenge_method", id="no method, which is plain"),
        pytest.param({"redirect_uri": None}, "redirect_uri", id="no address"),
        pytest.param({"state": "x" * 1025}, "state", id="state too long"),
        pytest.param({"provider": "nobody"}, "no such SAML provider", id="unknown provider"),
        pytest.param({"provider": "<script>"}, "no such SAML provider", id="provider with markup"),
    ],
)
async def test_other_requests_for_a_code(world: World, changes: dict[str, str | None], why: str) -> None:
    fields = {name: value for name, value in {**AUTHORIZE, **changes}.items() if value is not None}
    answer = await world.client.get("/authorize", params=fields)
    shown(answer, why)
    assert "<script>" not in answer.text


async def test_no_parameters_and_one_twice(world: World) -> None:
    shown(await world.client.get("/authorize"), "missing")
    query = urlencode([*AUTHORIZE.items(), ("redirect_uri", "https://evil.example")])
    shown(await world.client.get(f"/authorize?{query}"), "there twice")
    assert (await world.client.get("/authorize", params={**AUTHORIZE, "scope": "openid"})).status_code == 303


# What comes back from a provider.


async def test_an_answer_counts_once(world: World) -> None:
    state = await world.sent_to_provider()
    message = world.answer(state)
    assert (await world.answered(state, message)).status_code == 303
    shown(await world.answered(state, message), "no sign-in is under way")
    again = await world.sent_to_provider()
    shown(await world.answered(again, message), "answers another sign-in")


async def test_answers_nobody_waits_for(world: World) -> None:
    shown(await world.answered("_unknown"), "no sign-in is under way")
    shown(await world.post("/saml/acs", {}), "no sign-in is under way")
    late = await world.sent_to_provider()
    world.clock.now += 600
    shown(await world.answered(late), "no sign-in is under way")


async def test_answers_that_are_refused(world: World) -> None:
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "for another console": ({"base": "https://other"}, "another audience"),
        "for another sign-in": ({"request_id": "_other"}, "answers another sign-in"),
        "too old": ({"now": world.clock() - 61}, "has expired"),
        "of a reserved name": ({"name_id": "system:admin"}, "reserved"),
        "of a reserved group": ({"groups": ("system:masters",)}, "reserved"),
    }
    for name, (changes, why) in cases.items():
        state = await world.sent_to_provider()
        good = {"request_id": state, "base": CONSOLE, "now": world.clock()}
        answer = await world.answered(state, signed(response(assertion(**{**good, **changes}))))
        shown(answer, "the provider&#x27;s answer is refused: ")
        assert why in answer.text, name
    state = await world.sent_to_provider()
    who = assertion(request_id=state, base=CONSOLE, now=world.clock())
    shown(await world.answered(state, signed(response(who), OTHER_PAIR)), "not that of the provider")
    state = await world.sent_to_provider()
    shown(await world.post("/saml/acs", {"RelayState": state}), "not XML in base64")
    state = await world.sent_to_provider()
    shown(await world.post("/saml/acs", {"RelayState": state, "SAMLResponse": "<x>"}), "not XML in base64")


async def test_a_provider_that_is_gone_meanwhile(world: World, tmp_path: Path) -> None:
    state = await world.sent_to_provider()
    assert await world.parts.replace(policy_of(write_rules(tmp_path, world.idp.url))) == []
    shown(await world.answered(state), "no such SAML provider")


async def test_several_providers_to_choose_from(world: World, tmp_path: Path) -> None:
    await world.parts.replace(policy_of(write_rules(tmp_path, world.idp.url, "workforce", "other")))
    answer = await world.client.get("/authorize", params={**AUTHORIZE, "state": '"><script>'})
    assert answer.status_code == 200
    assert "<script>" not in answer.text and "//" not in answer.text.partition("<main>")[2].replace("%2F%2F", "")
    assert ">workforce</a>" in answer.text and ">other</a>" in answer.text
    link = answer.text.partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert link.startswith("/authorize?")
    chosen = await world.client.get(link)
    assert chosen.headers["Location"].startswith("https://workforce.example/sso?")
    state = await world.sent_to_provider(provider="other")
    shown(await world.answered(state), "issuer is not the provider that was asked")


# Devices.


async def waiting(world: World) -> dict[str, Any]:
    """A device that begins."""
    found: dict[str, Any] = (await world.post("/device_authorization", {"client_id": "chaperone"})).json()
    return found


async def typed(world: World, code: str, origin: str | None = CONSOLE) -> httpx.Response:
    """Somebody types a code into the console's page."""
    return await world.post("/device", {"user_code": code}, **({"Origin": origin} if origin is not None else {}))


async def test_a_device_signs_in(world: World) -> None:
    device = await waiting(world)
    assert device.keys() == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
    }  # fmt: skip
    assert device["expires_in"] == 600 and device["interval"] == 5
    assert device["verification_uri"] == f"{CONSOLE}/device"
    page = await world.client.get(device["verification_uri_complete"])
    assert page.status_code == 200 and f'value="{device["user_code"]}"' in page.text
    refused(await world.poll(device["device_code"]), "authorization_pending")
    sent = await typed(world, device["user_code"].lower().replace("-", " "))
    assert sent.headers["Location"].startswith("https://workforce.example/sso?")
    world.clock.now += 5
    refused(await world.poll(device["device_code"]), "authorization_pending")
    done = await world.answered(relay_state(sent))
    assert done.status_code == 200 and "You are signed in" in done.text
    world.clock.now += 5
    found = (await world.poll(device["device_code"])).json()
    assert world.identity(found["access_token"]).sub == "ann@corp"
    assert "nonce" not in jwt.decode(found["id_token"], options={"verify_signature": False})
    refused(await world.poll(device["device_code"]), "expired_token")


async def test_a_device_that_asks_too_often(world: World) -> None:
    device = (await waiting(world))["device_code"]
    refused(await world.poll(device), "authorization_pending")
    world.clock.now += 4.4
    refused(await world.poll(device), "slow_down")
    world.clock.now += 4.4
    refused(await world.poll(device), "slow_down", "ask less often")
    world.clock.now += 4.5
    refused(await world.poll(device), "authorization_pending")


async def test_a_device_that_waits_too_long(world: World) -> None:
    device = await waiting(world)
    sent = await typed(world, device["user_code"])
    world.clock.now += 600
    refused(await world.poll(device["device_code"]), "expired_token")
    shown(await typed(world, device["user_code"]), "no device waits")
    shown(await world.answered(relay_state(sent)), "no sign-in is under way")


async def test_a_device_that_is_gone_when_somebody_has_signed_in(world: World) -> None:
    device = await waiting(world)
    world.clock.now += 300
    sent = await typed(world, device["user_code"])
    world.clock.now += 300
    shown(await world.answered(relay_state(sent)), "the device has waited too long")


async def test_other_devices(world: World) -> None:
    device = await waiting(world)
    refused(await world.poll("x"), "expired_token")
    refused(await world.poll(device["device_code"], "somebody"), "expired_token")
    refused(await world.post("/device_authorization", {"client_id": "somebody"}), "invalid_client")
    refused(await world.post("/device_authorization", {}), "invalid_request", "client_id")
    refused(await world.post("/device_authorization", {"client_id": "chaperone", "x": "y"}), "invalid_request", "x")


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", f"{CONSOLE}/", "http://c.example"])
async def test_the_form_is_only_taken_from_the_consoles_own_page(world: World, origin: str | None) -> None:
    device = await waiting(world)
    shown(await typed(world, device["user_code"], origin), "only accepted from the console", 403)
    assert (await typed(world, device["user_code"])).status_code == 303, "and the code is as good as before"


async def test_a_code_is_typed_once_and_as_it_is_shown(world: World) -> None:
    code = (await waiting(world))["user_code"]
    for wrong in ("", "-", "BBBB-BBBB", code[:-1], code + "B", "é" * 8, "<script>"):
        shown(await typed(world, wrong), "no device waits with this code")
    assert (await typed(world, code)).status_code == 303
    shown(await typed(world, code), "no device waits with this code")


async def test_browsers_say_where_the_form_comes_from(world: World) -> None:
    """With the policy no-referrer they would say `Origin: null` (Fetch, section 3.2)."""
    page = await world.client.get("/device", params={"user_code": '"><script>'})
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert "<script>" not in page.text


# Whoever begins a sign-in is who ends it.


async def test_a_link_that_somebody_else_began_signs_nobody_in(world: World) -> None:
    """Or a stranger's device would act in the name of whoever follows the stranger's link to the provider."""
    device = await waiting(world)
    state = relay_state(await typed(world, device["user_code"]))
    world.client.cookies.clear()
    shown(await world.answered(state), "no sign-in is under way in this browser")
    refused(await world.poll(device["device_code"]), "authorization_pending")
    state, another = await world.sent_to_provider(), await world.sent_to_provider()
    names = [cookie_name(CONSOLE, each) for each in (state, another)]
    mine, others = (world.client.cookies[name].encode() for name in names)
    fields = {"SAMLResponse": encoded(world.answer(state)), "RelayState": state}
    for planted in (b"", b"x" * 43, b"\xe9", others, mine[:-4] + b"AAAA", mine[1:]):
        world.client.cookies.clear()
        cookie = [(b"Cookie", names[0].encode() + b"=" + planted)]
        answer = await world.client.post("/saml/acs", data=fields, headers=cookie)
        shown(answer, "no sign-in is under way in this browser")


async def test_the_cookie_comes_along_from_the_provider_and_is_nobody_elses(world: World) -> None:
    first = await world.client.get("/authorize", params=AUTHORIZE)
    assert re.fullmatch(
        r"__Host-chaperone-sign-in-[0-9a-f]{16}=[A-Za-z0-9_-]+; HttpOnly; Max-Age=600; Path=/; SameSite=none; Secure",
        first.headers["Set-Cookie"],
    )
    second = await world.client.get("/authorize", params=AUTHORIZE)
    for each in (first, second):  # two windows of one browser
        state = relay_state(each)
        done = await world.answered(state)
        assert done.status_code == 303
        assert f'{cookie_name(CONSOLE, state)}=""; ' in done.headers["Set-Cookie"], "it is not kept any longer"


async def test_whoever_begins_sign_ins_takes_nothing_from_others(world: World) -> None:
    """However many are begun: for somebody unknown, nothing is kept here."""
    state = await world.sent_to_provider()
    before = world.client.cookies[cookie_name(CONSOLE, state)]
    for _ in range(300):
        assert (await world.client.get("/authorize", params=AUTHORIZE)).status_code == 303
    assert world.parts.sign_ins._used == {}
    world.client.cookies.clear()
    world.client.cookies.set(cookie_name(CONSOLE, state), before)
    assert (await world.answered(state)).status_code == 303


async def test_what_was_used_is_not_used_again_with_a_kept_cookie(world: World) -> None:
    state = await world.sent_to_provider()
    kept, message = world.client.cookies[cookie_name(CONSOLE, state)], world.answer(state)
    assert (await world.answered(state, message)).status_code == 303
    world.client.cookies.set(cookie_name(CONSOLE, state), kept)
    shown(await world.answered(state, message), "no sign-in is under way")


async def test_without_tls_there_are_no_secure_cookies(world: World, policy: Policy) -> None:
    assert policy.trust.console is not None
    console = replace(policy.trust.console, url="http://127.0.0.1:8083")
    world.parts.policy = replace(policy, trust=replace(policy.trust, console=console))
    sent = await world.client.get("/authorize", params=AUTHORIZE)
    assert "SameSite=lax" in sent.headers["Set-Cookie"] and "Secure" not in sent.headers["Set-Cookie"]


async def test_a_provider_that_is_asked_by_a_form(world: World, tmp_path: Path) -> None:
    """Bindings for SAML V2.0, section 3.5: the request is not deflated there."""
    await world.parts.replace(policy_of(changed(write_rules(tmp_path, world.idp.url, "workforce"), ssoBinding="post")))
    page = await world.client.get("/authorize", params=AUTHORIZE)
    assert page.status_code == 200
    assert '<form method="post" action="https://workforce.example/sso">' in page.text
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
    state = hidden["RelayState"]
    assert f'ID="{state}"' in base64.b64decode(hidden["SAMLRequest"]).decode()
    assert (await world.answered(state)).status_code == 303, "and the browser is known, too"


async def test_a_provider_whose_address_has_a_query(world: World, tmp_path: Path) -> None:
    folder = changed(write_rules(tmp_path, world.idp.url, "workforce"), ssoUrl="https://idp.example/sso?idpid=C01")
    await world.parts.replace(policy_of(folder))
    sent = await world.client.get("/authorize", params=AUTHORIZE)
    assert sent.headers["Location"].startswith("https://idp.example/sso?idpid=C01&SAMLRequest=")
    assert (await world.answered(relay_state(sent))).status_code == 303


async def test_a_device_at_one_of_several_providers(world: World, tmp_path: Path) -> None:
    await world.parts.replace(policy_of(write_rules(tmp_path, world.idp.url, "workforce", "other")))
    code = (await waiting(world))["user_code"]
    page = (await world.client.get("/device")).text
    assert "<option>workforce</option>" in page and "<option>other</option>" in page
    asked = {"user_code": code, "provider": "nobody"}
    shown(await world.post("/device", asked, Origin=CONSOLE), "no such SAML provider")
    sent = await world.post("/device", {**asked, "provider": "other"}, Origin=CONSOLE)
    assert sent.headers["Location"].startswith("https://other.example/sso?")


def changed(folder: Path, **changes: Any) -> Path:
    """The rules, the SAML provider changed."""
    (file,) = [each for each in folder.glob("*.yaml") if '"SamlProvider"' in each.read_text()]
    document = json.loads(file.read_text())
    document["spec"] |= changes
    file.write_text(json.dumps(document))
    return folder
