"""The page of what goes on: who does what right now, since when, and a way to look on or to stop it."""

from __future__ import annotations

import asyncio

from fastapi.responses import Response

from addons.console import assets, html
from addons.console.casts import CAST
from addons.console.gate import WATCHING, Endpoint, Visit, gated
from addons.console.parts import Parts
from addons.console.views import frame
from addons.core import console_view as view
from addons.core.console_role import Role
from addons.core.goings_on import Active, Running
from addons.edge.goings_on import goings_on
from addons.edge.recordings import SAFE_NAME

REFRESH_SECONDS = 10
_FRESH_SECONDS = 1.0


def routes(parts: Parts) -> list[tuple[str, str, Endpoint]]:
    """Paths, methods and what answers. However many look, the files are read once in a second."""
    known: list[tuple[float, list[Active]]] = []
    reading = asyncio.Lock()

    async def live(visit: Visit) -> Response:
        async with reading:
            now = parts.now()
            if not known or abs(now - known[0][0]) >= _FRESH_SECONDS:
                known[:] = [(now, await asyncio.to_thread(goings_on, parts.state, now))]
        return _page(visit, known[0][1], now)

    return [("/live", "GET", gated(parts, live))]


def _page(visit: Visit, found: list[Active], now: float) -> Response:
    address = f"{visit.base}/live?{WATCHING}"
    calls = [each for one in found for each in one.running]
    count = f"{sum(not each.waits for each in calls)} running, {sum(each.waits for each in calls)} waiting"
    listed = html.items(_session(visit, each, now) for each in found)
    content = (
        listed if found else html.paragraph("Nothing goes on, and nothing was done in the last quarter of an hour.")
    )
    place = f'<div id="live" data-src="{address}"><p>{count}</p>{content}</div><p id="live-state" role="status"></p>'
    head = f'<link rel="stylesheet" href="{assets.address(visit.base, "session.css")}">'
    head += f'<script defer src="{assets.address(visit.base, "live.js")}"></script>'
    head += f'<noscript><meta http-equiv="refresh" content="{REFRESH_SECONDS};url={address}"></noscript>'
    return assets.page(frame(visit, "Live", place, refresh=head), assets.LIVE_POLICY)


def _session(visit: Visit, found: Active, now: float) -> str:
    who = f"{view.clipped(found.user)} on {view.clipped(found.connection)}: {view.clipped(found.intent)}"
    there = SAFE_NAME.fullmatch(found.session)
    name = html.link(f"{visit.base}/sessions/{found.session}", who) if there else html.text(who)
    last = f"last, {view.duration(now - found.last_at)} ago: {view.clipped(found.last)}" if found.last else ""
    calls = html.items(_call(visit, each, now) for each in found.running) if found.running else ""
    lock = ""
    if there and visit.role is Role.ADMIN:
        label = f"Lock session {found.session}, because"
        lock = visit.sent(f"/sessions/{found.session}", "Lock", label, required=True)
    return f"<p>{name}</p>{calls}{html.paragraph(last)}{lock}"


def _call(visit: Visit, call: Running, now: float) -> str:
    state = "waits for an answer" if call.waits else "runs"
    ways: list[str] = []
    if call.approval.isalnum():
        ways.append(html.link(f"{visit.base}/approvals/{call.approval}", "Decide"))
    if call.terminal and SAFE_NAME.fullmatch(call.session) and CAST.fullmatch(name := f"exec-{call.call}.cast"):
        cast = f"{visit.base}/sessions/{call.session}/casts/{name}/text?{WATCHING}"
        ways.append(html.link(cast, "Watch"))
    told = html.paragraph(f"{view.clipped(call.what)}: {state}, for {view.duration(now - call.since)}")
    return f"{told}{html.paragraph(view.clipped(call.why))}<p>{' '.join(ways)}</p>"
