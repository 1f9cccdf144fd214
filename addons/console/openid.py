"""People sign in to the pages at an OpenID provider: the code flow with PKCE, for a client without a secret."""

from __future__ import annotations

import secrets

import structlog

from addons.console.parts import Parts
from addons.console.people import OpenIdSignIn, Page
from addons.console.web import NOT_BEGUN, Begun
from addons.core.browser_session import check_id_token
from addons.core.claims import RejectedToken
from addons.core.console import SignInProvider
from addons.core.identity import Identity
from addons.core.sign_in import Client, SignInFailed, believed, code_of
from addons.core.token_exchange import OAuthError, form_of
from addons.edge.oidc import KeysUnavailable

log = structlog.get_logger()

CALLBACK = "/oidc/callback"


def provider_of(parts: Parts, name: str) -> SignInProvider | None:
    """The provider of a name at which people sign in."""
    return next((each for each in parts.console.sign_in if each.identity_provider == name), None)


async def begin(parts: Parts, provider: SignInProvider, page: Page) -> Begun:
    """A browser is sent to sign in. Raises OAuthError."""
    sign_in = OpenIdSignIn(
        provider=provider.identity_provider,
        page=page,
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
    )
    state = secrets.token_urlsafe(32)
    try:
        url = await parts.people.providers.sent_to(
            _client(parts, provider), sign_in.attempt(state), parts.url(CALLBACK)
        )
        return Begun(url=url, fields={}, key=state, sealed=parts.people.sign_ins.seal(state, sign_in))
    except SignInFailed as error:
        raise _refused(sign_in, error) from None


async def finish(parts: Parts, state: str, query: str, sealed: str) -> tuple[OpenIdSignIn, Identity]:
    """Who has signed in, with what the browser has kept, once for each time; `query` is what came back.

    Raises OAuthError, TooManyPending.
    """
    sign_in = parts.people.sign_ins.open(state, sealed)
    if sign_in is None:
        raise OAuthError("access_denied", NOT_BEGUN)
    provider = provider_of(parts, sign_in.provider)
    if provider is None:
        raise OAuthError("access_denied", "people do not sign in at this provider any more")
    try:
        identity = await _identity(parts, provider, sign_in, state, query)
    except (SignInFailed, RejectedToken) as error:
        raise _refused(sign_in, error) from None
    except KeysUnavailable as error:
        raise OAuthError("temporarily_unavailable", str(error), 503) from None
    parts.people.sign_ins.use(state)
    return sign_in, identity


async def _identity(parts: Parts, provider: SignInProvider, sign_in: OpenIdSignIn, state: str, query: str) -> Identity:
    client, attempt = _client(parts, provider), sign_in.attempt(state)
    if form_of(query.encode()).get("iss", client.issuer) != client.issuer:  # RFC 9207, section 2.4
        raise SignInFailed("this is the answer of another provider")
    code = code_of(f"?{query}", attempt)
    answer = await parts.people.providers.redeemed(client, attempt, code, parts.url(CALLBACK))
    token = believed(answer, client, parts.now(), attempt.nonce).id_token
    identity = await parts.verifier.verify(token, parts.now())
    check_id_token(identity, client.client_id, attempt.nonce)
    return identity


def _client(parts: Parts, provider: SignInProvider) -> Client:
    """The rules have a document for it: they are only loaded with one."""
    (known,) = [each for each in parts.policy.trust.providers if each.name == provider.identity_provider]
    return Client(issuer=known.issuer, client_id=provider.client_id, scope=provider.scope)


def _refused(sign_in: OpenIdSignIn, error: Exception) -> OAuthError:
    log.warning("OpenID sign-in refused", provider=sign_in.provider, why=str(error))
    return OAuthError("access_denied", str(error))
