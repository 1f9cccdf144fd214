"""Readiness: everything is looked at, seldom enough, and nothing waits for what does not answer."""

from __future__ import annotations

import asyncio
import json

import pytest

from addons.edge import readiness as edge_readiness
from addons.edge.readiness import FRESH_SECONDS, Readiness


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Disk:
    """A need that can go away, be slow, and counts how often it was looked at."""

    def __init__(self) -> None:
        self.why, self.looked, self.answers = "", 0, asyncio.Event()
        self.answers.set()
        self.fault: Exception | None = None

    async def check(self) -> str:
        self.looked += 1
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        return self.why


async def test_it_says_what_is_missing_and_notices_when_that_changes() -> None:
    clock, disk = Clock(), Disk()
    readiness = Readiness({"record": disk.check}, clock)
    readiness.holds["serving"] = "not yet"
    assert await readiness.missing() == {"serving": "not yet"}
    readiness.holds.clear()
    page = await readiness.page()
    assert (page.status, json.loads(page.body)) == (200, {"ready": True, "missing": {}})
    disk.why = "full"
    clock.now += FRESH_SECONDS
    page = await readiness.page()
    assert (page.status, json.loads(page.body)) == (503, {"ready": False, "missing": {"record": "full"}})
    disk.fault = OSError("gone")
    clock.now += FRESH_SECONDS
    assert await readiness.missing() == {"record": "gone"}
    disk.fault = LookupError()
    clock.now += FRESH_SECONDS
    assert await readiness.missing() == {"record": "LookupError"}
    disk.fault, disk.why = None, ""
    clock.now += FRESH_SECONDS
    assert await readiness.missing() == {}


async def test_it_looks_once_however_many_ask() -> None:
    clock, disk = Clock(), Disk()
    readiness = Readiness({"record": disk.check}, clock)
    await asyncio.gather(*(readiness.missing() for _ in range(50)))
    assert disk.looked == 1
    clock.now += FRESH_SECONDS - 0.01
    await readiness.missing()
    assert disk.looked == 1


async def test_what_does_not_answer_is_missing_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_readiness, "PATIENCE_SECONDS", 0.01)
    clock, disk = Clock(), Disk()
    disk.answers.clear()
    readiness = Readiness({"record": disk.check}, clock)
    assert await readiness.missing() == {"record": "no answer for 0 s"}
    clock.now += 60
    assert await readiness.missing() == {"record": "no answer for 60 s"}
    assert disk.looked == 1, "no second one behind the first"
    disk.answers.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await readiness.missing() == {}


async def test_it_can_be_closed_while_it_waits() -> None:
    disk = Disk()
    disk.answers.clear()
    readiness = Readiness({"record": disk.check, "never": disk.check}, Clock())
    asking = asyncio.ensure_future(readiness.missing())
    await asyncio.sleep(0.01)
    await readiness.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
