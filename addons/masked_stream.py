"""The two ways masked bytes leave piece by piece: a streamed body and messages of an upgraded connection.

mitmproxy's rules for a stream callable: return [] to withhold (an empty chunk would end the body), never raise (the
stream would go on with a hole in it). So whatever happens here, nothing is sent after it and the connection is ended.
"""

from __future__ import annotations

import asyncio

from mitmproxy.http import HTTPFlow

from addons.core.channels import Channel
from addons.core.masking import MaskPlan, StreamMasker, Unmaskable
from addons.core.wires import Message
from addons.exchange import need
from addons.refusal import Disconnect

_STREAMS = (Channel.STDOUT, Channel.STDERR)
_OUTPUTS = (*_STREAMS, Channel.TEXT, Channel.BINARY)

Outputs = dict[Channel, StreamMasker]


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


def mask_message(message: Message, plan: MaskPlan, outputs: Outputs) -> None:
    """Mask one message from the server in place. `outputs` keeps a masker per channel."""
    channel = message.lane.channel
    if message.from_client or channel not in _OUTPUTS:
        return
    if channel not in outputs:
        outputs[channel] = plan.channel()
    masked = outputs[channel].feed(message.data)
    if message.ends and channel in _STREAMS:
        masked += outputs[channel].finish()
    message.data = b"".join(masked)
