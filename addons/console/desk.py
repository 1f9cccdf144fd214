"""The pages' endpoints: people sign in and out, look at what waits, and decide as they do on the command line."""

from __future__ import annotations

import asyncio
import re

import structlog
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from addons.console import html, live, openid, pages, policy_pages, search, sign_in, timeline, views
from addons.console.gate import Endpoint, Refused, Visit, as_page, check_origin, gated, shown
from addons.console.parts import Parts
from addons.console.people import Page
from addons.console.web import SEE_OTHER, body, ended, kept_for, query, sent_to_sign_in
from addons.core import access_request as requests
from addons.core import console_view
from addons.core.approval import State
from addons.core.approval_terms import Reuse, Scope
from addons.core.approval_words import earlier
from addons.core.browser_session import cookie_name
from addons.core.console_role import Role
from addons.core.identity import Identity
from addons.core.lock import Lock
from addons.core.printable import printable
from addons.core.token_exchange import MAX_FORM, form_of
from addons.edge import archive, decided, lock_store
from addons.edge.access_request_store import access_request, access_requests, change
from addons.edge.decided import Person
from addons.edge.store import Store, new_id

log = structlog.get_logger()

MAX_NOTE = 1000
_NEXT = re.compile(r"/([a-z0-9][\w.-]{0,79}(/[a-z0-9][\w.-]{0,79}){0,4})?(\?[\w.~%=&+*:,-]{0,500})?", re.ASCII)
"""Where somebody may go on to after signing in: a page of the console's own, with what is asked of it."""


def routes(parts: Parts) -> list[tuple[str, str, Endpoint]]:
    """Paths, methods and what answers. None that is read changes anything but who is signed in."""
    return [
        *_ways_in(parts),
        *live.routes(parts),
        *search.routes(parts),
        *timeline.routes(parts),
        ("/sign-out", "POST", gated(parts, _sign_out, Role.NONE)),
        ("/", "GET", gated(parts, _inbox)),
        ("/approvals/{id}", "GET", gated(parts, _approval)),
        ("/approvals/{id}", "POST", gated(parts, _decide_approval, Role.APPROVER)),
        ("/grants", "GET", gated(parts, _grants)),
        ("/grants/{id}", "GET", gated(parts, _grant)),
        ("/grants/{id}", "POST", gated(parts, _decide_grant, Role.APPROVER)),
        ("/sessions", "GET", gated(parts, _sessions)),
        ("/sessions/{id}", "POST", gated(parts, _lock_session, Role.ADMIN)),
        *policy_pages.routes(parts),
        ("/locks", "GET", gated(parts, _locks)),
        ("/locks/{id}", "POST", gated(parts, _lift, Role.ADMIN)),
    ]


def signed_in(parts: Parts, request: Request, identity: Identity, provider: str, page: Page) -> Response:
    """Somebody is, from now on, with this browser: by a new id, whatever cookie it had."""
    name = cookie_name(parts.console.url)
    parts.people.sessions.end(request.cookies.get(name, ""))
    session_id = parts.people.sessions.begin(identity, provider)
    response = RedirectResponse(f"{parts.console.base}{page.path}", SEE_OTHER)
    secure = parts.console.url.startswith("https://")
    response.set_cookie(name, session_id, secure=secure, httponly=True, samesite="lax", path="/")
    return response


def _ways_in(parts: Parts) -> list[tuple[str, str, Endpoint]]:
    async def page(request: Request) -> Response:
        return await as_page(parts, request, lambda: _sign_in_page(parts, request))

    async def begin(request: Request) -> Response:
        return await as_page(parts, request, lambda: _begin(parts, request))

    async def callback(request: Request) -> Response:
        answer = await as_page(parts, request, lambda: _callback(parts, request))
        return ended(parts, answer, request.query_params.get("state", ""))

    return [("/sign-in", "GET", page), ("/sign-in", "POST", begin), (openid.CALLBACK, "GET", callback)]


async def _sign_in_page(parts: Parts, request: Request) -> Response:
    """Its form goes on to a provider's address, which the other pages' policy forbids."""
    names = [each.identity_provider for each in parts.console.sign_in] + [each.name for each in parts.policy.trust.saml]
    action, path = f"{parts.console.base}/sign-in", query(request).get("next", "/")
    forms = [html.form(action, f"Sign in at {name}", {"provider": name, "next": path}) for name in names]
    content = forms or [html.paragraph("The rules name no provider at which people sign in.")]
    policy = html.HEADERS["Content-Security-Policy"].replace("form-action 'self'", "form-action *")
    return HTMLResponse(html.document("Sign in", content), headers={"Content-Security-Policy": policy})


async def _begin(parts: Parts, request: Request) -> Response:
    check_origin(parts, request)
    fields = form_of(await body(request, MAX_FORM))
    name, path = fields.get("provider", ""), fields.get("next", "/")
    page = Page(path=path if _NEXT.fullmatch(path) else "/")
    if (provider := openid.provider_of(parts, name)) is not None:
        return sent_to_sign_in(parts, await openid.begin(parts, provider, page))
    return sent_to_sign_in(parts, sign_in.begin(parts, sign_in.providers_of(parts, name or " ")[0], page))


