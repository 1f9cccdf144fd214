"""A token whose issuer says `singleUse` is bound by its first use; a copy of it that is used elsewhere is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import structlog
from mitmproxy.http import HTTPFlow

from addons.core.refusal import Refusal
from addons.core.single_use import Use, client_address, misuse
from addons.edge.first_use import FirstUses
from addons.edge.store import StoreUnavailable
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import refuse, settled

log = structlog.get_logger()

UNREADABLE = Refusal(
    code=503,
    rule="token-uses-unreadable",
    why="the gateway cannot read whether your token was used before",
    hint="wait; if it lasts, tell the people who run the gateway",
    retry_after_seconds=5,
)


class SingleUse:
    """`issuers` are those that an exchange is to be judged so for. Right after authentication."""

    def __init__(self, issuers: Callable[[Exchange], Collection[str]], uses: FirstUses) -> None:
        self._issuers, self._uses = issuers, uses

    def requestheaders(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Refuse what was first used elsewhere. Waits only for a token that this worker has not seen before."""
        if settled(flow):
            return None
        exchange = exchange_of(flow)
        if need(exchange.identity, "identity").iss not in self._issuers(exchange):
            return None
        use = _use(flow, exchange)
        if (first := self._uses.known(use)) is None:
            return self._find(flow, use)
        _judge(flow, first, use)
        return None

    async def _find(self, flow: HTTPFlow, use: Use) -> None:
        try:
            first = await self._uses.find(use)
        except StoreUnavailable as error:
            log.error("first use of a token unknown", error=str(error), reference=exchange_of(flow).id)
            refuse(flow, UNREADABLE)
        else:
            _judge(flow, first, use)


def _use(flow: HTTPFlow, exchange: Exchange) -> Use:
    identity, connection = need(exchange.identity, "identity"), need(exchange.connection, "connection")
    return Use(
        iss=identity.iss,
        jti=need(identity.jti or None, "jti"),
        address=client_address(need(flow.client_conn.peername, "the client's address")[0]),
        connection=connection.name,
        expires_at=identity.exp,
    )


def _judge(flow: HTTPFlow, first: Use, use: Use) -> None:
    if (refusal := misuse(first, use)) is None:
        return
    exchange = exchange_of(flow)
    log.warning(
        "token used elsewhere",
        user=need(exchange.identity, "identity").username,
        jti=use.jti,
        first=f"{first.address} {first.connection}",
        now=f"{use.address} {use.connection}",
        reference=exchange.id,
    )
    refuse(flow, refusal)
