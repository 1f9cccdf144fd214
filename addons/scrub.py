"""Bodies as records and approvers may see them: masked by the rules the exchange is judged by."""

from __future__ import annotations

from addons.core.masking import Unmaskable, mask_reply
from addons.exchange import Exchange, need, policy_of

_PLAIN_FORMS = (("+json", "application/json"), ("+yaml", "application/yaml"))


def scrubbed(exchange: Exchange, body: bytes, content_type: str) -> bytes:
    """A request's body as the reply to the same request would be masked; what cannot be masked is not kept."""
    kind = content_type.partition(";")[0].strip().lower() or "application/json"
    kind = next((plain for ending, plain in _PLAIN_FORMS if kind.endswith(ending)), kind)
    try:
        return b"".join(mask_reply(policy_of(exchange).masker, need(exchange.request, "request"), kind, (body,)))
    except Unmaskable as error:
        return f"[not kept: {error}]".encode()
