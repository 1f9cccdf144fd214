"""The pages in a real browser: people sign in, decide, and get around with a phone, a keyboard, in the dark.

One console for all tests, with a provider of its own at which people sign in as in life. What is on the pages is
checked in `test_pages.py`; approvals with a real cluster behind them in `tests/e2e/test_console_browser.py`.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from addons.core.access_request import AccessRequest
from addons.core.approval import Case, State
from addons.core.lock import Lock
from addons.edge.access_request_store import add_access_request
from addons.edge.lock_store import add_lock, locks
from tests.console.conftest import policy_of, write_rules
from tests.console.served import Served, served
from tests.console.test_pages import ASK, HOSTILE, ROLES, with_roles
from tests.support import browser as browsers
from tests.support.browser import DESKTOP, PHONE, SCHEMES
from tests.support.issuer import provider_process

PEOPLE = {"ada": ["admins"], "ann": ["approvers"], "vic": ["viewers"], "nobody": ["others"]}
AGENT = "https://agents"
PAGES = ["/?still", "/approvals/{approval}", "/grants", "/grants/r2345678", "/sessions", "/locks"]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with provider_process() as issuer:
        for name, groups in PEOPLE.items():
            httpx.put(f"{issuer}/users/{name}", json={"groups": groups}, trust_env=False).raise_for_status()
        yield issuer


@pytest.fixture(scope="module")
def console(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "rules").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    rules = write_rules(folder / "rules", provider)
    sign_in = [{"identityProvider": "idp", "clientId": "chaperone"}]
    policy = policy_of(with_roles(rules, url=f"http://127.0.0.1:{port}", signIn=sign_in, roles=ROLES))
    state = folder / "state"
    session = state / "sessions" / "20261129-0600-s1"
    session.mkdir(parents=True)
    about = {"connection": "prod", "intent": HOSTILE, "identity": {"sub": "agent-7"}}
    (session / "session.json").write_text(json.dumps(about))
    with served(policy, port, state) as running:
        request = AccessRequest(
            id="r2345678", iss=AGENT, sub="agent-7", connection="prod", role="arn:aws:iam::123456789012:role/debug",
            rule="on-request", intent=HOSTILE, seconds=3600, longest_seconds=7200, approvers=("approvers",),
            asked_at=time.time(), expires_at=time.time() + 6000,
        )  # fmt: skip
        add_access_request(running.store, request)
        add_lock(
            running.store, Lock(id="lock2345", subject="rogue", reason=HOSTILE, made_by="ada", made_at=time.time())
        )
        yield running


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
def admin(signed_in: Callable[..., Page], scheme: str) -> Page:
    return signed_in("ada", color_scheme=scheme)


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


def test_an_admin_locks_a_session_and_lifts_the_lock(console: Served, signed_in: Callable[..., Page]) -> None:
    page = signed_in("ada")
    page.goto(f"{console.url}/sessions")
    form = page.locator("form[action*='/sessions/20261129-0600-s1']").first
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
