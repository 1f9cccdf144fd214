"""Who calls the API, and what they may do: everything that is checked before a call is heard.

A person calls with a token of their own, or with the cookie of who is signed in at the pages. No token of an agent's,
nor one that is bound to anything, is heard. A cookie changes something only with the session's own secret in
a header, which another site's page can neither know nor send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from addons.console import tokens
from addons.console.parts import Parts
from addons.core.browser_session import cookie_name
from addons.core.claims import RejectedToken
from addons.core.console_role import Role
from addons.core.identity import Identity
from addons.core.session import Session
from addons.core.session_token import Binding, bound_to
from addons.edge.lock_store import locks
from addons.edge.oidc import KeysUnavailable
from addons.edge.revocation_store import revoked

CSRF = "x-csrf-token"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="chaperone"'}


class NotHeard(Exception):
    """A call that is not obeyed, with a status. The message says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the status. Sources: RFC 9110, sections 11.6.1 and 10.2.3."""
        return CHALLENGE if self.status == 401 else {"Retry-After": "60"} if self.status == 429 else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who may call."""

    parts: Parts
    identity: Identity
    role: Role


def needs(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """The caller, as a dependency of an endpoint, if they have the role. Raises NotHeard, StoreUnavailable."""

    async def caller(request: Request) -> Caller:
        parts: Parts = request.app.state.parts
        known = {each.alias for each in request.scope["route"].dependant.query_params}
        if request.query_params.keys() - known:
            raise NotHeard(422, f"There is a parameter that is not known here; there is: {', '.join(sorted(known))}.")
        changes = request.method not in ("GET", "HEAD")
        identity = await _who(parts, request, changes=changes)
        if not (parts.people.sent if changes else parts.people.asked).allows(identity.username, parts.now()):
            raise NotHeard(429, "That is too much at once: try again in a minute.")
        found = parts.console.roles.role(identity.groups)
        if found < role:
            raise NotHeard(403, f"Only people with the role {role.name.lower()} do this.")
        await _check_not_stopped(parts, identity)
        return Caller(parts=parts, identity=identity, role=found)

    return caller


Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Approver = Annotated[Caller, Depends(needs(Role.APPROVER))]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]


async def _who(parts: Parts, request: Request, *, changes: bool) -> Identity:
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise NotHeard(401, "There is more than one Authorization header.")
    return await _by_token(parts, headers[0]) if headers else _by_cookie(parts, request, changes=changes)


async def _by_token(parts: Parts, header: str) -> Identity:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotHeard(401, "Authorization is not of the form: Bearer TOKEN.")
    try:
        identity = await tokens.verified(parts, token)
    except RejectedToken as error:
        raise NotHeard(401, f"The token is refused: {error}.") from None
    except KeysUnavailable as error:
        raise NotHeard(503, str(error)) from None
    if identity.act:
        raise NotHeard(403, "The token is an agent's, used on somebody's behalf: use your own.")
    if bound_to(identity) != Binding() or "cnf" in identity.claims:
        raise NotHeard(403, "The token is bound to a connection, an intent or a key: sign in yourself.")
    if not identity.session_token and identity.iss in parts.policy.single_use:
        raise NotHeard(403, "The token is for one place only, and nobody may pass it on: sign in yourself.")
    return identity


def _by_cookie(parts: Parts, request: Request, *, changes: bool) -> Identity:
    session = parts.people.sessions.find(request.cookies.get(cookie_name(parts.console.url), ""), by_person=changes)
    if session is None or session.identity.iss not in {each.issuer for each in parts.policy.trust.vouchers}:
        raise NotHeard(401, "Who are you? Send your token, as Authorization: Bearer TOKEN, or sign in to the console.")
    if changes and request.headers.get("origin") != parts.console.origin:
        raise NotHeard(403, "With a cookie, this is only accepted from the console's own pages.")
    if changes and not session.has(request.headers.get(CSRF, "")):
        raise NotHeard(403, f"With a cookie, this needs the session's own secret in the header {CSRF}.")
    return session.identity


async def _check_not_stopped(parts: Parts, identity: Identity) -> None:
    """Whoever is locked, or whose session was revoked, does nothing; what stops a cluster or everybody stops nobody."""
    now = parts.now()
    held = [*await parts.store.call(locks), *await parts.store.call(revoked, now)]
    session = Session(id="", identity=identity, connection="", started_at=now)
    if any(lock.holds(session) for lock in held if lock.subject or lock.session):
        raise NotHeard(403, "You are locked out, or signed out.")
