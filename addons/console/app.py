"""The console's web application: every endpoint, thin. What they do is in `tokens.py` and `sign_in.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.background import BackgroundTask
from starlette.routing import Route

from addons.console import answers, desk, pages, sign_in, tokens
from addons.console.api.app import make_api
from addons.console.parts import Parts, SignIn
from addons.console.pending import TooManyPending
from addons.console.people import Page
from addons.console.web import SEE_OTHER, address, body, ended, kept_for, query, sent_to_sign_in
from addons.core.console import ALGORITHM
from addons.core.identity import Identity
from addons.core.notify.callback import MAX_BODY
from addons.core.notify.slack import escaped
from addons.core.saml import service_provider_metadata
from addons.core.token_exchange import MAX_FORM, OAuthError, form_of, metadata, parsed, token_request
from addons.edge.saml import MAX_RESPONSE
from addons.edge.store import StoreUnavailable

_Handler = Callable[[Request], Awaitable[Response]]


def make_app(parts: Parts) -> FastAPI:
    """The application. It has no documentation pages of its own: they would fetch scripts from elsewhere."""

    app = FastAPI(title="Chaperone console", docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(OAuthError, _refused)
    app.add_exception_handler(answers.Refused, _not_counted)
    for fault in (TooManyPending, StoreUnavailable, LookupError):
        app.add_exception_handler(fault, _unavailable)
    app.add_exception_handler(Exception, _failed)
    app.router.routes.extend(_route(*each) for each in _routes(parts))
    app.mount("/api", make_api(parts))
    return app


def _route(path: str, method: str, handler: _Handler) -> Route:
    """What takes a request and returns a response needs nothing of FastAPI's; HEAD would begin what GET begins."""
    route = Route(path, handler, methods=[method])
    route.methods = {method}
    return route


def _routes(parts: Parts) -> list[tuple[str, str, _Handler]]:
    async def configuration(_: Request) -> Response:
        return JSONResponse(metadata(parts.console.url, ALGORITHM))

    async def keys(_: Request) -> Response:
        return JSONResponse(parts.signer.jwks)

    async def token(request: Request) -> Response:
        asked = token_request(form_of(await body(request, MAX_FORM)))
        return JSONResponse(await tokens.issue(parts, asked, _proof(request), address(request)))

    async def revoke(request: Request) -> Response:
        fields = form_of(await body(request, MAX_FORM))
        if not fields.get("token"):
            raise OAuthError("invalid_request", "missing: token")
        await tokens.revoke(parts, fields["token"])
        return JSONResponse({})

    async def device_authorization(request: Request) -> Response:
        fields = form_of(await body(request, MAX_FORM))
        return JSONResponse(sign_in.begin_device(parts, parsed(sign_in.DeviceAuthorization, fields), address(request)))

    async def healthz(_: Request) -> Response:
        return Response("ok")

    return [
        ("/.well-known/openid-configuration", "GET", configuration),
        ("/.well-known/oauth-authorization-server", "GET", configuration),
        ("/keys", "GET", keys),
        ("/token", "POST", token),
        ("/revoke", "POST", revoke),
        ("/device_authorization", "POST", device_authorization),
        ("/healthz", "GET", healthz),
        *_pages(parts),
        *_answers(parts),
        *desk.routes(parts),
    ]


def _pages(parts: Parts) -> list[tuple[str, str, _Handler]]:
    async def authorize(request: Request) -> Response:
        asked = parsed(sign_in.AuthorizeRequest, query(request))
        back, providers = sign_in.checked(parts, asked), sign_in.providers_of(parts, asked.provider)
        if len(providers) == 1:
            return sent_to_sign_in(parts, sign_in.begin(parts, providers[0], back))
        return HTMLResponse(pages.choose({each.name: _with_provider(request, each.name) for each in providers}))

    async def saml_metadata(_: Request) -> Response:
        entity_id, acs_url = parts.url("/saml/metadata"), parts.url("/saml/acs")
        return Response(service_provider_metadata(entity_id, acs_url), media_type="application/samlmetadata+xml")

    async def acs(request: Request) -> Response:
        return await _came_back(parts, request)

    async def device_page(request: Request) -> Response:
        names = [each.name for each in sign_in.providers_of(parts, "")]
        return HTMLResponse(pages.device(query(request).get("user_code", ""), names))

    async def device(request: Request) -> Response:
        """Only from our own page: another one must not sign somebody in for a device that they do not know."""
        if request.headers.get("origin") != parts.console.origin:
            raise OAuthError("access_denied", "this form is only accepted from the console's own page", 403)
        fields = form_of(await body(request, MAX_FORM))
        provider = sign_in.providers_of(parts, fields.get("provider", ""))[0]
        device_code = sign_in.device_of(parts, fields.get("user_code", ""))
        return sent_to_sign_in(parts, sign_in.begin(parts, provider, device_code))

    return [
        ("/authorize", "GET", _shown(authorize)),
        ("/saml/metadata", "GET", saml_metadata),
        ("/saml/acs", "POST", _shown(acs)),
        ("/device", "GET", _shown(device_page)),
        ("/device", "POST", _shown(device)),
    ]


