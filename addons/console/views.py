"""The pages for people, from what the store and the record say. What they show is for `core/console_view.py` to say."""

from __future__ import annotations

from collections.abc import Iterable

from addons.console import html
from addons.console.gate import WATCHING, Visit
from addons.core import access_request, approval
from addons.core import console_view as view
from addons.core.access_request import AccessRequest
from addons.core.approval import Case
from addons.core.approval_words import run_words
from addons.core.audit import timestamp
from addons.core.console_role import Role
from addons.core.console_view import Item
from addons.core.lock import Lock
from addons.edge.archive import StoredSession

REFRESH_SECONDS = 5
MOST_SESSIONS = 100
MOST_LISTED = 200
_PLACES = (
    ("/", "Inbox"),
    ("/grants", "Access"),
    ("/live", "Live"),
    ("/sessions", "Sessions"),
    ("/search", "Search"),
    ("/identities", "Identities"),
    ("/rules", "Rules"),
    ("/connections", "Connections"),
    ("/locks", "Locks"),
)


def frame(visit: Visit, title: str, *content: str, refresh: str = "") -> str:
    """A page with the way to the others, and out."""
    here = visit.request.url.path
    places = " ".join(html.link(f"{visit.base}{path}", name, current=path == here) for path, name in _PLACES)
    who = html.text(f"{visit.me.sub} ({visit.role.name.lower()})")
    brand = f'<a class="brand" href="{visit.base}/">Chaperone</a>'
    header = (
        f'<header>{brand}<nav aria-label="Pages">{places}</nav><span>{who}</span>{visit.sent("/sign-out", "Sign out")}'
    )
    return html.document(title, content, f"{header}</header>", refresh)


def inbox(visit: Visit, entries: list[Item], standing: list[Item]) -> str:
    """What waits, and what stands until it is revoked.

    It loads itself again, which does not count as somebody being there; that can be turned off.
    """
    still = "still" in visit.request.query_params
    address = f"{visit.base}/?{WATCHING}"
    refresh = "" if still else f'<meta http-equiv="refresh" content="{REFRESH_SECONDS};url={address}">'
    turn = ("", "Load it again by itself") if still else ("?still", "Do not load it again by itself")
    how = f"<p>{html.link(f'{visit.base}/{turn[0]}', turn[1])}</p>"
    content = _listed(visit, entries, "Nothing waits for an answer.")
    count = f"{len(entries)}" if len(entries) <= MOST_LISTED else f"more than {MOST_LISTED}"
    stands = f"<h2>Approvals that stand</h2>{_listed(visit, standing, '')}" if standing else ""
    return frame(visit, f"Inbox ({count})", content, stands, how, refresh=refresh)


def question(visit: Visit, case: Case, seconds: float, earlier: list[str]) -> str:
    """A request that waits for an answer, and whatever became of it."""
    now = visit.parts.now()
    state = approval.state_at(case.approval, now)
    ways = approval.TRANSITIONS[state]
    page = f"/approvals/{case.approval.id}"
    forms = ""
    if approval.State.GRANTED in ways:
        does = html.paragraph(view.approving(case, seconds))
        forms += f"<h2>Approve</h2>{does}" + visit.sent(page, "Approve", "Note", decision="approve")
        for scope, button, more in view.approving_again(case.ask, now):
            far = {"reuse": scope.reuse.value, "seconds": str(scope.seconds)}
            forms += html.paragraph(more) + visit.sent(page, button, "Note", required=False, decision="approve", **far)
    if approval.State.DENIED in ways:
        forms += f"<h2>Deny</h2>{visit.sent(page, 'Deny', 'Why (the agent is told)', required=True, decision='deny')}"
    known = html.facts(view.approval_facts(case, now))
    changes = html.change(view.lines(case.ask.diff)) if case.ask.diff else ""
    decide = _decide(visit, forms, approval.may_decide(case.ask, visit.me))
    if approval.State.REVOKED in ways:
        decide = _decide(visit, visit.sent(page, "Revoke", "Why", required=True, decision="revoke"), "")
    before = html.items(map(html.text, earlier)) if earlier else html.paragraph("Nothing of this kind was decided yet.")
    past = f"<h2>Decided before about the like</h2>{before}"
    return frame(visit, f"Approval {case.approval.id}", known, changes, decide, past)


def grants(visit: Visit, found: Iterable[AccessRequest]) -> str:
    """Access that was asked for or is granted."""
    entries = [view.request_item(each, visit.parts.now()) for each in found]
    return frame(visit, "Access", _listed(visit, entries[::-1], "Nothing is asked for, and nothing granted."))


