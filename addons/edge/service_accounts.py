"""Tokens of connections that are not EKS: the cluster makes them for a service account, short-lived (TokenRequest)."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from addons.core.authorization import Bearer
from addons.core.connection import Connection
from addons.core.grant import Grant
from addons.core.kubeconfig import UnusableKubeconfig
from addons.core.own_user import PluginFailed
from addons.core.secret import Secret
from addons.core.service_account import (
    LAST_SECONDS,
    UnusableAnswer,
    renew_at,
    token_of,
    token_request,
    token_target,
)
from addons.edge.api_server import ApiServer, ServerAnswer, UpstreamUnavailable
from addons.edge.credentials import CredentialUnavailable, Minted
from addons.edge.own_credential import OwnCredential, OwnCredentials

log = structlog.get_logger()
_CODES = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
"""What waiting does not mend: the gateway's own credential, its rights, or a service account that is not there."""
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'


async def who_am_i(connection: Connection) -> ServerAnswer:
    """What a cluster makes of the gateway's own credential (SelfSubjectReview).

    Raises UnusableKubeconfig, UpstreamUnavailable.
    """
    return await _post(connection, await OwnCredentials().of(connection), REVIEWS, REVIEW)


async def _post(connection: Connection, own: OwnCredential, target: str, body: bytes) -> ServerAnswer:
    server = ApiServer(connection, own.context)
    try:
        return await server.ask(own.token, "POST", target, {"Content-Type": "application/json"}, body)
    finally:
        await server.close()


class ServiceAccountTokens:
    """Makes them with the gateway's own credential. Belongs to one event loop."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._own = OwnCredentials(now)

    async def mint(self, grant: Grant, connection: Connection, _: object, now: float) -> Minted:
        """A new token of the grant's service account. Raises CredentialUnavailable."""
        try:
            answer = await self._ask(grant, connection, now)
            if answer.status >= 300:
                raise _refused(grant, answer)
            token, expires_at = token_of(answer.object or {})
        except UnusableKubeconfig as error:
            raise _unavailable(grant, str(error), str(error), isinstance(error, PluginFailed)) from None
        except (UpstreamUnavailable, UnusableAnswer) as error:
            raise _unavailable(grant, type(error).__name__, str(error), True) from None
        return Minted(
            connection=connection.name,
            bearer=Bearer(Secret(token)),
            minted_at=now,
            renew_at=renew_at(now, expires_at),
            usable_until=expires_at - LAST_SECONDS,
        )

    async def _ask(self, grant: Grant, connection: Connection, now: float) -> ServerAnswer:
        asked = token_target(grant.role), token_request(connection.audiences, grant.expires_at - now)
        own = await self._own.of(connection)
        answer = await _post(connection, own, *asked)
        if answer.status == 401 and self._own.drop(own):
            answer = await _post(connection, await self._own.of(connection), *asked)
        return answer


def _refused(grant: Grant, answer: ServerAnswer) -> CredentialUnavailable:
    code = _CODES.get(answer.status, f"Status{answer.status}")
    return _unavailable(grant, code, str((answer.object or {}).get("message", "")), answer.status not in _CODES)


def _unavailable(grant: Grant, code: str, error: str, may_pass: bool) -> CredentialUnavailable:
    log.warning("no credential", connection=grant.connection, role=grant.role, grant=grant.id, error=error)
    return CredentialUnavailable(grant.connection, code, may_pass)