async def _callback(parts: Parts, request: Request) -> Response:
    state = query(request).get("state", "")
    begun, identity = await openid.finish(parts, state, request.url.query, kept_for(parts, request, state))
    log.info("signed in", subject=identity.username, provider=begun.provider)
    return signed_in(parts, request, identity, begun.provider, begun.page)


async def _sign_out(visit: Visit) -> Response:
    name = cookie_name(visit.parts.console.url)
    visit.parts.people.sessions.end(visit.request.cookies[name])
    response = HTMLResponse(pages.page("Signed out", html.link(f"{visit.base}/sign-in", "Sign in")))
    response.delete_cookie(name, secure=visit.parts.console.url.startswith("https://"), httponly=True, samesite="lax")
    return response


async def _inbox(visit: Visit) -> Response:
    now = visit.parts.now()
    cases = await visit.parts.store.call(Store.newest, now, views.MOST_LISTED + 1)
    asked = await visit.parts.store.call(access_requests, now)
    standing = [console_view.approval_item(each, now) for each in await visit.parts.store.call(Store.standing, now)]
    return shown(views.inbox(visit, console_view.inbox(cases, asked, now), standing))


async def _approval(visit: Visit) -> Response:
    case = await visit.parts.store.call(Store.get, visit.id)
    seconds = await visit.parts.store.call(lambda store: store.seconds)
    similar = await visit.parts.store.call(Store.similar, case)
    return shown(views.question(visit, case, seconds, earlier(similar, case.ask)))


async def _decide_approval(visit: Visit) -> Response:
    decision, me, store, now = visit.form.get("decision", ""), visit.me, visit.parts.store, visit.parts.now()
    if decision not in ("approve", "deny", "revoke"):
        raise Refused(400, "A decision is missing. Nothing was done.")
    note = _note(visit, required=decision != "approve")
    if decision == "revoke":
        case = await store.call(decided.revoke, visit.parts.desk, visit.id, Person(identity=me, via="page"), note, now)
    else:
        to = State.GRANTED if decision == "approve" else State.DENIED
        person, scope = Person(identity=me, via="page"), _scope(visit)
        case = await store.call(decided.decide, visit.parts.desk, visit.id, to, person, note, now, scope)
    log.info("decided", what=f"approval {case.approval.id}", decision=decision, by=me.username)
    return visit.go(f"/approvals/{case.approval.id}")


def _scope(visit: Visit) -> Scope:
    """How far an approval goes, as the form says. Raises Refused."""
    try:
        return Scope(reuse=Reuse(visit.form.get("reuse", "never")), seconds=int(visit.form.get("seconds", "0")))
    except ValueError:
        raise Refused(400, "Nobody can tell how far this approval is to go. Nothing was done.") from None


async def _grants(visit: Visit) -> Response:
    return shown(views.grants(visit, await visit.parts.store.call(access_requests, visit.parts.now())))


async def _grant(visit: Visit) -> Response:
    return shown(views.grant(visit, await visit.parts.store.call(access_request, visit.id)))


async def _decide_grant(visit: Visit) -> Response:
    decision, me, now = visit.form.get("decision", ""), visit.me, visit.parts.now()
    if decision not in ("approve", "deny", "revoke"):
        raise Refused(400, "A decision is missing. Nothing was done.")
    note = _note(visit, required=decision != "approve")
    steps = {
        "approve": lambda each: requests.approve(each, me, note, now),
        "deny": lambda each: requests.deny(each, me, note, now),
        "revoke": lambda each: requests.revoke(each, me.username, note, now),
    }
    after = await visit.parts.store.call(change, visit.id, steps[decision])
    log.info("decided", what=f"access request {after.id}", decision=decision, by=me.username)
    return visit.go(f"/grants/{after.id}")


async def _sessions(visit: Visit) -> Response:
    return shown(views.sessions(visit, await asyncio.to_thread(archive.sessions, visit.parts.state)))


async def _lock_session(visit: Visit) -> Response:
    found = await asyncio.to_thread(archive.session, visit.parts.state, visit.id)
    if found.id != visit.id:  # it may only begin like this
        raise archive.UnknownSession
    reason = _note(visit, required=True)
    lock = Lock(id=new_id(), session=found.session, reason=reason, made_by=visit.me.username, made_at=visit.parts.now())
    await visit.parts.store.call(lock_store.add_lock, lock)
    log.info("decided", what=f"session {found.id}", decision="lock", by=visit.me.username)
    return visit.go("/locks")


async def _locks(visit: Visit) -> Response:
    return shown(views.locks(visit, await visit.parts.store.call(lock_store.locks)))


async def _lift(visit: Visit) -> Response:
    await visit.parts.store.call(lock_store.lift, visit.id, visit.me.username, visit.parts.now())
    log.info("decided", what=f"lock {visit.id}", decision="lift", by=visit.me.username)
    return visit.go("/locks")


def _note(visit: Visit, *, required: bool) -> str:
    """What somebody has written with a decision. Raises Refused."""
    note = printable(visit.form.get("note", "").strip())
    if required and not note:
        raise Refused(400, "Say why. Nothing was done.")
    if len(note) > MAX_NOTE:
        raise Refused(400, f"The note is longer than {MAX_NOTE} characters. Nothing was done.")
    return note