def grant(visit: Visit, request: AccessRequest) -> str:
    """A request for access, and whatever became of it."""
    now = visit.parts.now()
    state = access_request.state_at(request, now)
    ways = access_request.TRANSITIONS[state]
    page = f"/grants/{request.id}"
    forms = revoke = ""
    if access_request.State.GRANTED in ways:
        does = html.paragraph(view.granting(request))
        forms = f"<h2>Approve</h2>{does}" + visit.sent(page, "Approve", "Note", decision="approve")
        forms += f"<h2>Deny</h2>{visit.sent(page, 'Deny', 'Why', required=True, decision='deny')}"
    if access_request.State.REVOKED in ways:
        revoke = f"<h2>Revoke</h2>{visit.sent(page, 'Revoke', 'Why', required=True, decision='revoke')}"
    told = f"<h2>History</h2>{html.items(map(html.text, view.history(request)))}" if request.history else ""
    decide = _decide(visit, forms, access_request.may_decide(request, visit.me)) + _decide(visit, revoke, "")
    return frame(visit, f"Access {request.id}", html.facts(view.request_facts(request, now)), decide, told)


def sessions(visit: Visit, found: list[StoredSession]) -> str:
    """What agents did, the latest first."""
    latest = found[::-1][:MOST_SESSIONS]
    count = f"The latest {len(latest)} of {len(found)}." if len(found) > len(latest) else ""
    content = html.items(_session(visit, each) for each in latest) or ""
    return frame(visit, "Sessions", html.paragraph(count or ("" if found else "There is none yet.")), content)


def locks(visit: Visit, found: Iterable[Lock]) -> str:
    """What is locked."""
    entries = [_lock(visit, each) for each in found]
    return frame(visit, "Locks", html.items(entries) if entries else html.paragraph("Nothing is locked."))


def _session(visit: Visit, stored: StoredSession) -> str:
    about = {name: view.clipped(str(stored.about.get(name, ""))) for name in ("connection", "intent")}
    name = f"{view.clipped(stored.user)} on {about['connection']}: {about['intent']}"
    what = f"<p>{html.link(f'{visit.base}/sessions/{stored.id}', name)}</p>"
    when = html.paragraph(f"{stored.id}, last at {timestamp(stored.changed_at)}")
    label = f"Lock session {stored.id}, because"
    kill = visit.sent(f"/sessions/{stored.id}", "Lock", label, required=True) if visit.role is Role.ADMIN else ""
    return f"{what}{when}{kill}"


def _lock(visit: Visit, lock: Lock) -> str:
    what = html.paragraph(f"{view.clipped(lock.what())}: {view.clipped(lock.reason)}")
    by = html.paragraph(f"{lock.id}, by {view.clipped(lock.made_by)}, {timestamp(lock.made_at)}")
    lift = visit.sent(f"/locks/{lock.id}", f"Lift {lock.id}") if visit.role is Role.ADMIN else ""
    return f"{what}{by}{lift}"


def _decide(visit: Visit, forms: str, why_not: str) -> str:
    """The forms, or why there are none."""
    if not forms:
        return ""
    if visit.role < Role.APPROVER:
        return html.paragraph("You see this with the role viewer; approvers decide.")
    return html.paragraph(f"This is not for you to decide: {why_not}.") if why_not else forms


def _listed(visit: Visit, entries: list[Item], nothing: str) -> str:
    """The newest; a list that is cut short says so first."""
    more = f"These are the newest {MOST_LISTED}; there are more." if len(entries) > MOST_LISTED else ""
    shown = html.items(_run(visit, each) for each in view.by_run(entries[:MOST_LISTED]))
    return html.paragraph(more) + shown if entries else html.paragraph(nothing)


def _run(visit: Visit, run: list[Item]) -> str:
    """One, or several that a client says belong together."""
    entries = [_entry(visit, each) for each in run]
    headline = html.paragraph(run_words(len(run), run[0].claimed))
    return entries[0] if len(run) == 1 else headline + html.items(entries)


def _entry(visit: Visit, item: Item) -> str:
    left = f"{item.state}, {view.duration(item.left)} left, asked {timestamp(item.asked_at)}"
    told = [item.who, item.why, item.detail, left]
    return f"<p>{html.link(f'{visit.base}{item.page}', item.what)}</p>{''.join(map(html.paragraph, told))}"
