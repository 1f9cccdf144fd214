"""The pages in a real browser: people sign in, decide, and get around with a phone, a keyboard, in the dark.

One console for all tests, with a provider of its own at which people sign in as in life. What is on the pages is
checked in `test_pages.py`; approvals with a real cluster behind them in `tests/e2e/test_console_browser.py`.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from addons.core.access_request import AccessRequest
from addons.core.approval import Case, State
from addons.core.lock import Lock
from addons.edge.access_request_store import add_access_request
from addons.edge.lock_store import add_lock, locks
from scripts.devenv import processes
from tests.console.conftest import REPOSITORY, policy_of, write_rules
from tests.console.served import Served, served
from tests.console.test_pages import ASK, HOSTILE, ROLES, with_roles
from tests.support import browser as browsers
from tests.support.browser import DESKTOP, PHONE, SCHEMES
from tests.support.servers import openid_provider

PEOPLE = {"ada": ["admins"], "ann": ["approvers"], "vic": ["viewers"], "nobody": ["others"]}
AGENT = "https://agents"
PAGES = ["/?still", "/approvals/{approval}", "/grants", "/grants/r2345678", "/sessions", "/locks"]
PAGES += ["/identities", "/rules", "/connections"]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with openid_provider() as issuer:
        for name, groups in PEOPLE.items():
            httpx.put(f"{issuer}/users/{name}", json={"groups": groups}, trust_env=False).raise_for_status()
        yield issuer


@pytest.fixture(scope="module")
def console(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "rules").mkdir()
    (port,) = processes.free_ports(1)
    rules = write_rules(folder / "rules", provider)
    sign_in = [{"identityProvider": "idp", "clientId": "chaperone"}]
    policy = policy_of(with_roles(rules, url=f"http://127.0.0.1:{port}", signIn=sign_in, roles=ROLES))
    state = folder / "state"
    with served(policy, port, state) as running:
        yield running


@pytest.fixture(scope="module")
def known(console: Served) -> dict[str, str]:
    """What is on the pages in the documentation: a quiet afternoon. Ids by what they are of."""
    record(console, "20261129-0600-release", "INC-42 the shop is slow", "release-bot", "prod")
    record(console, "20261129-0612-triage", "nightly triage of failed jobs", "triage-bot", "staging")
    record(console, "20261129-0617-release", "INC-42 the shop is slow", "release-bot", "prod")
    about: dict[str, Any] = {
        "requester_sub": "release-bot", "requester_owner": "carol@example.com", "requester_groups": ("agents",)
    }  # fmt: skip
    change: dict[str, Any] = {
        "verb": "patch", "resource": "deployments/scale", "namespace": "shop", "name": "web", "argv": (), "risk": 55,
        "method": "PATCH", "target": "/apis/apps/v1/namespaces/shop/deployments/web/scale", "command": "kubectl scale",
        "rule": "scale-to-zero", "reason": "it stops every replica", "intent": "INC-42 the shop is slow",
        "diff": "--- before\n+++ after\n  spec:\n-   replicas: 6\n+   replicas: 0",
    }  # fmt: skip
    now = time.time()
    first = console.store.claim("k1", replace(ASK, **about, name="web-7d9f", namespace="shop"), now - 41)
    scale = console.store.claim("k2", replace(ASK, **about, **change), now - 12)
    wish(console, "q7m4wd2x", "INC-42 look at what the pods say", "triage-bot")
    reason = "took 400 pods down on Friday"
    add_lock(console.store, Lock(id="m3kd82qp", subject="cleanup-bot", reason=reason, made_by="ada", made_at=now - 900))
    return {"exec": first.approval.id, "scale": scale.approval.id}


@pytest.fixture(scope="module")
def hostile(console: Served, known: dict[str, str]) -> None:
    """And what an agent may make of it."""
    record(console, "20261129-0700-s1", HOSTILE, "agent-7", "prod")
    wish(console, "r2345678", HOSTILE, "agent-7")
    add_lock(console.store, Lock(id="lock2345", subject="rogue", reason=HOSTILE, made_by="ada", made_at=time.time()))


def record(console: Served, session: str, intent: str, sub: str, connection: str) -> None:
    folder = console.state / "sessions" / session
    folder.mkdir(parents=True)
    about = {"connection": connection, "intent": intent, "identity": {"iss": AGENT, "sub": sub}}
    (folder / "session.json").write_text(json.dumps(about))


def wish(console: Served, request_id: str, intent: str, sub: str) -> None:
    request = AccessRequest(
        id=request_id, iss=AGENT, sub=sub, connection="prod", role="arn:aws:iam::123456789012:role/debug",
        rule="on-request", intent=intent, seconds=3600, longest_seconds=7200, approvers=("approvers",),
        asked_at=time.time() - 95, expires_at=time.time() + 6000,
    )  # fmt: skip
    add_access_request(console.store, request)


@pytest.fixture(scope="module")
def asked(console: Served) -> Callable[..., Case]:
    """A question that waits."""

    def ask(**changes: Any) -> Case:
        return console.store.claim(secrets.token_hex(8), replace(ASK, **changes), time.time())

    return ask


@pytest.fixture(scope="module")
def running() -> Iterator[Browser]:
    with browsers.browser() as found:
        yield found


@pytest.fixture(autouse=True)
def _pages_of_one_test(running: Browser) -> Iterator[None]:
    with browsers.closing(running):
        yield


@pytest.fixture(scope="module")
def signed_in(console: Served, running: Browser) -> Callable[..., Page]:
    """Somebody's page, who has signed in at the provider: in a browser of their own."""

    def page(name: str, **options: Any) -> Page:
        found = browsers.new_page(running, **options)
        found.goto(f"{console.url}/")
        found.get_by_role("button", name="Sign in at idp").click()
        found.locator("input[name=sub]").fill(name)
        found.get_by_role("button", name="Authorize", exact=True).click()
        found.wait_for_url(f"{console.url}/")
        return found

    return page


