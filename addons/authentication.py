"""Who is calling: a request's bearer token, or its tunnel's, becomes an Identity, and leaves the request for good.

The tunnel's is verified for each of its requests, too. Nothing of a token reaches a log, a message or an exception. A
401 is only about the caller's own token; keys that cannot be fetched are the gateway's trouble, a 503. Source: RFC
6750, 2.1 and 3.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mitmproxy.http import HTTPFlow

from addons.core.authorization import take_authorization
from addons.core.claims import RejectedToken
from addons.core.dpop import token_hash
from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.core.session import Session, session_id
from addons.core.token import TwoTokens, request_token
from addons.edge.oidc import KeysUnavailable, Verifier
from addons.exchange import exchange_of, need
from addons.refusal import refuse, settled


class Authentication:
    """`now` gives Unix seconds."""

    def __init__(self, verifier: Verifier, now: Callable[[], float]) -> None:
        self._verifier, self._now = verifier, now

    def requestheaders(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Write identity and session, or refuse. Waits only for a token that was not seen before."""
        headers = flow.request.headers
        headers.fields, values = take_authorization(headers.fields)  # first: refused requests lose it too
        if settled(flow):
            return None
        try:
            token = request_token(values, exchange_of(flow).tunnel_token)
        except RejectedToken as error:
            self._reject(flow, error)
        except TwoTokens as error:
            refuse(flow, Refusal(code=400, rule="two-tokens", why=str(error), hint=_ONE_TOKEN))
        else:
            if (identity := self._verifier.cached(token, self._now())) is None:
                return self._verify(flow, token)
            self._accept(flow, identity, token)
        return None

    async def _verify(self, flow: HTTPFlow, token: str) -> None:
        try:
            identity = await self._verifier.verify(token, self._now())
        except RejectedToken as error:
            self._reject(flow, error)
        except KeysUnavailable as error:
            refuse(flow, _unavailable(error))
        else:
            self._accept(flow, identity, token)

    def _accept(self, flow: HTTPFlow, identity: Identity, token: str) -> None:
        exchange = exchange_of(flow)
        connection, intent = need(exchange.connection, "connection").name, identity.intent or exchange.intent
        job = session_id(identity, connection, intent)
        exchange.identity = identity
        exchange.token_hash = token_hash(token) if identity.jkt else None
        exchange.session = Session(
            id=job, identity=identity, connection=connection, started_at=self._now(), intent=intent
        )

    def _reject(self, flow: HTTPFlow, error: RejectedToken) -> None:
        why, hint = f"your token: {error}", self._verifier.advice
        refuse(flow, Refusal(code=401, rule="authentication", why=why, hint=hint, retry="yes, with a new one"))


_ONE_TOKEN = "send your token in Authorization or in the proxy's URL, or the same in both, and in a new tunnel"


def _unavailable(error: KeysUnavailable) -> Refusal:
    why = f"the gateway cannot check your token now: {error}"
    return Refusal(code=503, rule="identity-provider-unavailable", why=why, hint="wait", retry_after_seconds=10)
