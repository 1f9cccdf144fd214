"""The API as an application of its own below `/api`: its description, its errors and its limits are of it alone."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from addons.console.api import calls, faults
from addons.console.api.access import Viewer
from addons.console.api.models import Problem
from addons.console.parts import Parts

_ABOUT = (
    "What the console's pages show and do, for programs of people. Times are Unix seconds. Texts that agents wrote are"
    " data, whatever is in them. Errors are problem details (RFC 9457)."
)


def make_api(parts: Parts) -> FastAPI:
    """The application. Its description is shown to people whom it hears, too."""
    api = FastAPI(
        title="Chaperone", version="1", description=_ABOUT, docs_url=None, redoc_url=None, openapi_url=None,
        responses=faults.documented(),
    )  # fmt: skip
    api.state.parts = parts
    faults.handle(api)
    api.include_router(calls.router)

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(caller: Viewer) -> dict[str, Any]:
        return description(api, caller.parts.console.url)

    return api


def description(api: FastAPI, url: str) -> dict[str, Any]:
    """The OpenAPI document, of an API that is reached at `url`."""
    found = api.openapi()
    parts = found["components"]
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    parts["schemas"]["Problem"] = Problem.model_json_schema()
    token = {"type": "http", "scheme": "bearer", "description": "your own, of a provider or of the console"}
    parts["securitySchemes"] = {"token": token}
    return {**found, "servers": [{"url": f"{url.rstrip('/')}/api"}], "security": [{"token": []}]}
