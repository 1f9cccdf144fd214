"""Who comes to a page, and what they may do there: everything that is checked before one is made or a form is obeyed.

Cookies alone say who it is. A form counts only from the console's own page, with its session's own token in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from addons.console import html
from addons.console.parts import Parts
from addons.console.pending import TooManyPending
from addons.console.web import SEE_OTHER, body
from addons.core.approval import ForbiddenApprover, InvalidTransition
from addons.core.browser_session import BrowserSession, cookie_name, shut_out
from addons.core.console_role import Role
from addons.core.identity import Identity
from addons.core.token_exchange import MAX_FORM, OAuthError, form_of
from addons.edge.access_request_store import UnknownAccessRequest
from addons.edge.archive import UnknownSession
from addons.edge.lock_store import UnknownLock, locks
from addons.edge.store import UnknownApproval

WATCHING = "watch"
"""In the address of a page that a browser asks for again by itself."""
_NOT_FOUND = (UnknownApproval, UnknownAccessRequest, UnknownLock, UnknownSession)


class Refused(Exception):
    """Said on a page, with a status. `leave` is HTML: what may be done instead."""

    def __init__(self, status: int, why: str, leave: str = "") -> None:
        super().__init__(why)
        self.status, self.leave = status, leave


class SignedOut(Exception):
    """Nobody is signed in with this browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody at a page. `form` is empty where nothing is sent."""

    parts: Parts
    request: Request
    session: BrowserSession
    role: Role
    form: Mapping[str, str]

    @property
    def me(self) -> Identity:
        """Who it is."""
        return self.session.identity

    @property
    def base(self) -> str:
        """What every address on a page begins with."""
        return self.parts.console.base

    @property
    def id(self) -> str:
        """What the page is about."""
        return str(self.request.path_params["id"])

    def go(self, path: str) -> Response:
        """On to another page."""
        return RedirectResponse(f"{self.base}{path}", SEE_OTHER)

    def sent(self, action: str, button: str, label: str = "", *, required: bool = False, **fields: str) -> str:
        """A form of this session's."""
        wanted = {"csrf": self.session.csrf, **fields}
        return html.form(f"{self.base}{action}", button, wanted, label, required=required)


Handler = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def gated(parts: Parts, handler: Handler, role: Role = Role.VIEWER) -> Endpoint:
    """The handler for people who have the role; everything else is a page that says why not."""

    async def answered(request: Request) -> Response:
        return await as_page(parts, request, lambda: _handled(parts, request, handler, role))

    return answered


async def as_page(parts: Parts, request: Request, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The answer, its refusals and faults as pages."""
    try:
        return await answer()
    except SignedOut:
        if request.method != "GET":
            return failed(403, "You are not signed in any more, and nothing was done.", _way_in(parts))
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{parts.console.base}/sign-in?next={quote(wanted, safe='/')}", SEE_OTHER)
    except Refused as error:
        return failed(error.status, str(error), error.leave)
    except OAuthError as error:
        return failed(error.status, str(error), _way_in(parts))
    except _NOT_FOUND:
        return failed(404, "There is nothing of this id.")
    except ForbiddenApprover as error:
        return failed(403, f"This is not for you to decide: {error}.")
    except InvalidTransition as error:
        return failed(409, f"Nothing was done: {error}.")
    except (OSError, LookupError, TooManyPending) as error:
        return failed(503, f"It cannot be done now, and nothing was done: {error}.")


async def _handled(parts: Parts, request: Request, handler: Handler, role: Role) -> Response:
    visit = await _visit(parts, request)
    if role is not Role.NONE:
        await _check_role(visit, role)
    return await handler(visit)


async def _visit(parts: Parts, request: Request) -> Visit:
    """Who comes, by the cookie. Raises SignedOut, Refused."""
    sends = request.method != "GET"
    if sends:
        check_origin(parts, request)
    key = request.cookies.get(cookie_name(parts.console.url), "")
    session = parts.people.sessions.find(key, by_person=WATCHING not in request.query_params)
    if session is None or session.identity.iss not in {each.issuer for each in parts.policy.trust.vouchers}:
        parts.people.sessions.end(key)
        raise SignedOut
    form = form_of(await body(request, MAX_FORM)) if sends else {}
    if sends and not session.has(form.get("csrf", "")):
        raise Refused(403, "This form is not of your session. Nothing was done: go back, load the page and try again.")
    if sends and not parts.people.sent.allows(key, parts.now()):
        raise Refused(429, "That is too much at once. Nothing was done: try again in a minute.")
    role = parts.console.roles.role(session.identity.groups)
    return Visit(parts=parts, request=request, session=session, role=role, form=form)


async def _check_role(visit: Visit, role: Role) -> None:
    """Raises Refused, StoreUnavailable."""
    if visit.role is Role.NONE:
        why = f"You are signed in as {visit.me.username}, but the rules give none of your groups a role here."
        raise Refused(403, why, visit.sent("/sign-out", "Sign out"))
    if visit.role < role:
        raise Refused(403, f"Only people with the role {role.name.lower()} do this. Nothing was done.")
    if shut_out(await visit.parts.store.call(locks), visit.me):
        raise Refused(403, "Somebody who runs the gateway has locked you. Nothing was done.")


def check_origin(parts: Parts, request: Request) -> None:
    """Returns if the form is on one of the console's pages: no other may send it for anybody. Raises Refused."""
    if request.headers.get("origin") != parts.console.origin:
        raise Refused(403, "This form is only accepted from the console's own page. Nothing was done.")


def shown(content: str, status: int = 200) -> Response:
    """A page."""
    return HTMLResponse(content, status, headers=dict(html.HEADERS))


def failed(status: int, why: str, leave: str = "") -> Response:
    """A page that says what did not work."""
    titles = {403: "Not allowed", 404: "Not found", 409: "Too late", 429: "Too often", 503: "Not now"}
    return shown(html.document(titles.get(status, "It did not work"), [html.paragraph(why), leave]), status)


def _way_in(parts: Parts) -> str:
    return f"<p>{html.link(f'{parts.console.base}/sign-in', 'Sign in')}</p>"
