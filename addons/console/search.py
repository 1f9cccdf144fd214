"""The search page: events, and places in recorded terminals, that somebody looks for. It asks the index."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from html import escape
from math import ceil
from urllib.parse import urlencode

from fastapi.responses import Response

from addons.console import assets, html
from addons.console.gate import Endpoint, Refused, Visit, gated
from addons.console.parts import Parts
from addons.console.views import frame
from addons.core import console_view as view
from addons.core.session_search import Search, moment
from addons.core.timeline import entry, words
from addons.edge.search_query import Found, Page, search
from addons.edge.search_schema import NoIndex, SearchTooLong

_PATTERNS = ("who", "connection", "verb", "resource", "namespace", "verdict", "rule")
_FIELDS: Mapping[str, str] = {
    "who": "Who (subject, whom it acts for, or owner)",
    "connection": "Connection",
    "verb": "Verb",
    "resource": "Resource (pods, pods/exec, deployments.apps)",
    "namespace": "Namespace",
    "verdict": "Verdict (allow, warn, require_approval, deny, refuse)",
    "rule": "Rule",
    "since": "Since (2026-01-31, 2026-01-31T12:00Z, or 2h)",
    "until": "Until",
    "text": "Typed or printed in a terminal",
}
_MOST = 300
_LIMIT = 50
_AT_ONCE = asyncio.Semaphore(2)
_BEHIND_SECONDS = 120


def routes(parts: Parts) -> list[tuple[str, str, Endpoint]]:
    """Paths, methods and what answers."""
    return [("/search", "GET", gated(parts, _search))]


async def _search(visit: Visit) -> Response:
    asked = {name: _seen(visit.request.query_params.get(name, "")) for name in (*_FIELDS, "after")}
    if any(len(text) > _MOST for text in asked.values()):
        raise Refused(400, f"What is looked for is longer than {_MOST} characters.")
    try:
        async with _AT_ONCE:
            look_for = _look_for(asked, visit.parts.now())
            found = await asyncio.to_thread(search, visit.parts.state, look_for, asked["after"], _LIMIT)
    except ValueError as error:
        return _page(visit, asked, html.paragraph(f"{error}."), 400)
    except (NoIndex, SearchTooLong) as error:
        return _page(visit, asked, html.paragraph(f"{error}."), 503)
    return _page(visit, asked, _list(visit, asked, found))


def _page(visit: Visit, asked: Mapping[str, str], content: str, status: int = 200) -> Response:
    style = f'<link rel="stylesheet" href="{assets.address(visit.base, "session.css")}">'
    text = frame(visit, "Search", _form(visit, asked), content, refresh=style)
    return assets.page(text, assets.STYLE_POLICY, status)


def _seen(text: str) -> str:
    """What somebody can see of it: no more is looked for, nor shown in the form."""
    return "".join(filter(str.isprintable, text)).strip()


def _look_for(asked: Mapping[str, str], now: float) -> Search:
    """Several patterns are parted by spaces. Raises ValueError."""
    since, until = (moment(asked[name], now) if asked[name] else "" for name in ("since", "until"))
    patterns = {name: asked[name].split() for name in _PATTERNS}
    return Search(**patterns, since=since, until=until, text=asked["text"])


def _form(visit: Visit, asked: Mapping[str, str]) -> str:
    lines = "".join(
        f'<label>{escape(label)}<input name="{name}" value="{escape(asked[name])}" maxlength="{_MOST}"'
        ' autocomplete="off" autocapitalize="none" spellcheck="false"></label>'
        for name, label in _FIELDS.items()
    )
    how = html.paragraph("Patterns may hold * and ?; several are parted by spaces, and one of them must match.")
    return f'<form method="get" action="{visit.base}/search" role="search">{lines}{how}<button>Search</button></form>'


def _list(visit: Visit, asked: Mapping[str, str], found: Page) -> str:
    late = visit.parts.now() - found.checked_at
    state = ""
    if found.behind:
        state = f"{found.behind} bytes of the record are not in the index yet."
    elif late > _BEHIND_SECONDS:
        state = f"The index was brought up to date {view.duration(late)} ago; what came later is not found."
    entries = html.items(_found(visit, each) for each in found.found)
    if not found.found:
        entries = html.paragraph("Nothing is found" + (" in this part." if found.after else "."))
    query = urlencode({name: text for name, text in {**asked, "after": found.after}.items() if text})
    more = f"<p>{html.link(f'{visit.base}/search?{query}', 'Older')}</p>" if found.after else ""
    return f"<h2>Found, the latest first</h2>{html.paragraph(state)}{entries}{more}"


def _found(visit: Visit, found: Found) -> str:
    page = f"{visit.base}/sessions/{found.session}"
    if found.event is None:
        place = f"{page}?cast={found.cast}&t={ceil(found.seconds * 1000) / 1000:.3f}#replay"
        before, text, after = map(view.clipped, found.text)
        where = html.text(f"{found.kind} {view.duration(found.seconds)} after the start of {found.cast}")
        line = f"<p>{html.text(before)}<mark>{html.text(text)}</mark>{html.text(after)}</p><p>{where}</p>"
        name = "Replay"
    else:
        place, (what, *told) = f"{page}?at={found.offset}#here", words(entry(found.offset, [found.event]))
        line, name = html.paragraph(", ".join(view.clipped(word) for word in told if word)), view.clipped(what)
    by = f"{view.clipped(view.session_user(found.about))}, {view.clipped(str(found.about.get('connection', '')))}"
    return f"<p>{html.link(place, name)} {html.text(found.time)}</p>{line}{html.paragraph(f'{by}, {found.session}')}"