async def _came_back(parts: Parts, request: Request) -> Response:
    """A browser from a SAML provider; it keeps nothing of the sign-in any longer, however that ended."""
    fields = form_of(await body(request, 2 * MAX_RESPONSE))
    answer, state = fields.get("SAMLResponse", ""), fields.get("RelayState", "")

    async def finish(_: Request) -> Response:
        begun, who = sign_in.finish(parts, answer, state, kept_for(parts, request, state))
        return _go_on(parts, request, begun, who)

    return ended(parts, await _shown(finish)(request), state)


def _go_on(parts: Parts, request: Request, begun: SignIn, who: Identity) -> Response:
    if isinstance(begun.back, Page):
        return desk.signed_in(parts, request, who, begun.provider, begun.back)
    target = sign_in.go_on(parts, begun.back, who)
    return RedirectResponse(target, SEE_OTHER) if target else HTMLResponse(pages.done())


def _answers(parts: Parts) -> list[tuple[str, str, _Handler]]:
    async def webhook(request: Request) -> Response:
        content = await body(request, MAX_BODY)
        return JSONResponse(await answers.by_webhook(parts, request.path_params["name"], request.headers, content))

    async def slack(request: Request) -> Response:
        """Slack wants 200 within three seconds; whoever clicked is told what comes of it, and nobody else."""
        name, content = request.path_params["name"], await body(request, MAX_BODY)
        user, text = await answers.by_slack(parts, name, request.headers, content)
        if not text:
            return JSONResponse({})
        told = BackgroundTask(answers.tell, parts, name, user, text)
        return JSONResponse({"response_type": "ephemeral", "text": escaped(text)}, background=told)

    return [("/approvals/webhook/{name}", "POST", webhook), ("/approvals/slack/{name}", "POST", slack)]


async def _not_counted(_: Request, error: Exception) -> Response:
    assert isinstance(error, answers.Refused)
    return JSONResponse(error.document(), error.status)


async def _with_headers(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Pages for people have a stricter policy of their own."""
    response = await go_on(request)
    for name, value in pages.HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _refused(_: Request, error: Exception) -> Response:
    refusal = error if isinstance(error, OAuthError) else OAuthError("server_error", "it did not work", 500)
    return JSONResponse(refusal.document(), refusal.status)


async def _failed(request: Request, error: Exception) -> Response:
    """What nobody has foreseen: answered outside of everything else, the headers included."""
    response = await _refused(request, error)
    response.headers.update(pages.HEADERS)
    return response


async def _unavailable(request: Request, error: Exception) -> Response:
    return await _refused(request, OAuthError("temporarily_unavailable", str(error), 503))


def _shown(handler: _Handler) -> _Handler:
    """The handler, its refusals as pages."""

    async def shown(request: Request) -> Response:
        try:
            return await handler(request)
        except OAuthError as error:
            return HTMLResponse(pages.failed(str(error)), error.status)

    return shown


def _proof(request: Request) -> str:
    """The DPoP header. Raises OAuthError if there are two. Source: RFC 9449, section 4.3."""
    found = request.headers.getlist("dpop")
    if len(found) > 1:
        raise OAuthError("invalid_dpop_proof", "there is more than one DPoP header")
    return found[0] if found else ""


def _with_provider(request: Request, name: str) -> str:
    return str(request.url.include_query_params(provider=name).replace(scheme="", netloc=""))
