"""What endpoints and pages read from a request, and how a browser is sent to sign in and known when it comes back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from addons.console import pages
from addons.console.parts import SIGN_IN_SECONDS, Parts
from addons.core.token_exchange import OAuthError, form_of

SEE_OTHER = 303
_BROWSER = "chaperone-browser"
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def browser_of(request: Request) -> str:
    """The secret by which a browser that signs in is known; a new one for one that has none."""
    found = request.cookies.get(_BROWSER, "")
    return found if _SECRET.fullmatch(found) else secrets.token_urlsafe(32)


def known_browser(request: Request) -> str:
    """The secret that the browser brings, "" for none."""
    return request.cookies.get(_BROWSER, "")


def sent_to_sign_in(parts: Parts, url: str, fields: Mapping[str, str], browser: str) -> Response:
    """The browser goes to sign in, with a cookie by which it is known when the provider sends it back.

    The provider is another site, so the cookie must come along with its form; without TLS, which only this machine
    does without, browsers would not keep such a one.
    """
    secure = parts.console.url.startswith("https://")
    response = HTMLResponse(pages.post(url, fields)) if fields else RedirectResponse(url, SEE_OTHER)
    response.set_cookie(
        _BROWSER, browser, secure=secure, httponly=True, samesite="none" if secure else "lax", max_age=SIGN_IN_SECONDS
    )
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
