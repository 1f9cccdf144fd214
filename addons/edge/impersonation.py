"""Credentials of connections where the gateway impersonates: its own token, and headers that say for whom it acts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from addons.core.connection import Connection
from addons.core.grant import Grant
from addons.core.impersonation import NotImpersonable, impersonated
from addons.core.kubeconfig import UnusableKubeconfig
from addons.core.own_user import MARGIN_SECONDS, PluginFailed
from addons.edge.credentials import CredentialUnavailable, Minted
from addons.edge.own_credential import NO_TOKEN, OwnCredentials

log = structlog.get_logger()
_RENEW_SECONDS = 300.0
"""A token in a file may be another by then; a projected one is good for longer than this after it was replaced."""
_USABLE_SECONDS = 600.0


class Impersonation:
    """Acts for others with the gateway's own credential. Belongs to one event loop."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._own = OwnCredentials(now)

    async def mint(self, grant: Grant, connection: Connection, _: object, now: float) -> Minted:
        """The gateway's own token, for the user of the grant's role alone. Raises CredentialUnavailable."""
        try:
            fields, own = impersonated(grant), await self._own.of(connection)
            if own.token is None:
                raise UnusableKubeconfig(NO_TOKEN)
        except (UnusableKubeconfig, NotImpersonable) as error:
            log.warning("no credential", connection=grant.connection, role=grant.role, grant=grant.id, error=str(error))
            raise CredentialUnavailable(grant.connection, str(error), isinstance(error, PluginFailed)) from None
        expires_at = own.answer.expires_at if own.answer else None
        return Minted(
            connection=connection.name,
            bearer=replace(own.token, impersonated=fields),
            minted_at=now,
            renew_at=now + _RENEW_SECONDS,
            usable_until=min(now + _USABLE_SECONDS, (expires_at or math.inf) - MARGIN_SECONDS),
            rejected=lambda: self._own.drop(own),
        )
