"""Waiting for humans: one query of the store for everybody who waits, and none while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from mitmproxy.connection import Client
from mitmproxy.flow import Flow

from addons.core.approval import Approval, Ask, State
from addons.edge.store import Store, StoreUnavailable
from addons.edge.store_thread import StoreThread


@dataclass(slots=True, eq=False)
class _Waiter:
    flow: Flow
    approval: Approval
    fault: StoreUnavailable | None = None


class Answers:
    """Flows of one worker process that wait, and the task that asks the store for them."""

    def __init__(self, store: StoreThread, now: Callable[[], float], interval_seconds: float = 0.25) -> None:
        self._store, self._now, self._interval_seconds = store, now, interval_seconds
        self._waiters: set[_Waiter] = set()
        self.stopping = False
        """The gateway stops: nobody waits any more."""
        self._task: asyncio.Task[None] | None = None

    async def hold(self, flow: Flow, approval: Approval, ask: Ask, seconds: float) -> tuple[Approval, bool]:
        """The approval after at most `seconds`, and whether it was used: if given, and the flow's client still there.

        The flow is intercepted meanwhile: viewers show it paused. Raises StoreUnavailable.
        """
        waiter = _Waiter(flow, approval)
        self._waiters.add(waiter)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        if self.stopping:
            seconds = 0
        flow.intercept()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await flow.wait_for_resume()
        finally:  # an intercepted flow that nobody resumes would hang for ever
            flow.resume()
            self._waiters.discard(waiter)
        if waiter.fault is not None:
            raise waiter.fault
        given = waiter.approval.state in (State.GRANTED, State.STANDING) and flow.client_conn.connected
        if given and await self._store.call(Store.consume, approval.id, self._now(), ask):
            stands = waiter.approval.state is State.STANDING
            return replace(waiter.approval, state=State.STANDING if stands else State.CONSUMED), True
        return waiter.approval, False

    def release(self, client: Client) -> None:
        """Ends the waiting of a client's flows."""
        for waiter in [waiter for waiter in self._waiters if waiter.flow.client_conn is client]:
            waiter.flow.resume()

    def stop(self) -> int:
        """Ends the waiting of all, for good; how many there were."""
        self.stopping = True
        for waiter in self._waiters:
            waiter.flow.resume()
        return len(self._waiters)

    async def _poll(self) -> None:
        while self._waiters:
            await asyncio.sleep(self._interval_seconds)
            try:
                found = await self._store.call(Store.approvals, {waiter.approval.id for waiter in self._waiters})
            except StoreUnavailable as fault:
                for waiter in self._waiters:
                    waiter.fault = fault
                    waiter.flow.resume()
                return
            for waiter in self._waiters:
                waiter.approval = found.get(waiter.approval.id, waiter.approval)
                if waiter.approval.state is not State.PENDING:
                    waiter.flow.resume()
