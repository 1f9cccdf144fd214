"""A real browser for tests: headless Chromium by Playwright, and axe, which says what keeps people from pages."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from scripts.devenv import npm
from scripts.devenv.chromium import find_chromium

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SCHEMES = ("light", "dark")
WAIT_MS = 60_000
"""Long: a test fails by what it sees, not by how busy the machine is."""
_SERIOUS = ("serious", "critical")


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser; ends with everything that was opened in it. Not beside coroutines of the same thread."""
    chromium = find_chromium()
    with sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=chromium.path,
            args=list(chromium.arguments),
            env={**os.environ, **chromium.environment},
            chromium_sandbox=False,
            timeout=2 * WAIT_MS,
        )
        try:
            yield running
        finally:
            running.close()


def new_page(running: Browser, **options: Any) -> Page:
    """A page of somebody with no cookies: another person's browser. `options` are those of a browser's context."""
    page = running.new_context(viewport=options.pop("viewport", DESKTOP), **options).new_page()
    page.set_default_timeout(WAIT_MS)
    return page


@contextmanager
def closing(running: Browser) -> Iterator[None]:
    """Pages that are opened meanwhile are closed: some ask their server for news for as long as they are open."""
    before = [*running.contexts]
    yield
    for each in running.contexts:
        if each not in before:
            each.close()


def accessibility(page: Page) -> list[str]:
    """What axe finds serious or critical on the page, with where; what it cannot tell is not among it."""
    page.evaluate(_axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {[node['target'] for node in each['nodes']]}"
        for each in found["violations"]
        if each["impact"] in _SERIOUS
    ]


def scrolls_sideways(page: Page) -> bool:
    """Whether the page is wider than the window."""
    found: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return found


def tab_stops(page: Page, most: int = 200) -> list[dict[str, Any]]:
    """What the Tab key stops at, from the top of the page until it comes around: tag, text, and if that is seen."""
    stops: list[dict[str, Any]] = []
    page.evaluate("document.activeElement && document.activeElement.blur()")
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(_STOP)
        if stop is None or (stops and stop["path"] == stops[0]["path"]):
            return stops
        stops.append(stop)
    raise AssertionError(f"the Tab key does not come around: {stops[-3:]}")


_STOP = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const style = getComputedStyle(e), box = e.getBoundingClientRect();
  const path = [];
  for (let n = e; n.parentElement; n = n.parentElement) path.unshift([...n.parentElement.children].indexOf(n));
  return {path: path.join("/"), tag: e.tagName.toLowerCase(), text: (e.innerText || e.name || "").trim(),
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.height > 0 && box.right > 0 && box.left < innerWidth,
    top: box.top + scrollY, left: box.left};
}"""


def _axe() -> str:
    return (npm.package("axe-core") / "axe.min.js").read_text()


def until(page: Page, expression: str) -> None:
    """True by and by. Playwright's own way evaluates text, which the page's policy forbids."""
    ends = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < ends, f"{expression}: {page.inner_text('main')[-1500:]}"
        time.sleep(0.02)
