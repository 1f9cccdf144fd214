"""First in the stack: takes the upstream credential off a request as soon as it is on its way.

Replies run through the stack from the top too, so no other addon, and no file, ever sees the credential. A cluster that
does not accept it answers 401; to the agent that would say that *its* token is bad, so it becomes the gateway's 503.
"""

from __future__ import annotations

from mitmproxy.http import HTTPFlow

from addons.core.authorization import has_authorization, with_authorization
from addons.core.refusal import Refusal
from addons.edge.credentials import Credentials
from addons.exchange import exchange_of, need
from addons.refusal import refuse

PLACEHOLDER = "Bearer [removed]"
NOT_ACCEPTED = Refusal(
    code=503,
    rule="credential-not-accepted",
    why="the cluster did not accept the credential of the granted role; your own token is fine",
    hint="try once more; if it stays so, the role is not mapped in the cluster: tell the people who run the gateway",
    retry_after_seconds=5,
)


class CredentialRemoval:
    """`source` forgets what the cluster did not accept, so that the next request gets a fresh one."""

    def __init__(self, source: Credentials) -> None:
        self._source = source

    def responseheaders(self, flow: HTTPFlow) -> None:
        """The first event after sending."""
        remove_credential(flow)
        exchange, response = exchange_of(flow), need(flow.response, "response")
        if exchange.credential is not None and response.status_code == 401:
            self._source.drop(need(exchange.grant, "grant"), exchange.credential)
            exchange.refusal = NOT_ACCEPTED
            response.status_code, response.reason = NOT_ACCEPTED.code, "Service Unavailable"
            response.headers.pop("www-authenticate", None)

    def response(self, flow: HTTPFlow) -> None:
        """The body of what `responseheaders` found; a reply that is streamed keeps the server's own."""
        remove_credential(flow)
        exchange = exchange_of(flow)
        if exchange.refusal is NOT_ACCEPTED and need(flow.response, "response").raw_content is not None:
            refuse(flow, NOT_ACCEPTED)

    def error(self, flow: HTTPFlow) -> None:
        """A request that ended without a reply."""
        remove_credential(flow)

    def upgrade_start(self, flow: HTTPFlow) -> None:
        """A stream that goes on."""
        remove_credential(flow)


def remove_credential(flow: HTTPFlow) -> None:
    """Put a placeholder where an Authorization header is."""
    headers = flow.request.headers
    if has_authorization(headers.fields, but=PLACEHOLDER):
        headers.fields = with_authorization(headers.fields, PLACEHOLDER)
