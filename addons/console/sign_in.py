"""People sign in at the console by SAML: a browser that comes for a code, or for a device that waits somewhere else.

The code flow is OpenID Connect's for native applications: PKCE, and back to this person's own machine only. What a
provider answers is believed once, for the request that it answers.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints

from addons.console.parts import Device, Parts, Return, SignIn
from addons.console.people import Page
from addons.console.web import NOT_BEGUN, Begun
from addons.core.claims import RejectedToken
from addons.core.identity import Identity
from addons.core.saml import Expected, authn_request, identity_of
from addons.core.saml_provider import SamlProvider
from addons.core.token_exchange import OAuthError, Text
from addons.edge.saml import redirect_parameter, verified_assertion

log = structlog.get_logger()

_OWN_MACHINE = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?(/[^?#]*)?(\?[^#]*)?", re.DOTALL)
"""What every reader of addresses takes for the machine that the browser runs on; what is added is for the query."""


class AuthorizeRequest(BaseModel):
    """OpenID Connect Core 1.0, section 3.1.2.1; RFC 7636, section 4.3. Parameters that are not known are ignored."""

    model_config = ConfigDict(frozen=True)

    response_type: Literal["code"]
    client_id: Text
    redirect_uri: Text
    state: Text | Literal[""] = ""
    nonce: Text | Literal[""] = ""
    code_challenge: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    code_challenge_method: Literal["S256"]
    provider: Text | Literal[""] = ""


class DeviceAuthorization(BaseModel):
    """RFC 8628, section 3.1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: Text
    scope: Text | Literal[""] = ""


def checked(parts: Parts, request: AuthorizeRequest) -> Return:
    """Where the browser may go back to: this machine's own address alone. Raises OAuthError."""
    if request.client_id != parts.console.audience:
        raise OAuthError("invalid_client", "the client is not known here")
    if not _OWN_MACHINE.fullmatch(request.redirect_uri):
        raise OAuthError("invalid_request", "redirect_uri must be an http address of this machine (RFC 8252)")
    return Return(
        redirect_uri=request.redirect_uri, state=request.state, nonce=request.nonce, challenge=request.code_challenge
    )


def providers_of(parts: Parts, name: str) -> list[SamlProvider]:
    """The SAML provider of a name, or all of them, of which somebody has to choose. Raises OAuthError."""
    providers = [each for each in parts.policy.trust.saml if name in ("", each.name)]
    if not providers:
        raise OAuthError("access_denied", "there is no such SAML provider: sign in at your OpenID provider")
    return providers


def begin(parts: Parts, provider: SamlProvider, back: Return | str | Page) -> Begun:
    """A browser is sent to sign in.

    Source: Bindings for SAML V2.0, sections 3.4 (HTTP-Redirect) and 3.5 (HTTP-POST).
    """
    request_id = f"_{secrets.token_hex(16)}"  # an xs:ID
    sealed = parts.sign_ins.seal(request_id, SignIn(provider=provider.name, back=back))
    message = authn_request(_expected(parts, request_id), provider, parts.now())
    if provider.sso_binding == "post":
        fields = {"SAMLRequest": b64encode(message).decode(), "RelayState": request_id}
        return Begun(url=provider.sso_url, fields=fields, key=request_id, sealed=sealed)
    query = urlencode({"SAMLRequest": redirect_parameter(message), "RelayState": request_id})
    url = f"{provider.sso_url}{'&' if '?' in provider.sso_url else '?'}{query}"
    return Begun(url=url, fields={}, key=request_id, sealed=sealed)


def finish(parts: Parts, response: str, relay_state: str, sealed: str) -> tuple[SignIn, Identity]:
    """Who has signed in by a provider's response, with what the browser has kept. Raises OAuthError, TooManyPending."""
    sign_in = parts.sign_ins.open(relay_state, sealed)
    if sign_in is None:
        raise OAuthError("access_denied", NOT_BEGUN)
    try:
        identity = _identity(parts, sign_in.provider, response, relay_state)
    except RejectedToken as error:
        log.warning("SAML response refused", provider=sign_in.provider, why=str(error))
        raise OAuthError("access_denied", f"the provider's answer is refused: {error}") from None
    parts.sign_ins.use(relay_state)
    log.info("signed in", subject=identity.username, provider=sign_in.provider)
    return sign_in, identity


def go_on(parts: Parts, back: Return | str, identity: Identity) -> str:
    """Where a browser goes after signing in, "" where a device goes on. Raises OAuthError."""
    if isinstance(back, Return):
        query = {"code": parts.codes.add((back, identity))} | ({"state": back.state} if back.state else {})
        return f"{back.redirect_uri}{'&' if urlsplit(back.redirect_uri).query else '?'}{urlencode(query)}"
    device = parts.devices.find(back)
    if device is None:
        raise OAuthError("expired_token", "the device has waited too long: begin again there")
    device.identity = identity
    return ""


def begin_device(parts: Parts, request: DeviceAuthorization, address: str) -> dict[str, Any]:
    """What a device at an address is told. Source: RFC 8628, section 3.2. Raises OAuthError."""
    if request.client_id != parts.console.audience:
        raise OAuthError("invalid_client", "the client is not known here")
    device = Device()
    device_code = parts.devices.add(device, address)
    device.user_code = parts.user_codes.add(device_code, address)
    page = parts.url("/device")
    return {
        "device_code": device_code,
        "user_code": device.user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?{urlencode({'user_code': device.user_code})}",
        "expires_in": int(parts.devices.seconds),
        "interval": 5,
    }


def device_of(parts: Parts, user_code: str) -> str:
    """The device code that belongs to what somebody has typed, this once. Raises OAuthError."""
    letters = "".join(letter for letter in user_code.upper() if letter.isalpha())
    found = parts.user_codes.take(f"{letters[:4]}-{letters[4:]}")
    if found is None:
        raise OAuthError("invalid_request", "no device waits with this code: is it typed as it is shown?")
    return found


def _identity(parts: Parts, name: str, response: str, request_id: str) -> Identity:
    """Who signed in at the provider that was asked. Raises RejectedToken, or OAuthError if that is gone."""
    (provider,) = providers_of(parts, name)
    return identity_of(verified_assertion(response, provider), provider, _expected(parts, request_id), parts.now())


def _expected(parts: Parts, request_id: str) -> Expected:
    return Expected(entity_id=parts.url("/saml/metadata"), acs_url=parts.url("/saml/acs"), request_id=request_id)
