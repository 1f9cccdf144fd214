"""What endpoints and pages read from a request, and how a browser is sent to sign in and known when it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from addons.console import pages
from addons.console.parts import SIGN_IN_SECONDS, Parts
from addons.console.sealed import cookie_name
from addons.core.token_exchange import OAuthError, form_of

SEE_OTHER = 303
NOT_BEGUN = "no sign-in is under way in this browser for this answer: begin again, from the console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sign-in that begins: where the browser goes, what it posts there, and what it keeps meanwhile, by the `key`."""

    url: str
    fields: Mapping[str, str]
    key: str
    sealed: str


def kept_for(parts: Parts, request: Request, key: str) -> str:
    """What the browser has kept of a sign-in that it began, "" for nothing."""
    return request.cookies.get(cookie_name(parts.console.url, key), "")


def sent_to_sign_in(parts: Parts, begun: Begun) -> Response:
    """The browser goes to sign in, with a cookie that it brings along when the provider sends it back.

    The provider is another site, so the cookie must come along with its form; without TLS, which only this machine
    does without, browsers would not keep such a one.
    """
    secure = parts.console.url.startswith("https://")
    fields, name = begun.fields, cookie_name(parts.console.url, begun.key)
    response = HTMLResponse(pages.post(begun.url, fields)) if fields else RedirectResponse(begun.url, SEE_OTHER)
    samesite: Literal["none", "lax"] = "none" if secure else "lax"
    response.set_cookie(name, begun.sealed, secure=secure, httponly=True, samesite=samesite, max_age=SIGN_IN_SECONDS)
    return response


def ended(parts: Parts, response: Response, key: str) -> Response:
    """The response to what came back from a provider; the browser keeps nothing of the sign-in any more."""
    secure = parts.console.url.startswith("https://")
    name = cookie_name(parts.console.url, key)
    response.delete_cookie(name, secure=secure, httponly=True, samesite="none" if secure else "lax")
    return response


async def body(request: Request, most: int) -> bytes:
    """The body, of so many bytes at most. Raises OAuthError."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise OAuthError("invalid_request", f"the body is longer than {most} bytes", 413)
    return bytes(content)


def query(request: Request) -> Mapping[str, str]:
    """The parameters in the address. Raises OAuthError."""
    fields: dict[str, Any] = form_of(request.url.query.encode()) if request.url.query else {}
    return fields


def address(request: Request) -> str:
    """Where the request comes from."""
    return request.client.host if request.client else ""