@pytest.fixture(scope="module", params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def admin(signed_in: Callable[..., Page], hostile: None, scheme: str) -> Page:
    return signed_in("ada", color_scheme=scheme)


PICTURES: dict[str, tuple[str, str, ViewportSize]] = {
    "console-inbox": ("/?still", "light", {"width": 1100, "height": 560}),
    "console-approval": ("/approvals/{scale}", "light", {"width": 1100, "height": 980}),
    "console-approval-phone": ("/approvals/{exec}", "dark", PHONE),
    "console-sessions": ("/sessions", "dark", {"width": 1100, "height": 460}),
    "console-rules": ("/rules", "light", {"width": 1100, "height": 560}),
}
"""In docs/images, by name: the page, the colour scheme, and the size of the window."""
IMAGES = REPOSITORY / "docs" / "images"


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_in_the_documentation(
    console: Served, known: dict[str, str], signed_in: Callable[..., Page], name: str
) -> None:
    """They are made here: CHAPERONE_UPDATE_GOLDEN=1 writes them anew; look at them before they are committed."""
    path, scheme, size = PICTURES[name]
    page = signed_in("ada", color_scheme=scheme, viewport=size)
    answer = page.goto(console.url + path.format(**known))
    assert answer is not None and answer.status == 200
    picture, file = page.screenshot(), IMAGES / f"{name}.png"
    if os.environ.get("CHAPERONE_UPDATE_GOLDEN"):
        IMAGES.mkdir(exist_ok=True)
        file.write_bytes(picture)
    shown = struct.unpack(">II", file.read_bytes()[16:24])
    assert shown == struct.unpack(">II", picture[16:24]) == (size["width"], size["height"])


def test_every_picture_is_made_here_and_small() -> None:
    pages = " ".join(page.read_text() for page in (REPOSITORY / "docs").glob("*.md"))
    assert set(re.findall(r"images/([a-z-]+)\.png", pages)) == {file.stem for file in IMAGES.iterdir()} == set(PICTURES)
    assert sum(file.stat().st_size for file in IMAGES.iterdir()) < 600_000


def test_somebody_signs_in_and_out(console: Served, signed_in: Callable[..., Page]) -> None:
    page = signed_in("vic")
    assert "vic" in page.locator("header").inner_text()
    page.get_by_role("button", name="Sign out").click()
    assert "Signed out" in page.locator("h1").inner_text()
    page.goto(f"{console.url}/")
    assert "/sign-in" in page.url


def test_an_approver_approves_and_denies(
    console: Served, signed_in: Callable[..., Page], asked: Callable[..., Case]
) -> None:
    page = signed_in("ann")
    for button, state, note in (("Approve", State.GRANTED, "go on"), ("Deny", State.DENIED, "not on a Friday")):
        case = asked(name=f"web-{button.lower()}")
        page.goto(f"{console.url}/")
        page.get_by_role("link", name=f"web-{button.lower()}").click()
        form = page.locator("form", has=page.get_by_role("button", name=button, exact=True))
        form.locator("input[name=note]").fill(note)
        form.get_by_role("button", name=button, exact=True).click()
        page.wait_for_load_state()
        after = console.store.get(case.approval.id)
        assert (after.approval.state, after.approval.note) == (state, note)
        assert note in page.locator("main").inner_text()


def test_a_denial_needs_a_reason(signed_in: Callable[..., Page], console: Served, asked: Callable[..., Case]) -> None:
    case, page = asked(), signed_in("ann")
    page.goto(f"{console.url}/approvals/{case.approval.id}")
    page.get_by_role("button", name="Deny", exact=True).click()
    assert page.evaluate("document.activeElement.name") == "note", "the browser asks for it"
    assert console.store.get(case.approval.id).approval.state == State.PENDING


def test_an_admin_locks_a_session_and_lifts_the_lock(
    console: Served, hostile: None, signed_in: Callable[..., Page]
) -> None:
    page = signed_in("ada")
    page.goto(f"{console.url}/sessions")
    form = page.locator("form[action*='/sessions/20261129-0700-s1']").first
    form.locator("input[name=note]").fill("gone wild")
    form.get_by_role("button").click()
    page.wait_for_url(f"{console.url}/locks")
    assert "gone wild" in page.locator("main").inner_text()
    (lock,) = [each for each in locks(console.store) if each.session]
    page.locator(f"form[action$='/locks/{lock.id}'] button").click()
    page.wait_for_load_state()
    assert [each for each in locks(console.store) if each.session] == []


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_it(console: Served, admin: Page, asked: Callable[..., Case], path: str) -> None:
    """In both colour schemes, on a large screen and on a phone, with a keyboard alone, whatever agents write."""
    case = asked(intent=HOSTILE, diff=ASK.diff + "\n" + HOSTILE, argv=("sh", "-c", HOSTILE))
    errors: list[str] = []
    admin.on("pageerror", lambda error: errors.append(str(error)))
    admin.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    admin.goto(console.url + path.format(approval=case.approval.id))
    assert browsers.accessibility(admin) == []
    check_tab_stops(admin)
    admin.set_viewport_size(PHONE)
    assert not browsers.scrolls_sideways(admin)
    assert browsers.accessibility(admin) == []
    admin.set_viewport_size(DESKTOP)
    assert not browsers.scrolls_sideways(admin)
    assert errors == [], "nothing that the policy of the page forbids is on it"


def check_tab_stops(page: Page) -> None:
    """Everything is reached in the order in which it is read, one can see where one is, and gets out again."""
    stops = browsers.tab_stops(page)
    assert stops[0]["text"] == "Skip to the content"
    assert all(stop["outline"] and stop["seen"] for stop in stops), stops
    places = [stop["path"].split("/") for stop in stops]
    assert places == sorted(places, key=lambda place: [int(part) for part in place])
    reachable = page.locator("a[href]:visible, button:visible, input:visible, select:visible, summary:visible").count()
    assert len(stops) >= reachable


def test_without_a_role_nothing_is_shown(console: Served, running: Browser, signed_in: Callable[..., Page]) -> None:
    page = signed_in("nobody")
    assert "none of your groups a role" in page.locator("main").inner_text()
    assert browsers.accessibility(page) == []


@pytest.mark.parametrize("path", ["/sign-in", "/device", "/nothing"])
def test_pages_for_nobody_yet(console: Served, running: Browser, scheme: str, path: str) -> None:
    page = browsers.new_page(running, color_scheme=scheme, viewport=PHONE)
    page.goto(console.url + path)
    assert not browsers.scrolls_sideways(page)
    assert path == "/nothing" or browsers.accessibility(page) == []
