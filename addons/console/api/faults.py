"""The API's errors, as problem details; and how much it reads of what is sent. Source: RFC 9457."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from addons.console.api.access import NotHeard
from addons.console.api.models import Problem
from addons.core.approval import ForbiddenApprover, InvalidTransition
from addons.core.printable import printable
from addons.edge import archive, lock_store
from addons.edge.access_request_store import UnknownAccessRequest
from addons.edge.store import UnknownApproval

MAX_BODY = 64 * 1024
_PROBLEM = "application/problem+json"
_TITLES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    409: "Conflict", 413: "Content Too Large", 422: "Unprocessable Content", 429: "Too Many Requests",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
_NOT_FOUND = (UnknownApproval, UnknownAccessRequest, lock_store.UnknownLock, archive.UnknownSession)
_LONGEST = 2000


def documented() -> dict[int | str, dict[str, Any]]:
    """Every error, as the description says it."""
    content = {_PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": title, "content": content} for status, title in _TITLES.items()}


def handle(api: FastAPI) -> None:
    """Errors are answered so, and bodies are bounded."""
    api.add_middleware(_Bounded)
    for kind, handler in _faults():
        api.add_exception_handler(kind, handler)


def _faults() -> Iterator[tuple[type[Exception], Callable[[Request, Exception], Response]]]:
    def not_heard(_: Request, error: Exception) -> Response:
        assert isinstance(error, NotHeard)
        return problem(error.status, str(error), error.headers)

    def not_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
        return problem(error.status_code, str(error.detail), headers)

    def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        where = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return problem(422, printable(where)[:_LONGEST])

    yield NotHeard, not_heard
    yield HTTPException, not_http
    yield RequestValidationError, invalid
    for kind in _NOT_FOUND:
        yield kind, lambda _, error: problem(404, "There is nothing of this id.")
    yield Exception, lambda _, error: problem(500, "It did not work.")
    yield ForbiddenApprover, lambda _, error: problem(403, f"This is not for you to decide: {error}.")
    yield InvalidTransition, lambda _, error: problem(409, f"Nothing was done: {error}.")
    for fault in (OSError, LookupError):
        yield fault, lambda _, error: problem(503, f"It cannot be done now, and nothing was done: {error}.")


def _allowed(request: Request) -> str:
    """The methods of this address; Starlette says those of one of its routes (RFC 9110, section 10.2.1)."""
    routes = [each for each in request.app.router.routes if each.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for each in routes for method in getattr(each, "methods", None) or ()}))


def problem(status: int, why: str, headers: Any = None) -> Response:
    """An error. Source: RFC 9457."""
    about = Problem(title=_TITLES.get(status, "Error"), status=status, detail=why)
    return JSONResponse(about.model_dump(), status, headers, _PROBLEM)


class _Bounded:
    """What is sent is read up to MAX_BODY, whatever it says of its length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise HTTPException(413, f"The body is longer than {MAX_BODY} bytes.")
            return message

        await self._app(scope, bounded, send)
