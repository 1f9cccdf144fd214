"""The pages about what is in force: who came, the rules and how often they decided, the clusters and their health."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from fastapi.responses import Response

from addons.console import html, views
from addons.console.gate import Endpoint, Visit, gated, shown
from addons.console.parts import Parts
from addons.core import policy_view
from addons.core.access_request import AccessRequest, State, state_at
from addons.core.audit import timestamp
from addons.core.console_view import clipped, duration
from addons.core.guardrails import Guardrail
from addons.core.lock import Lock
from addons.core.policy_view import Seen, Who
from addons.edge import archive, lock_store
from addons.edge.access_request_store import access_requests
from addons.edge.archive import StoredSession
from addons.edge.connection_health import Health
from addons.edge.reports import is_stale, read_reports, reports_folder
from addons.edge.rule_hits import Hits
from addons.edge.search_schema import NoIndex, SearchTooLong

MOST_IDENTITIES = 200
LATELY_SECONDS = 900.0


def routes(parts: Parts) -> list[tuple[str, str, Endpoint]]:
    """Paths, methods and what answers."""
    return [
        ("/identities", "GET", gated(parts, _identities)),
        ("/rules", "GET", gated(parts, _rules)),
        ("/connections", "GET", gated(parts, _connections)),
    ]


async def _identities(visit: Visit) -> Response:
    found = policy_view.identities(map(_seen, await asyncio.to_thread(archive.sessions, visit.parts.state)))
    locks = await visit.parts.store.call(lock_store.locks)
    now = visit.parts.now()
    live = [each for each in await visit.parts.store.call(access_requests, now) if state_at(each, now) is State.GRANTED]
    rows = [_identity(visit, who, locks, live) for who in found[:MOST_IDENTITIES]]
    heads = ("who", "groups", "connections", "sessions", "last seen", "access on request", "locks")
    more = f"These are the latest {MOST_IDENTITIES} of {len(found)}." if len(found) > MOST_IDENTITIES else ""
    content = html.table(heads, rows, "Identities", numbers=[3]) if rows else html.paragraph("Nobody came yet.")
    return shown(views.frame(visit, "Identities", html.paragraph(more), content))


def _identity(visit: Visit, who: Who, locks: Sequence[Lock], live: Sequence[AccessRequest]) -> list[str]:
    granted = [html.link(f"{visit.base}/grants/{each.id}", each.role) for each in live if each.sub == who.name]
    held = [html.badge(f"✕ locked {each.id}", "hot") for each in locks if each.subject == who.name]
    texts = (who.name, ", ".join(who.groups), ", ".join(who.connections))
    name, groups, connections = (html.text(clipped(each)) for each in texts)
    last = html.text(timestamp(who.last_at))
    return [name, groups, connections, str(who.sessions), last, " ".join(granted), " ".join(held)]


def _seen(stored: StoredSession) -> Seen:
    identity = stored.about.get("identity")
    groups = identity.get("groups") if isinstance(identity, dict) else None
    return Seen(
        who=stored.user,
        groups=tuple(map(str, groups)) if isinstance(groups, list) else (),
        connection=str(stored.about.get("connection", "")),
        at=stored.changed_at,
    )


async def _rules(visit: Visit) -> Response:
    parts = visit.parts
    note = ""
    hits: Mapping[str, Hits] = {}
    try:
        hits = await parts.people.hits.get(parts.state)
    except (NoIndex, SearchTooLong) as error:
        note = f"How often they decided is not known: {error}."
    rules = sorted(parts.policy.guardrails.rules.values(), key=lambda each: (-_week(hits, each), each.name))
    rows = [_rule(visit, each, hits.get(each.name, Hits()), known=not note) for each in rules]
    heads = ("rule", "covers", "risk or verdict", "24 hours", "7 days", "last")
    count = f"{len(rules)} guardrails are in force, of policy {parts.policy.version[:12]}; the busiest come first."
    told = html.paragraph(count) + html.paragraph(note)
    return shown(views.frame(visit, "Rules", told, html.table(heads, rows, "Rules")))


def _rule(visit: Visit, rule: Guardrail, hits: Hits, *, known: bool) -> list[str]:
    what = f"<strong>{html.text(rule.name)}</strong><br>{html.text(rule.description)}"
    weight = html.verdict(rule.verdict.name.lower()) if rule.verdict is not None else html.risk(rule.risk)
    shadow = html.badge("shadow: only told", "") if rule.shadow else ""
    day, week = (html.text(policy_view.counts(each) if known else "?") for each in (hits.day, hits.week))
    last = html.link(f"{visit.base}/sessions/{hits.session}", hits.last_at) if hits.last_at else ""
    return [what, html.text(", ".join(rule.covers)), f"{weight} {shadow}", day, week, last]


def _week(hits: Mapping[str, Hits], rule: Guardrail) -> int:
    return sum(hits[rule.name].week.values()) if rule.name in hits else 0


async def _connections(visit: Visit) -> Response:
    parts, now = visit.parts, visit.parts.now()
    health = await parts.people.board.look(parts.policy.connections.values())
    stored = await asyncio.to_thread(archive.sessions, parts.state)
    busy = Counter(str(each.about.get("connection")) for each in stored if now - each.changed_at < LATELY_SECONDS)
    rows = [
        [
            f"<strong>{html.text(each.name)}</strong><br>{html.text(f'{each.host}:{each.port}')}",
            html.text(f"{each.kind}, {each.profile}"),
            _health(health[each.name]),
            _authority(health[each.name], now),
            str(busy[each.name]),
        ]
        for each in parts.policy.connections.values()
    ]
    heads = ("connection", "kind and profile", "as seen from the console", "its CA lasts", "sessions in 15 min")
    how = "Whether each role is had and accepted says: chaperone connections check."
    told = html.paragraph(await asyncio.to_thread(_gateway, parts, now)) + html.paragraph(how)
    return shown(views.frame(visit, "Connections", told, html.table(heads, rows, "Connections", numbers=[4])))


def _health(found: Health) -> str:
    state = html.badge("✓ reachable", "calm") if found.reachable else html.badge("✕ not reachable", "hot")
    return f"{state}{html.paragraph(found.detail)}{html.paragraph(found.remedy)}"


def _authority(found: Health, now: float) -> str:
    text = policy_view.lasts(found.ca_expires_at, now)
    return html.badge(f"! {text}", "warm") if policy_view.ends_soon(found.ca_expires_at, now) else html.text(text)


def _gateway(parts: Parts, now: float) -> str:
    """What the gateway's workers say of themselves, in the state folder that the console shares with them."""
    live = [each for each in read_reports(reports_folder(parts.state)) if not is_stale(each, now)]
    if not live:
        return "No gateway has reported here of late."
    since = min(float(each["started_at"]) for each in live)
    same = (
        "the same rules as this page" if {each["policy"] for each in live} == {parts.policy.version} else "other rules"
    )
    return f"The gateway is up with {len(live)} workers for {duration(now - since)}, and judges by {same}."
