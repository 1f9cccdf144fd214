"""The upstream credential: written last, as a header, and never on the TLS layer.

A request that any step did not decide on never gets one: the API server then answers 401, whatever went wrong here.
`addons/credential_removal.py`, first in the stack, takes it off again; the hooks for replies here only make sure.
"""

from __future__ import annotations

from collections.abc import Awaitable

from mitmproxy.http import HTTPFlow

from addons.core.authorization import Bearer, with_bearer
from addons.core.grant import Grant
from addons.core.refusal import Refusal
from addons.credential_removal import remove_credential
from addons.edge.credentials import Credentials as Source
from addons.edge.credentials import CredentialUnavailable
from addons.exchange import Exchange, IncompleteExchange, exchange_of, need
from addons.refusal import refuse, settled

_DECIDED = ("connection", "identity", "session", "request", "grant", "decision", "approved", "recorded")


class Credentials:
    """Gives a fully decided request the credential of its grant's role. Last but one in the stack."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def request(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Write the header, or refuse. Waits only for a credential that is not there yet."""
        if settled(flow):
            return None
        exchange = exchange_of(flow)
        if missing := [name for name in _DECIDED if not getattr(exchange, name)]:
            raise IncompleteExchange(f"no credential before these are decided: {', '.join(missing)}")
        grant = need(exchange.grant, "grant")
        if (token := self._source.cached(grant)) is None:
            return self._wait(flow, exchange, grant)
        _write(flow, exchange, token)
        return None

    async def _wait(self, flow: HTTPFlow, exchange: Exchange, grant: Grant) -> None:
        try:
            token = await self._source.token(grant)
        except CredentialUnavailable as error:
            refuse(flow, _unavailable(error))
            return
        if not settled(flow):
            _write(flow, exchange, token)

    responseheaders = response = error = upgrade_start = staticmethod(remove_credential)


def _write(flow: HTTPFlow, exchange: Exchange, token: Bearer) -> None:
    headers = flow.request.headers
    headers.fields = with_bearer(headers.fields, token)
    exchange.credential = token


def _unavailable(error: CredentialUnavailable) -> Refusal:
    return Refusal(
        code=503,
        rule="credential-unavailable",
        why=f"{error}. Your own token is fine: this is between the gateway and who gives it credentials",
        hint="wait, or tell the people who run the gateway the reference",
        retry_after_seconds=5 if error.may_pass else None,
    )
