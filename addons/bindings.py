"""What a session token is bound to, held to: a connection, an intent, a key. Other tokens are bound to nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mitmproxy.http import HTTPFlow

from addons.core.authorization import take_proofs
from addons.core.claims import RejectedToken
from addons.core.dpop import target
from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.edge.possession import Possession
from addons.exchange import Exchange, exchange_of, need
from addons.refusal import refuse, settled


class Bindings:
    """`possession` remembers which proofs were used."""

    def __init__(self, possession: Possession) -> None:
        self._possession = possession

    def requestheaders(self, flow: HTTPFlow) -> None:
        """Refuse what the caller's token is not good for; its proof leaves the request."""
        flow.request.headers.fields, proofs = take_proofs(flow.request.headers.fields)
        if settled(flow):
            return
        exchange = exchange_of(flow)
        identity, connection = need(exchange.identity, "identity"), need(exchange.connection, "connection")
        if identity.connection not in ("", connection.name):
            refuse(flow, _elsewhere(identity.connection))
        elif identity.intent and exchange.intent not in ("", identity.intent):
            refuse(flow, _OTHER_INTENT)
        elif identity.jkt:
            self._prove(flow, exchange, identity, proofs)

    def _prove(self, flow: HTTPFlow, exchange: Exchange, identity: Identity, proofs: Sequence[str]) -> None:
        connection, request = need(exchange.connection, "connection"), flow.request
        url = target(connection.host, connection.port, request.path)
        try:
            if len(proofs) != 1:
                raise RejectedToken("it is bound to a key: send one DPoP header with each request (RFC 9449)")
            self._possession.check(proofs[0], request.method, url, need(exchange.token_hash, "token"), identity.jkt)
        except RejectedToken as error:
            refuse(flow, Refusal(code=401, rule="proof-of-possession", why=f"your token: {error}", hint=_PROVE))
            need(flow.response, "response").headers["WWW-Authenticate"] = 'DPoP error="invalid_dpop_proof"'


def _elsewhere(connection: str) -> Refusal:
    return Refusal(
        code=403,
        rule="token-bound-elsewhere",
        why=f"your session token is good for the connection {connection} only",
        hint="get a session token for this connection from the console",
        retry="yes, with another token",
    )


_PROVE = "make a new proof for each request, with the key that the token was issued for"
_OTHER_INTENT = Refusal(
    code=403,
    rule="intent-bound",
    why="the request says another intent (Impersonate-Extra-Reason) than the session token was issued for",
    hint="leave the header out, or get a session token for this intent",
    retry="yes, with another token, or without the header",
)
