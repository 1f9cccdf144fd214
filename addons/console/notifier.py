"""Tells the channels of questions, and of what has become of them: looks into the store, sends, tries again.

It decides nothing. Trouble with one channel is logged and delays nothing else; of what is under way when the process
ends, another one takes care after a while.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import structlog

from addons.console.parts import Parts
from addons.core.notify import event, signature, slack
from addons.core.notify.channel import Channel, Slack, Webhook
from addons.core.notify.event import Event
from addons.core.notify.outbox import Stage, given_up, retry_at
from addons.edge.notify_store import Delivery, done, postpone, take
from addons.edge.post import NotSent
from addons.edge.store import StoreUnavailable

log = structlog.get_logger()

POLL_SECONDS = 0.2
_AT_ONCE = {Webhook: 8, Slack: 1}
"""Messages of one channel under way at once: Slack takes about one a second."""
_DRAIN_SECONDS = 5


class Notifier:
    """Belongs to one event loop; `run` until it is cancelled, then `close`."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._senders = parts, parts.senders
        self._sending: dict[asyncio.Task[None], str] = {}
        self._quiet_until: dict[str, float] = {}
        self._store_failed = False

    async def run(self) -> None:
        """Look again and again; what goes wrong with one look is logged."""
        while True:
            look = asyncio.ensure_future(self.look())
            await asyncio.wait({look})
            self._report(look)
            await asyncio.sleep(POLL_SECONDS)

    async def look(self) -> None:
        """Take what is due, and begin to send it."""
        under_way = Counter(self._sending.values())
        try:
            for channel in self._parts.policy.channels:
                await self._take(channel, _AT_ONCE[type(channel.place)] - under_way[channel.name])
        except StoreUnavailable as error:
            if not self._store_failed:
                log.error("notifications wait: the store cannot be used", error=str(error))
            self._store_failed = True
        else:
            self._store_failed = False

    async def close(self) -> None:
        """Give what is under way a moment to end."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _take(self, channel: Channel, room: int) -> None:
        now = self._parts.now()
        if room <= 0 or now < self._quiet_until.get(channel.name, 0.0):
            return
        for delivery in await self._parts.store.call(take, channel, room, now):
            task = asyncio.ensure_future(self._deliver(channel, delivery))
            self._sending[task] = channel.name
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.pop(task, None)
        self._report(task)

    def _report(self, task: asyncio.Task[None]) -> None:
        """What nobody has foreseen. Its text may hold anything, so only its kind is logged."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("notifications failed", error=type(error).__name__)

    async def _deliver(self, channel: Channel, delivery: Delivery) -> None:
        about = {"channel": channel.name, "approval": delivery.case.approval.id, "stage": delivery.stage.value}
        try:
            message = await self._send(channel, delivery)
        except NotSent as error:
            await self._failed(delivery, error, about)
        else:
            await self._settle(delivery, message)
            log.info("notification sent", **about, tries=delivery.tries)

    async def _failed(self, delivery: Delivery, error: NotSent, about: dict[str, str]) -> None:
        now = self._parts.now()
        if error.wait:
            self._quiet_until[delivery.channel] = now + error.wait
        if given_up(delivery.tries):
            log.error("notification given up", **about, tries=delivery.tries, error=str(error))
            await self._settle(delivery, delivery.message)
            return
        due_at = max(now + error.wait, retry_at(now, delivery.tries, random.random()))
        log.warning("notification not sent", **about, tries=delivery.tries, error=str(error))
        await self._write(postpone, delivery, due_at)

    async def _settle(self, delivery: Delivery, message: str) -> None:
        await self._write(done, delivery, message)

    async def _write(self, function: Any, delivery: Delivery, value: Any) -> None:
        """What cannot be written is sent once more, when its time with this process is over."""
        try:
            await self._parts.store.call(function, delivery, value)
        except StoreUnavailable as error:
            log.error("notification not noted", approval=delivery.case.approval.id, error=str(error))

    async def _send(self, channel: Channel, delivery: Delivery) -> str:
        """What the channel calls the message. Raises NotSent."""
        approval = delivery.case.approval
        digest = signature.opaque(self._parts.key, approval.digest)
        happened = event.ending(approval) if delivery.stage is Stage.CLOSING else Event.REQUESTED
        match channel.place:
            case Webhook() as place:
                answers = self._parts.url(f"/approvals/webhook/{channel.name}") if place.callback else ""
                body = event.document(delivery.case, happened, channel.name, digest, answers)
                await self._senders.webhook(place, body, self._parts.now())
                return ""
            case Slack() as place:
                return await self._to_slack(place, delivery, happened, digest)

    async def _to_slack(self, place: Slack, delivery: Delivery, happened: Event, digest: str) -> str:
        shown = slack.message(delivery.case, happened, digest, buttons=bool(place.people))
        if happened is Event.REQUESTED and not delivery.message:
            answer = await self._senders.slack(place, "chat.postMessage", {"channel": place.channel, **shown})
            return str(answer.get("ts", ""))
        if delivery.message:  # otherwise there is no message to change
            arguments = {"channel": place.channel, "ts": delivery.message, **shown}
            await self._senders.slack(place, "chat.update", arguments)
        return delivery.message
