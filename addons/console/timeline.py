"""A session's page: who, what call by call, and beside it the replay of its terminals."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from html import escape
from pathlib import Path

from fastapi.responses import Response

from addons.console import assets, casts, html
from addons.console.gate import Endpoint, Refused, Visit, gated
from addons.console.parts import Parts
from addons.console.views import frame
from addons.core import console_view as view
from addons.core.cast_text import CastText
from addons.core.console_role import Role
from addons.core.timeline import Entry, seconds
from addons.edge.archive import StoredSession, stored_session
from addons.edge.timeline import Window, around, offset_of, window

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,6})?")
_COLUMNS = ("time", "what", "verdict", "code", "ms", "approver")
_MISSING = (
    "The player is not installed: scripts/bootstrap.sh fetches it; a wheel or an image has it if it was there when that"
    " was built. The recording can be read as plain text."
)


def routes(parts: Parts) -> list[tuple[str, str, Endpoint]]:
    """Paths, methods and what answers."""
    return [
        ("/sessions/{id}", "GET", gated(parts, _session)),
        ("/sessions/{id}/casts/{name}", "GET", gated(parts, casts.cast)),
        ("/sessions/{id}/casts/{name}/text", "GET", gated(parts, casts.as_text)),
        ("/static/{digest}/{name}", "GET", assets.static),
    ]


async def _session(visit: Visit) -> Response:
    stored = await asyncio.to_thread(stored_session, visit.parts.state, visit.id)
    cast, at = visit.request.query_params.get("cast", ""), _number(visit, "t")
    if cast:
        _, path = await casts.find(visit.parts, stored.id, cast)
        found = await asyncio.to_thread(_of_cast, visit, stored, path)
        replay = _replay(visit, stored, path, found, at)
    else:
        found = await asyncio.to_thread(_part(visit, stored))
        replay = await asyncio.to_thread(_recordings, visit, stored)
    known = html.facts(view.session_facts(stored.id, stored.about, stored.changed_at))
    content = _calls(visit, stored, found, cast)
    head = f'<link rel="stylesheet" href="{assets.address(visit.base, "session.css")}">'
    if cast and assets.player_there():
        cast_address = f"{visit.base}/sessions/{stored.id}/casts/{cast}"
        head += f'<link rel="preload" as="fetch" crossorigin href="{cast_address}">'
        player = (assets.address(visit.base, f"{assets.PLAYER}{kind}") for kind in (".css", ".min.js"))
        style, script = player
        head += f'<link rel="stylesheet" href="{style}"><script defer src="{script}"></script>'
        head += f'<script defer src="{assets.address(visit.base, "timeline.js")}"></script>'
    page = frame(visit, f"Session {stored.id}", known, _lock(visit, stored), replay, content, refresh=head)
    return assets.page(page, assets.SESSION_POLICY if cast else assets.STYLE_POLICY)


def _number(visit: Visit, name: str) -> float:
    """A parameter that is a number, 0 if it is not there. Raises Refused."""
    text = visit.request.query_params.get(name, "0")
    if not _NUMBER.fullmatch(text):
        raise Refused(400, f"{name} is a number.")
    return float(text)


def _part(visit: Visit, stored: StoredSession) -> Callable[[], Window]:
    if "at" in visit.request.query_params:
        place = int(_number(visit, "at"))
        return lambda: around(stored.folder, place)
    start = int(_number(visit, "from"))
    return lambda: window(stored.folder, start)


def _of_cast(visit: Visit, stored: StoredSession, path: Path) -> Window:
    """The calls while a cast was recorded: those of its page, or those around the call that it is of."""
    if "from" in visit.request.query_params:
        return _part(visit, stored)()
    return around(stored.folder, offset_of(stored.folder, path.stem.removeprefix("exec-")))


def _replay(visit: Visit, stored: StoredSession, path: Path, found: Window, at: float) -> str:
    page = f"{visit.base}/sessions/{stored.id}"
    address = f"{page}/casts/{path.name}"
    text = html.link(f"{address}/text", "Read it as plain text")
    if not assets.player_there():
        missing = f"{html.paragraph(_MISSING)}<p>{text}</p>"
        return f'<section id="replay"><h2>Replay of {html.text(path.name)}</h2>{missing}</section>'
    data = f'data-src="{address}" data-start="{_start(path, found.entries)}" data-at="{at}"'
    ways = [text, html.link(f"{address}/text?watch", "Watch its end"), html.link(page, "All of the session")]
    return (
        f'<section id="replay" aria-label="Replay"><h2>Replay of {html.text(path.name)}</h2>'
        f'<div id="player" {data} data-play="{"no" if at else "yes"}"></div>'
        f"<noscript>{html.paragraph('The player needs scripts.')}</noscript><p>{' · '.join(ways)}</p></section>"
    )


def _start(path: Path, entries: list[Entry]) -> float:
    """When it began, in Unix seconds: the cast says the second, the call the rest."""
    reader = CastText()
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        reader.feed(lines.readline(1 << 20))
    begun = next((each.stream_at for each in entries if each.cast == path.name), 0.0)
    return begun if reader.started_at <= begun < reader.started_at + 2 else reader.started_at


def _recordings(visit: Visit, stored: StoredSession) -> str:
    names = [path.name for path in stored.casts if casts.CAST.fullmatch(path.name)]
    links = [html.link(f"{visit.base}/sessions/{stored.id}?cast={name}#replay", name) for name in names[:_MOST]]
    more = html.paragraph(f"The first {_MOST} of {len(names)} recordings.") if len(names) > _MOST else ""
    return f"<h2>Recordings</h2>{more}{html.items(links)}" if links else ""


_MOST = 50


def _lock(visit: Visit, stored: StoredSession) -> str:
    label = f"Lock session {stored.id}, because"
    return visit.sent(f"/sessions/{stored.id}", "Lock", label, required=True) if visit.role is Role.ADMIN else ""


def _calls(visit: Visit, stored: StoredSession, found: Window, cast: str) -> str:
    if not found.entries:
        return html.paragraph("No calls are recorded here.")
    start = 0.0
    if cast:
        start = _start(stored.folder / cast, found.entries)
    rows = "".join(_row(visit, stored, each, found.here, cast, start) for each in found.entries)
    heads = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    page = f"{visit.base}/sessions/{stored.id}?{f'cast={cast}&amp;' if cast else ''}from="
    ways = [("Earlier calls", found.before), ("Later calls", found.after)]
    links = " · ".join(f'<a href="{page}{place}">{name}</a>' for name, place in ways if place >= 0)
    return (
        f'<h2 id="calls">Calls</h2><div class="scroll" tabindex="0" role="region" aria-labelledby="calls">{table}</div>'
        f"<p>{links}</p>"
    )


def _row(visit: Visit, stored: StoredSession, each: Entry, here: str, cast: str, start: float) -> str:
    at = seconds(each.received)
    mark = ' class="here" id="here"' if here and each.id == here else ""
    what = " ".join(filter(None, [each.verb, each.what, *(["--", *each.argv] if each.argv else [])]))
    judged = " ".join(filter(None, [each.verdict, f"({each.rule}, risk {each.risk})" if each.rule else ""]))
    replay = ""
    if casts.CAST.fullmatch(each.cast):
        replay = f" {html.link(f'{visit.base}/sessions/{stored.id}?cast={each.cast}#replay', 'replay')}"
    time = f'<time datetime="{escape(each.received)}">{html.text(each.received)}</time>'
    if cast and at >= start > 0:
        page = f"{visit.base}/sessions/{stored.id}?cast={cast}&t={at - start:.3f}#replay"
        time = f'<a href="{escape(page)}" data-seek="{at - start:.3f}">{time}</a>'
    note = html.paragraph(each.reason) if each.reason and each.verdict != "allow" else ""
    cells = [
        time,
        f"{html.text(what)}{replay}{note}",
        f'<span class="{"refused" if each.verdict in ("deny", "refuse") else "judged"}">{html.text(judged)}</span>',
        str(each.code or ""),
        "goes on" if not each.ended else f"{each.milliseconds or 0:g}",
        html.text(each.approver) if each.approver else "",
    ]
    columns = "".join(f'<td class="{name}">{cell}</td>' for name, cell in zip(_COLUMNS, cells, strict=True))
    return f'<tr{mark} data-at="{at}" data-what="{escape(view.clipped(what))}">{columns}</tr>'
