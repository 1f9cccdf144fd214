"""The two ways masked bytes leave piece by piece: a streamed body and WebSocket messages.

mitmproxy's rules for a stream callable: return [] to withhold (an empty chunk would end the body), never raise (the
stream would go on with a hole in it). So whatever happens here, nothing is sent after it and the connection is ended.
"""

from __future__ import annotations

import asyncio

from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketMessage

from addons.core.masking import MaskPlan, Reply, StreamMasker, Unmaskable
from addons.exchange import need
from addons.refusal import Disconnect

_STATUS_CHANNEL = 3
_CLOSE_CHANNEL = 255
_WHOLE = -1


class MaskedStream:
    """A stream callable for `flow.response.stream`."""

    def __init__(self, flow: HTTPFlow, masker: StreamMasker, disconnect: Disconnect) -> None:
        self._client = flow.client_conn
        self._masker = masker
        self._disconnect = disconnect
        self._ended = False

    @classmethod
    def attach(cls, flow: HTTPFlow, masker: StreamMasker, disconnect: Disconnect) -> None:
        """Stream the reply through `masker`; its length is then unknown."""
        response = need(flow.response, "the reply")
        if response.headers.pop("content-length", None) is not None and flow.request.is_http11:
            response.headers["transfer-encoding"] = "chunked"
        response.stream = cls(flow, masker, disconnect)

    def __call__(self, data: bytes) -> list[bytes]:
        if self._ended:
            return []
        self._ended = True  # unless the masker comes back
        try:
            masked = self._masker.feed(data) if data else self._masker.finish()
        except Unmaskable as error:
            return [self._masker.failure(str(error))]
        else:
            self._ended = False
            return masked
        finally:
            if self._ended:  # after what is returned here was written
                asyncio.get_running_loop().call_soon(self._disconnect, self._client)


def mask_message(message: WebSocketMessage, plan: MaskPlan, outputs: dict[int, StreamMasker]) -> None:
    """Mask one message from the server in place. `outputs` keeps a masker per channel."""
    content = message.content
    if message.from_client or not content:
        return
    channel, at = (content[0], 1) if plan.reply is Reply.CHANNELS else (_WHOLE, 0)
    if channel in (_STATUS_CHANNEL, _CLOSE_CHANNEL) or len(content) == at:
        return
    if channel not in outputs:
        outputs[channel] = plan.channel()
    masked = b"".join(outputs[channel].feed(content[at:]))
    if not masked:
        message.drop()
    elif masked != content[at:]:
        message.content = content[:at] + masked
