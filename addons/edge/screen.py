"""What a viewer's list of flows holds: each exchange once, as it was last heard of, and only so many bytes of them.

An exchange that goes on is replaced by its later self, and never comes back once its final record is there.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from contextlib import suppress

from mitmproxy.addons.view import View
from mitmproxy.exceptions import FlowReadException
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

MAX_FLOWS = 5000
MAX_BYTES = 256 * 1024 * 1024
_PATIENCE_SECONDS = 5.0


class Screen:
    """Fills `view`, oldest out first."""

    def __init__(self, view: View, max_flows: int = MAX_FLOWS, max_bytes: int = MAX_BYTES) -> None:
        self._view, self._max_flows, self._max_bytes = view, max_flows, max_bytes
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._total = 0
        self._going_on: set[str] = set()
        self._left: dict[str, float] = {}

    def put(self, record: bytes, over: bool) -> None:
        """Shows a record; one that is no flow is passed over."""
        for flow in _flows(record):
            if not over and flow.id in self._sizes and flow.id not in self._going_on:
                continue  # it came late: the final record is shown already
            if over:
                self._going_on.discard(flow.id)
                self._left.pop(flow.id, None)
            else:
                self._going_on.add(flow.id)
            self._show(flow)
            self._total += len(record) - self._sizes.pop(flow.id, 0)
            self._sizes[flow.id] = len(record)
        self._forget_oldest()

    def left(self, flow_id: str, now: float) -> None:
        """An exchange goes on no longer; its final record may be on its way."""
        if flow_id in self._going_on:
            self._left[flow_id] = now

    def settle(self, now: float) -> None:
        """Says of exchanges whose final record does not come that this is so."""
        for flow_id in [flow_id for flow_id, since in self._left.items() if now - since > _PATIENCE_SECONDS]:
            del self._left[flow_id]
            self._going_on.discard(flow_id)
            if (flow := self._view.get_by_id(flow_id)) is not None:
                flow.marked = ":grey_question:"
                flow.comment = f"ended without a record: was the gateway killed, is the disk full? ({flow.comment})"
                self._view.update([flow])

    def _show(self, flow: HTTPFlow) -> None:
        if (shown := self._view.get_by_id(flow.id)) is None:
            self._view.add([flow])
        else:
            shown.set_state(flow.get_state())
            self._view.update([shown])

    def _forget_oldest(self) -> None:
        while len(self._sizes) > self._max_flows or self._total > self._max_bytes:
            flow_id, size = self._sizes.popitem(last=False)
            self._total -= size
            self._going_on.discard(flow_id)
            self._left.pop(flow_id, None)
            if (flow := self._view.get_by_id(flow_id)) is not None:
                self._view.remove([flow])


def _flows(record: bytes) -> list[HTTPFlow]:
    with suppress(FlowReadException):
        return [flow for flow in FlowReader(io.BytesIO(record)).stream() if isinstance(flow, HTTPFlow)]
    return []
