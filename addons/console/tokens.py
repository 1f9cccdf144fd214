"""The token endpoint: a proof of who somebody is becomes a session token; and a session token is revoked."""

from __future__ import annotations

import secrets
from typing import Any

import structlog

from addons.console.parts import Device, Parts
from addons.core import session_token
from addons.core.claims import RejectedToken, identity_from_claims
from addons.core.console import LONGEST_SECONDS
from addons.core.identity import Identity
from addons.core.session_token import Binding, NotGranted
from addons.core.single_use import Use, client_address, misuse
from addons.core.token import MAX_TOKEN, read_token
from addons.core.token_exchange import (
    CodeRequest,
    DeviceRequest,
    ExchangeRequest,
    OAuthError,
    TokenRequest,
    answer,
    challenge_met,
)
from addons.edge.first_use import first_use
from addons.edge.oidc import KeysUnavailable
from addons.edge.revocation_store import add_revocation

log = structlog.get_logger()

_POLL_SECONDS = 4.5


async def issue(parts: Parts, request: TokenRequest, proof: str, address: str) -> dict[str, Any]:
    """The answer to a request for a token. Raises OAuthError, StoreUnavailable.

    `proof` is the DPoP header, "" if there is none; `address` the client's.
    """
    try:
        jkt = parts.possession.proven(proof, "POST", parts.url("/token")) if proof else ""
    except RejectedToken as error:
        raise OAuthError("invalid_dpop_proof", str(error)) from None
    match request:
        case ExchangeRequest():
            return await _exchange(parts, request, jkt, address)
        case CodeRequest():
            return _by_code(parts, request, jkt)
        case DeviceRequest():
            return _by_device(parts, request, jkt)


async def revoke(parts: Parts, token: str) -> None:
    """End the session of a session token, with every token that came of its first one. Raises OAuthError.

    A token that is no good is no mistake: it is over. Source: RFC 7009, sections 2.1 and 2.2.
    """
    try:
        identity = await _proven(parts, token, "token")
    except OAuthError as error:
        if error.error == "invalid_grant":
            return
        raise
    if not (sid := session_token.session_of(identity)):
        raise OAuthError("unsupported_token_type", "another provider's token: only session tokens are revoked here")
    now = parts.now()
    await parts.store.call(add_revocation, sid, identity.username, now, now + LONGEST_SECONDS)
    log.info("session revoked", session=sid, subject=identity.username)


async def _exchange(parts: Parts, request: ExchangeRequest, jkt: str, address: str) -> dict[str, Any]:
    subject = await _proven(parts, request.subject_token, "subject_token")
    actor = await _proven(parts, request.actor_token, "actor_token") if request.actor_token else None
    for what, identity in (("subject", subject), ("actor", actor)):
        if identity is not None and identity.jkt not in ("", jkt):
            raise OAuthError("invalid_dpop_proof", f"the {what} token is bound to a key: prove that you have it")
    if request.audience and request.audience not in parts.policy.connections:
        raise OAuthError("invalid_target", "there is no such connection (audience)")
    for identity in filter(None, (subject, actor)):
        await _check_first_use(parts, identity, address, request.audience)
    try:
        binding = session_token.narrowed(subject, Binding(connection=request.audience, intent=request.intent, jkt=jkt))
        act = session_token.acting(subject, actor)
        if actor is not None:  # what binds it, binds what it does for others
            binding = session_token.narrowed(actor, binding)
    except NotGranted as error:
        raise OAuthError("invalid_grant", str(error)) from None
    ends = min(session_token.not_after(each) for each in (subject, actor) if each is not None)
    times = session_token.lifetime(request.expires_in, parts.console.longest_seconds, parts.now(), ends)
    return _issued(parts, subject, binding, act, times)


async def _check_first_use(parts: Parts, identity: Identity, address: str, connection: str) -> None:
    """A token for a single use is not to be had anew from somewhere else by exchanging a copy of it."""
    if identity.session_token or identity.iss not in parts.policy.single_use:
        return
    use = Use(
        iss=identity.iss,
        jti=identity.jti,
        address=client_address(address),
        connection=connection,
        expires_at=identity.exp,
    )
    if (refusal := misuse(await parts.store.call(first_use, use, parts.now()), use)) is not None:
        log.warning("token used elsewhere", user=identity.username, jti=identity.jti, now=f"{use.address} {connection}")
        raise OAuthError("invalid_grant", refusal.why)


def _by_code(parts: Parts, request: CodeRequest, jkt: str) -> dict[str, Any]:
    """Source: OpenID Connect Core 1.0, section 3.1.3. A code that is redeemed wrongly is gone, too."""
    found = parts.codes.take(request.code)
    if found is None or request.client_id != parts.console.audience:
        raise OAuthError("invalid_grant", "the code is not known here, was used, or took too long")
    back, identity = found
    if request.redirect_uri != back.redirect_uri or not challenge_met(back.challenge, request.code_verifier):
        raise OAuthError("invalid_grant", "the code is not for this client")
    return _signed_in(parts, identity, jkt, back.nonce)


def _by_device(parts: Parts, request: DeviceRequest, jkt: str) -> dict[str, Any]:
    """Source: RFC 8628, section 3.5."""
    device = parts.devices.find(request.device_code)
    if device is None or request.client_id != parts.console.audience:
        raise OAuthError("expired_token", "nobody signed in in time: begin again")
    _not_too_often(device, parts.now())
    if device.identity is None:
        raise OAuthError("authorization_pending", "nobody has signed in yet")
    parts.devices.take(request.device_code)
    return _signed_in(parts, device.identity, jkt, "")


def _not_too_often(device: Device, now: float) -> None:
    early, device.asked_at = now < device.asked_at + _POLL_SECONDS, now
    if early:
        raise OAuthError("slow_down", "ask less often")


def _signed_in(parts: Parts, identity: Identity, jkt: str, nonce: str) -> dict[str, Any]:
    """A session token that is the ID token, too: the client is the person's own."""
    times = session_token.lifetime(0, parts.console.longest_seconds, parts.now(), identity.exp)
    issued = _issued(parts, identity, Binding(jkt=jkt), "", times, {"nonce": nonce} if nonce else None)
    return issued | {"id_token": issued["access_token"]}


def _issued(
    parts: Parts,
    identity: Identity,
    binding: Binding,
    act: str,
    times: tuple[float, float],
    more: dict[str, str] | None = None,
) -> dict[str, Any]:
    console, seconds = parts.console, times[1] - times[0]
    if seconds < 1:
        raise OAuthError("invalid_grant", "the proof is about to expire")
    claims = session_token.session_claims(
        identity, binding, act, console.url, console.audience, times, secrets.token_urlsafe(16)
    )
    log.info(
        "session token issued",
        session=claims["sid"],
        subject=identity.username,
        act=act,
        connection=binding.connection,
        intent=binding.intent,
        seconds=int(seconds),
    )
    token = parts.signer.sign(claims | (more or {}))
    if len(token) > MAX_TOKEN:
        raise OAuthError("invalid_grant", "the proof says so much of the subject that the gateway would not take it")
    return answer(token, seconds, bound=bool(binding.jkt))


async def _proven(parts: Parts, token: str, what: str) -> Identity:
    try:
        if read_token(token).iss == parts.console.url:
            return identity_from_claims(parts.signer.claims_of(token), parts.console.provider, parts.now())
        return await parts.verifier.verify(token, parts.now())
    except RejectedToken as error:
        raise OAuthError("invalid_grant", f"the {what}: {error}") from None
    except KeysUnavailable as error:
        raise OAuthError("temporarily_unavailable", str(error), 503) from None
