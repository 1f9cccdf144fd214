"""The last gate: a request that any step did not decide on is refused, whatever the reason it was skipped."""

from __future__ import annotations

from mitmproxy import http

from addons.exchange import Exchange, IncompleteExchange, exchange_of
from addons.refusal import settled

_DECIDED = (
    "connection", "identity", "session", "request", "grant", "decision", "approved", "masked", "recorded", "credential",
)  # fmt: skip
_FRAMES = ("content-length", "transfer-encoding")


class Seal:
    """Raises for an unfinished exchange; the addon manager turns that into a refusal."""

    def request(self, flow: http.HTTPFlow) -> None:
        """Seal a request that passed every step."""
        if settled(flow):
            return
        exchange = exchange_of(flow)
        if missing := [name for name in _DECIDED if not getattr(exchange, name)]:
            raise IncompleteExchange(f"not decided: {', '.join(missing)}")
        if flow.request.stream:
            raise IncompleteExchange("the request was streamed past the gates")
        if flow.request.raw_content and not any(name in flow.request.headers for name in _FRAMES):
            raise IncompleteExchange("the body would be a request of its own, as nothing says how long it is")
        exchange.sealed = True

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """A reply to a request that was neither sealed nor refused here has no business being here."""
        exchange = exchange_of(flow)
        if not exchange.sealed and not exchange.stays_here:
            raise IncompleteExchange("a reply to a request that was not sealed")
        if exchange.refusal is None:
            _announce(flow, exchange)


def _announce(flow: http.HTTPFlow, exchange: Exchange) -> None:
    """Tell the agent what almost was refused: kubectl prints `Warning` headers (RFC 7234, section 5.5)."""
    for warning in exchange.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        if flow.response is not None:
            flow.response.headers.add("Warning", f'299 - "{text}"')
