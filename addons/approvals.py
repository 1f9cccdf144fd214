"""Holds what needs a human: asks, waits a short while inside the hook, and lets the later gates run after the answer.

The wait is an interception, so a viewer sees the request paused. What is forwarded is what was asked about: an approval
is bound to a digest, which is taken again after the wait, with the uid of the object that is there then. This does not
decide what needs an answer (guardrails), who may give it, or what its states are (`core/approval.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons.core.approval import State
from addons.core.decision import Decision, Verdict
from addons.core.declined import Declined
from addons.core.grant import Grant
from addons.core.guardrails import Unanswered
from addons.core.guardrails.announce import unanswered
from addons.core.question import CHANGED, DECLINED, STOPPING, TOO_MANY, object_target, refusal
from addons.core.wires import Message
from addons.edge.answers import Answers
from addons.edge.live import Live
from addons.edge.store import Store, TooManyPending
from addons.edge.store_thread import StoreThread
from addons.exchange import Exchange, IncompleteExchange, Scrub, exchange_of, need
from addons.question import as_sent, digest_of, question_of, session_question
from addons.refusal import refuse, settled
from addons.upgrade_hooks import Passing


class Approvals:
    """`uid` asks, by a grant's role, which object is at a path; `live` shows who waits; `hold_seconds` is how long,
    before the client is told to come back.
    """

    def __init__(
        self, store: StoreThread, uid: Callable[[Grant, str], Awaitable[str]], now: Callable[[], float], scrub: Scrub,
        live: Live, answers: Answers, hold_seconds: float = 20,
    ) -> None:  # fmt: skip
        self._store, self._uid, self._now, self._scrub, self._live = store, uid, now, scrub, live
        self._hold_seconds = hold_seconds
        self._answers = answers
        self._declined = Declined()

    def request(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Approved at once, or after a human said so."""
        if settled(flow):
            return None
        exchange = exchange_of(flow)
        verdict = need(exchange.decision, "decision").verdict
        if verdict is Verdict.REQUIRE_APPROVAL:
            return self._answerable(flow, exchange)
        if verdict not in (Verdict.ALLOW, Verdict.WARN):
            raise IncompleteExchange("a denied request was not refused")
        exchange.approved = True
        return None

    def responseheaders(self, flow: HTTPFlow) -> None:
        """What the cluster declined is not asked about once more."""
        exchange, response = exchange_of(flow), need(flow.response, "response")
        if exchange.approval is not None and exchange.sealed and response.status_code != 101:
            self._declined.add(exchange.approval.digest, self._now())

    def upgrade_message(self, passing: Passing) -> Awaitable[None] | None:
        """A line, file or port that needs a human waits as long as its question stands; output goes on meanwhile."""
        decision, refusal = passing.message.decision, passing.message.refusal
        if refusal is not None or decision is None or decision.verdict is not Verdict.REQUIRE_APPROVAL:
            return None
        return self._within(passing.flow, passing.message, decision)

    async def _within(self, flow: HTTPFlow, message: Message, decision: Decision) -> None:
        exchange, now = exchange_of(flow), self._now()
        digest, ask = session_question(exchange, message)
        try:
            case = await self._store.call(Store.claim, digest, ask, now)
        except TooManyPending:
            message.refusal = TOO_MANY
            return
        approval, used = case.approval, case.used
        if approval.state is State.PENDING:
            approval, used = await self._answers.hold(flow, approval, ask, approval.expires_at - now)
        if not used:
            message.refusal = refusal(approval, need(exchange.request, "request"), decision.rule, decision.reason)
        message.notes.append(f"approval {approval.id}: {approval.state.value}")

    def client_disconnected(self, client: Client) -> None:
        """Whoever asked is gone: stop waiting. The question stays, for when they come back."""
        self._answers.release(client)

    async def _answerable(self, flow: HTTPFlow, exchange: Exchange) -> None:
        try:
            await self._require(flow, exchange)
        except Unanswered as error:
            refuse(flow, unanswered(error))

    async def _require(self, flow: HTTPFlow, exchange: Exchange) -> None:
        await self._store.call(
            Store.check
        )  # before the cluster is asked anything about what nobody could be asked about
        uid = await self._uid_now(exchange)
        digest, sent = digest_of(flow, exchange, uid), as_sent(flow)
        request, decision, now = need(exchange.request, "request"), need(exchange.decision, "decision"), self._now()
        again = request.upgrade == "spdy"  # or the only try of a client that speaks nothing else
        if again and self._declined.lately(digest, now):
            refuse(flow, DECLINED)
            return
        ask = question_of(flow, exchange, uid, self._scrub)
        try:
            case = await self._store.call(Store.claim, digest, ask, now)
        except TooManyPending:
            refuse(flow, TOO_MANY)
            return
        exchange.approval, used = case.approval, case.used
        if case.approval.state is State.PENDING and not (again and case.approval.asked_at < now):
            self._live.show(flow, exchange)
            exchange.approval, used = await self._answers.hold(flow, case.approval, ask, self._hold_seconds)
        if settled(flow):
            return
        if not used and self._answers.stopping and exchange.approval.state is State.PENDING:
            refuse(flow, STOPPING)
        elif not used:
            refuse(flow, refusal(exchange.approval, request, decision.rule, decision.reason))
        elif as_sent(flow) != sent or digest_of(flow, exchange, await self._uid_now(exchange)) != digest:
            refuse(flow, CHANGED)
        else:
            exchange.approved = True

    async def _uid_now(self, exchange: Exchange) -> str:
        target = object_target(need(exchange.request, "request"))
        return await self._uid(need(exchange.grant, "grant"), target) if target else ""
