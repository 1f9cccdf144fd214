"""Tokens of connections that are not EKS: the cluster makes them for a service account, short-lived (TokenRequest)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from addons.core.connection import Connection
from addons.core.grant import Grant
from addons.core.kubeconfig import UnusableKubeconfig
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
from addons.edge.own_credential import OwnCredential, own_credential

log = structlog.get_logger()
_CODES = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
"""What waiting does not mend: the gateway's own credential, its rights, or a service account that is not there."""
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'


async def who_am_i(connection: Connection) -> ServerAnswer:
    """What a cluster makes of the gateway's own credential (SelfSubjectReview).

    Raises UnusableKubeconfig, UpstreamUnavailable.
    """
    return await _post(connection, await asyncio.to_thread(own_credential, connection), REVIEWS, REVIEW)


async def _post(connection: Connection, own: OwnCredential, target: str, body: bytes) -> ServerAnswer:
    server = ApiServer(connection, own.context)
    try:
        return await server.ask(own.token, "POST", target, {"Content-Type": "application/json"}, body)
    finally:
        await server.close()


class ServiceAccountTokens:
    """Makes them with the gateway's own credential. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="service-accounts")

    async def mint(self, grant: Grant, connection: Connection, _: object, now: float) -> Minted:
        """A new token of the grant's service account. Raises CredentialUnavailable."""
        try:
            answer = await self._ask(grant, connection, now)
            if answer.status >= 300:
                raise self._refused(grant, answer)
            token, expires_at = token_of(answer.object or {})
        except (UnusableKubeconfig, UpstreamUnavailable, UnusableAnswer) as error:
            log.warning("no credential", connection=grant.connection, role=grant.role, grant=grant.id, error=str(error))
            raise CredentialUnavailable(grant.connection, type(error).__name__) from None
        return Minted(
            connection=connection.name,
            token=Secret(token),
            minted_at=now,
            renew_at=renew_at(now, expires_at),
            usable_until=expires_at - LAST_SECONDS,
        )

    async def _ask(self, grant: Grant, connection: Connection, now: float) -> ServerAnswer:
        own = await asyncio.get_running_loop().run_in_executor(self._threads, own_credential, connection)
        body = token_request(connection.audiences, grant.expires_at - now)
        return await _post(connection, own, token_target(grant.role), body)

    def _refused(self, grant: Grant, answer: ServerAnswer) -> CredentialUnavailable:
        said = str((answer.object or {}).get("message", ""))
        log.warning("no credential", connection=grant.connection, role=grant.role, grant=grant.id, error=said)
        code = _CODES.get(answer.status, f"Status{answer.status}")
        return CredentialUnavailable(grant.connection, code, answer.status not in _CODES)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
