"""Masks what goes to the agent: asks the server only for forms that can be masked, then masks them.

Documents are replaced, watches and logs stream through a masker, output of exec and attach is masked message by
message, whatever its protocol. What cannot be masked becomes a 502. No policy here: it is in `core.masking`.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from mitmproxy.http import HTTPFlow

from addons.core.masking import Masker, MaskPlan, Reply, Unmaskable, refuse_reply, refuse_request
from addons.exchange import Exchange, exchange_of, need
from addons.masked_stream import MaskedStream, Outputs, mask_message
from addons.refusal import Disconnect, refuse, settled
from addons.upgrade_hooks import Passing


class Masking:
    """`masker` gives the rules an exchange is judged by; `disconnect` ends a client's connection."""

    def __init__(self, masker: Callable[[Exchange], Masker], disconnect: Disconnect) -> None:
        self._masker = masker
        self._disconnect = disconnect
        self._plans: WeakKeyDictionary[HTTPFlow, MaskPlan] = WeakKeyDictionary()
        self._outputs: WeakKeyDictionary[HTTPFlow, Outputs] = WeakKeyDictionary()

    def request(self, flow: HTTPFlow) -> None:
        """Plan the reply, ask for a form that can be masked, refuse what masking could not hold for."""
        if settled(flow):
            return
        exchange, headers = exchange_of(flow), flow.request.headers
        request = need(exchange.request, "the request")
        plan = self._plans[flow] = self._masker(exchange).plan(request, need(exchange.session, "session"))
        exchange.masked = True
        headers["accept-encoding"] = "identity"
        if plan.passes:
            return
        if plan.reply is Reply.OBJECTS:
            headers["accept"] = plan.accept(headers.get("accept", ""))
        if refusal := refuse_request(plan, request, headers, flow.request.raw_content or b"", exchange.body_object):
            refuse(flow, refusal)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Stream what need not be buffered: what is passed on as it is, watch events, long lists, text."""
        if exchange_of(flow).stays_here:
            return
        response, plan = need(flow.response, "the reply"), self._plan(flow)
        response.headers.set_all("warning", plan.mask_warnings(response.headers.get_all("warning")))
        mode = plan.mode_of(response.status_code, response.headers)
        if mode == "pass":
            response.stream = response.status_code != 101
        elif mode in ("frames", "list", "text"):
            MaskedStream.attach(flow, plan.stream(mode), self._disconnect)
        elif mode == "refuse" and plan.endless:
            flow.kill()  # to buffer it could take for ever

    def response(self, flow: HTTPFlow) -> None:
        """Replace a buffered reply by its masked form, or by a refusal."""
        response = need(flow.response, "the reply")
        if exchange_of(flow).stays_here or response.stream or response.status_code == 101:
            return
        plan = self._plan(flow)
        body, kind = response.raw_content or b"", response.headers.get("content-type", "")
        try:
            if plan.mode_of(response.status_code, response.headers) != "document":
                raise Unmaskable(f"its form is {kind or 'not named'}")
            response.content = plan.mask_document(body, kind)
        except Unmaskable as error:
            refuse(flow, refuse_reply(str(error)))

    def upgrade_message(self, passing: Passing) -> None:
        """Mask what a command or a proxied pod sends."""
        if not (plan := self._plan(passing.flow)).passes:
            mask_message(passing.message, plan, self._outputs.setdefault(passing.flow, {}))

    def _plan(self, flow: HTTPFlow) -> MaskPlan:
        return need(self._plans.get(flow), "the plan for masking the reply")
