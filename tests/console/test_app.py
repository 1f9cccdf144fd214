"""What is true of every endpoint: who is let in, what is sent with every answer, and what is no request at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from addons.console import pages
from addons.console import pending as console_pending
from addons.console.pending import Pending
from addons.core.token_exchange import EXCHANGE, JWT, MAX_FORM
from addons.edge.saml import MAX_RESPONSE
from addons.edge.store import StoreUnavailable
from tests.console.conftest import AUTHORIZE, CONSOLE, World, policy_of, write_rules
from tests.console.test_sign_in import shown
from tests.console.test_tokens import refused
from tests.support.issuer import Clock

FORMS = ("/token", "/revoke", "/device_authorization")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"])
async def test_what_it_says_of_itself(world: World, path: str) -> None:
    found = (await world.client.get(path)).json()
    assert found["issuer"] == CONSOLE
    keys = (await world.client.get(found["jwks_uri"])).json()
    assert keys == world.parts.signer.jwks and "d" not in keys["keys"][0]


async def test_health_and_metadata(world: World) -> None:
    assert (await world.client.get("/healthz")).text == "ok"
    found = await world.client.get("/saml/metadata")
    assert found.headers["Content-Type"].startswith("application/samlmetadata+xml")
    assert f'entityID="{CONSOLE}/saml/metadata"' in found.text and f'Location="{CONSOLE}/saml/acs"' in found.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/keys", 200),
        ("GET", "/device", 200),
        ("GET", "/authorize", 400),
        ("POST", "/saml/acs", 400),
        ("POST", "/device", 403),
        ("POST", "/token", 400),
        ("POST", "/revoke", 400),
        ("GET", "/nothing", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/", 303),
        ("GET", "/token", 405),
        ("DELETE", "/keys", 405),
    ],
)
async def test_every_answer_has_the_headers(world: World, method: str, path: str, status: int) -> None:
    found = await world.client.request(method, path)
    assert found.status_code == status
    assert all(found.headers[name] == value for name, value in pages.HEADERS.items())
    assert "server" not in found.headers


async def test_faults_nobody_has_foreseen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(world.parts.sign_ins, "seal", broken)
    found = await world.client.get("/authorize", params=AUTHORIZE)
    assert found.status_code == 500
    assert found.json() == {"error": "server_error", "error_description": "it did not work"}
    assert all(found.headers[name] == value for name, value in pages.HEADERS.items())


async def test_faults_that_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await world.exchanged(world.token())

    async def away(*_: object) -> None:
        raise StoreUnavailable("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.parts.store, "call", away)
        refused(await world.post("/revoke", {"token": token}), "temporarily_unavailable", "away", 503)


async def test_what_it_says_of_itself_is_what_the_rules_say_now(world: World) -> None:
    trust = world.parts.policy.trust
    assert trust.console is not None
    moved = replace(trust, console=replace(trust.console, url="https://new.example"))
    world.parts.policy = replace(world.parts.policy, trust=moved)
    found = (await world.client.get("/.well-known/openid-configuration")).json()
    assert found["token_endpoint"] == "https://new.example/token"


async def test_a_console_that_the_rules_no_longer_have(world: World, tmp_path: Path) -> None:
    folder = write_rules(tmp_path, world.idp.url)
    (folder / "1.yaml").unlink()
    await world.parts.replace(policy_of(folder))
    refused(await world.ask(world.token()), "temporarily_unavailable", "nothing of a console", 503)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"a=1&a=2", "twice", id="a parameter twice"),
        pytest.param(json.dumps({"token": "x"}).encode(), "urlencoded form", id="JSON"),
        pytest.param(b"\xff\xfe", "urlencoded form", id="bytes"),
        pytest.param("&".join(f"p{n}=1" for n in range(21)).encode(), "urlencoded form", id="too many parameters"),
    ],
)
async def test_what_is_no_form(world: World, path: str, body: bytes, why: str) -> None:
    refused(await world.client.post(path, content=body, headers=FORM), "invalid_request", why)


@pytest.mark.parametrize(
    ("path", "most"),
    [*((path, MAX_FORM) for path in FORMS), ("/saml/acs", 2 * MAX_RESPONSE), ("/device", MAX_FORM)],
)
async def test_oversized_bodies(world: World, path: str, most: int) -> None:
    headers = {**FORM, "Origin": CONSOLE}
    found = await world.client.post(path, content=b"a=" + b"b" * most, headers=headers)
    assert found.status_code == 413
    assert f"longer than {most} bytes" in found.text
    fits = await world.client.post(path, content=b"a=" + b"b" * (most - 2), headers=headers)
    assert fits.status_code == 400


async def test_a_multipart_form_is_none(world: World) -> None:
    files = {"grant_type": (None, EXCHANGE), "subject_token": (None, "x")}
    refused(await world.client.post("/token", files=files), "unsupported_grant_type")


async def test_parameters_in_the_address_do_not_count(world: World) -> None:
    query = {"grant_type": EXCHANGE, "subject_token": world.token(), "subject_token_type": JWT}
    refused(await world.client.post("/token", params=query), "unsupported_grant_type")


async def test_pages_refuse_as_pages(world: World) -> None:
    shown(await world.client.post("/saml/acs", content=b"a=1&a=2", headers=FORM), "there twice")
    shown(await world.client.get("/device?user_code=a&user_code=b"), "there twice")


def test_what_is_waited_for_ends() -> None:
    clock = Clock()
    waiting_for: Pending[str] = Pending(10, clock)
    first = waiting_for.add("a")
    clock.now += 5
    second = waiting_for.add("b")
    assert len({first, second}) == 2 and min(map(len, (first, second))) >= 43
    clock.now += 5
    assert (waiting_for.find(first), waiting_for.find(second)) == (None, "b")
    assert (waiting_for.take(second), waiting_for.take(second)) == ("b", None)


def test_a_short_code_that_is_in_use_is_not_given_twice() -> None:
    codes = iter(["A", "A", "B", "C"])
    waiting_for: Pending[int] = Pending(10, Clock(), lambda: next(codes))
    assert (waiting_for.add(1), waiting_for.add(2)) == ("A", "B")
    assert (waiting_for.find("A"), waiting_for.find("B")) == (1, 2)


def test_one_address_takes_no_room_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console_pending, "MOST", 4)
    monkeypatch.setattr(console_pending, "MOST_EACH", 2)
    clock = Clock()
    kept: Pending[int] = Pending(10, clock)
    other, *flood = kept.add(0, "a"), *(kept.add(number, "b") for number in range(1, 50))
    assert kept.find(other) == 0, "however much another one begins"
    assert [kept.find(key) for key in flood[-3:]] == [None, 48, 49]
    for source in ("c", "d", "e"):
        kept.add(9, source)
    assert kept.find(other) is None, "where all room is used, the oldest goes"
    clock.now += 10
    assert (kept.find(flood[-1]), len(kept._kept), len(kept._from)) == (None, 0, 0)


@pytest.mark.parametrize("path", ["/authorize", "/live", "/"])
async def test_head_begins_nothing(world: World, path: str) -> None:
    assert (await world.client.head(path)).status_code == 405
