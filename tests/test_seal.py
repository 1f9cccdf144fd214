"""The last gate: whatever was not decided, or would be read otherwise than it was judged, is not forwarded."""

from __future__ import annotations

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow, tutils

from addons.exchange import Exchange, IncompleteExchange, begin
from addons.seal import _DECIDED, Seal


def decided(body: bytes = b"", **headers: str) -> tuple[HTTPFlow, Exchange]:
    """A request on which every step has decided; what they decided does not matter here."""
    flow = tflow.tflow(req=tutils.treq(content=body))
    flow.request.headers.clear()
    flow.request.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    exchange = begin(flow, 0)
    for name in _DECIDED:
        setattr(exchange, name, True)
    return flow, exchange


def test_what_every_step_decided_on_is_sealed() -> None:
    for flow, exchange in (
        decided(),
        decided(b"{}", content_length="2"),
        decided(b"{}", transfer_encoding="chunked"),
    ):
        Seal().request(flow)
        assert exchange.sealed


@pytest.mark.parametrize("name", _DECIDED)
def test_what_one_step_did_not_decide_on_is_not(name: str) -> None:
    flow, exchange = decided()
    setattr(exchange, name, None)
    with pytest.raises(IncompleteExchange, match=name):
        Seal().request(flow)


def test_neither_is_a_body_that_was_not_there_to_be_judged_or_has_no_length() -> None:
    streamed, _ = decided(b"{}", content_length="2")
    streamed.request.stream = True
    endless, _ = decided(b"{}")
    for flow, why in [(streamed, "streamed"), (endless, "a request of its own")]:
        with pytest.raises(IncompleteExchange, match=why):
            Seal().request(flow)
