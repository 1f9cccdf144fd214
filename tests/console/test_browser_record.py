"""The record in a real browser: a replay in time with the calls, a search that leads to it, what goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mitmproxy.io import tnetstring
from playwright.sync_api import Browser, Page

from addons.core.audit import timestamp
from addons.core.identity import Identity
from addons.edge.search_keeper import catch_up
from scripts.devenv import processes
from tests.console.conftest import policy_of, write_rules
from tests.console.served import Served, served
from tests.console.test_pages import HOSTILE, ROLES, with_roles
from tests.support import browser as browsers
from tests.support.browser import DESKTOP, PHONE, SCHEMES, until

START = 1767225600
SESSION, CAST, LONG = "5e55101", "exec-c0.cast", "exec-long.cast"
CALLS = 40
REPLAY_SECONDS = 10.0
"""The aim is one second for 10 MB; a machine that runs other tests meanwhile is given ten."""
PAGES = ["/search", "/search?text=printed", "/search?verb=*", f"/sessions/{SESSION}", "/live",
         f"/sessions/{SESSION}?cast={CAST}", f"/sessions/{SESSION}/casts/{CAST}/text"]  # fmt: skip


def event(call: int, stage: str, at: float) -> str:
    subresource = {"subresource": "exec"} if call == 0 else {}
    return json.dumps(
        {
            "auditID": f"c{call}", "stage": stage, "verb": "create", "user": {"username": "idp#agent"},
            "objectRef": {"resource": "pods", "namespace": "shop", "name": f"web-{call}", **subresource},
            "requestReceivedTimestamp": timestamp(START + call * 2), "stageTimestamp": timestamp(START + at),
            "annotations": {"chaperone.dev/decision": "deny" if call == 7 else "allow", "chaperone.dev/rule": "r"},
        }
    )  # fmt: skip


def cast_of(lines: int, pause: float) -> str:
    header = {"version": 3, "term": {"cols": 80, "rows": 24}, "timestamp": START, "command": "sh", "tags": ["tty"]}
    printed = [
        [pause, "o", f"\x1b[3{number % 8}mprinted {number} {number * 7919:<60}\x1b[0m\r\n"] for number in range(lines)
    ]
    return "".join(json.dumps(line) + "\n" for line in (header, [0.1, "i", "make all\r"], *printed))


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("record")
    (folder / "rules").mkdir()
    (port,) = processes.free_ports(1)
    rules = write_rules(folder / "rules", "https://idp.example", "workforce")
    policy = policy_of(with_roles(rules, url=f"http://127.0.0.1:{port}", roles=ROLES))
    session = folder / "state" / "sessions" / SESSION
    session.mkdir(parents=True)
    about = {"identity": {"sub": "agent-7"}, "connection": "prod", "intent": HOSTILE[:60]}
    (session / "session.json").write_text(json.dumps(about))
    events = [event(0, "RequestReceived", 0), event(0, "ResponseStarted", 0.5)]
    events += [
        event(call, stage, 2.1 * call) for call in range(1, CALLS) for stage in ("RequestReceived", "ResponseComplete")
    ]
    (session / "audit.jsonl").write_text("\n".join(events) + "\n")
    (session / CAST).write_text(cast_of(800, 0.1))
    (session / LONG).write_text(cast_of(90_000, 0.001))
    catch_up(folder / "state", lambda _: None)
    with served(policy, port, folder / "state") as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.browser() as running:
        yield running


@pytest.fixture
def open_page(console: Served, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """A browser of somebody who is signed in; nothing may go wrong in it."""
    faults: list[str] = []
    pages: list[Page] = []

    def opened(group: str = "viewers", **options: object) -> Page:
        who = Identity(iss="urn:idp", sub=group, aud=("a",), exp=time.time() + 1e6, groups=(group,))
        session = console.parts.people.sessions.begin(who, "workforce")
        page = browsers.new_page(chromium, **options)
        page.context.add_cookies([{"name": "chaperone-session", "value": session, "url": console.url}])
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.context.close()
    assert faults == []


PRINTS = "/printed \\d+/.test(document.querySelector('#player')?.innerText ?? '')"


def test_a_replay_marks_the_call_of_its_time_and_goes_to_the_one_that_is_clicked(
    console: Served, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    page.goto(f"{console.url}/sessions/{SESSION}")
    page.get_by_role("link", name=CAST).click()
    until(page, PRINTS)
    until(page, "document.querySelector('tr.now')?.getAttribute('aria-current') === 'time'")
    row = page.locator("tr", has_text="web-20")
    row.locator("a[data-seek]").click()
    until(page, "document.querySelector('tr.now').innerText.includes('web-20')")
    seen = page.locator("tr.now").bounding_box(), page.locator(".scroll").bounding_box()
    assert (
        seen[0] is not None and seen[1] is not None and seen[1]["y"] <= seen[0]["y"] < seen[1]["y"] + seen[1]["height"]
    )
    until(page, "/printed 39\\d/.test(document.querySelector('#player').innerText)")
    until(page, "document.querySelector('tr.now').innerText.includes('web-21')")
    assert page.url.endswith(f"?cast={CAST}#replay"), "without a reload"


def test_a_search_leads_to_the_place_in_the_replay(console: Served, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto(f"{console.url}/search")
    page.get_by_label("Typed or printed in a terminal").fill("PRINTED 500 ")
    page.get_by_label("Resource").fill("pods/exec")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Replay").click()
    until(page, "/printed 499/.test(document.querySelector('#player')?.innerText ?? '')")
    until(page, "document.querySelector('tr.now')?.innerText.includes('web-25')")
    page.goto(f"{console.url}/search?verdict=deny")
    page.get_by_role("link", name="create pods shop/web-7").first.click()
    assert "web-7" in page.locator("tr.here").inner_text()


def test_a_recording_of_ten_megabytes_starts_soon(console: Served, open_page: Callable[..., Page]) -> None:
    size = (console.state / "sessions" / SESSION / LONG).stat().st_size
    assert size > 10_000_000
    page = open_page()
    began = time.monotonic()
    page.goto(f"{console.url}/sessions/{SESSION}?cast={LONG}", wait_until="commit")
    until(page, PRINTS)
    took = time.monotonic() - began
    print(f"a recording of {size} bytes starts after {took:.2f} s")
    assert took <= REPLAY_SECONDS


def test_what_goes_on_comes_by_itself(console: Served, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto(f"{console.url}/live")
    assert "0 running, 0 waiting" in page.inner_text("#live")
    (console.state / "live").mkdir()
    told = {"audit_id": "c0", "session": SESSION, "user": "agent-7", "verb": "create", "resource": "pods",
            "subresource": "exec", "namespace": "shop", "name": "web-0"}  # fmt: skip
    flow = {
        "metadata": {"chaperone": told},
        "timestamp_created": time.time(),
        "marked": ":arrow_forward:",
        "comment": "",
    }
    (console.state / "live" / "1.mitm").write_bytes(tnetstring.dumps(flow))
    until(page, "document.querySelector('#live').innerText.includes('1 running, 0 waiting')")
    page.get_by_role("link", name="Watch").click()
    until(page, "document.querySelector('pre')?.innerText.includes('printed 799')")


def test_without_scripts_there_is_text(console: Served, open_page: Callable[..., Page]) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(f"{console.url}/sessions/{SESSION}?cast={CAST}")
    assert "The player needs scripts." in page.inner_text("main")
    page.get_by_role("link", name="Read it as plain text").click()
    assert "typed: make all" in page.inner_text("pre")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_are_for_everybody(
    console: Served, open_page: Callable[..., Page], scheme: str, viewport: object, tmp_path: Path
) -> None:
    page = open_page("admins", viewport=viewport, color_scheme=scheme)
    for path in PAGES:
        page.goto(f"{console.url}{path}")
        if path.endswith(CAST):
            until(page, PRINTS)
        assert browsers.accessibility(page) == [], path
        assert not browsers.scrolls_sideways(page), path


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_cannot_be_told_from_its_ground_is_found(
    console: Served, open_page: Callable[..., Page], scheme: str
) -> None:
    page = open_page(color_scheme=scheme)
    page.goto(f"{console.url}/live")
    page.evaluate("Object.assign(document.querySelector('h1').style, {color: '#888', backgroundColor: '#999'})")
    assert [each for each in browsers.accessibility(page) if each.startswith("color-contrast (serious)")]
