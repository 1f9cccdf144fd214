"""Pipelines while they run: what is new is sent, in order, again after trouble, and each alert once."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from structlog.typing import EventDict

from addons.core.audit import Stage
from addons.edge import shipper as module
from addons.edge.pipeline_cursor import Cursor
from addons.edge.pipeline_status import forget_statuses, read_statuses
from addons.edge.post import NotSent
from tests.core.pipelines.events import call
from tests.edge.pipelines import append, denial, pipeline, record, ship_once, shipping
from tests.support.going_on import wait_for
from tests.support.receiver import Answer, Receiver, Sent, receiver


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "retry_at", lambda now, *_: now + 0.02)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(module, "STATUS_SECONDS", 0.02)


def hook(siem: Receiver, more: str = "") -> str:
    return f"webhook: {{url: '{siem.url}', secretFile: secret}}{more}"


def ids(siem: Receiver) -> list[str]:
    return [event["auditID"] for sent in siem.sent for event in sent.document["events"]]


async def come(siem: Receiver, count: int, seconds: float = 40.0) -> list[str]:
    """The ids that came, once there are so many."""
    end = time.monotonic() + seconds
    while len(ids(siem)) < count:
        assert time.monotonic() < end, ids(siem)
        await asyncio.sleep(0.01)
    return ids(siem)


async def test_what_is_new_is_sent_in_order_and_once(tmp_path: Path) -> None:
    with receiver() as siem:
        to = pipeline(tmp_path, hook(siem))
        append(tmp_path, "s", [record(number) for number in range(3)])
        async with shipping(to, tmp_path):
            assert await come(siem, 3) == ["0", "1", "2"]
            append(tmp_path, "s", [record(3)])
            append(tmp_path, "t", [record(4)])
            assert set((await come(siem, 5))[3:]) == {"3", "4"}
        append(tmp_path, "s", [record(5)])
        async with shipping(to, tmp_path):
            assert (await come(siem, 6))[5:] == ["5"]
        assert siem.sent[0].document["pipeline"] == "p"


async def test_many_sessions_share_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARCELS", 7)
    with receiver() as siem:
        for session in range(5):
            append(tmp_path, f"s{session}", [record(session * 100 + number) for number in range(30)])
        async with shipping(pipeline(tmp_path, hook(siem)), tmp_path):
            found = await come(siem, 150)
    by_session: defaultdict[int, list[int]] = defaultdict(list)
    for number in map(int, found):
        by_session[number // 100].append(number % 100)
    assert dict(by_session) == {session: list(range(30)) for session in range(5)}
    first = {int(number) // 100 for number in found[:40]}
    assert len(first) == 5, "each has its turn"


async def test_what_was_before_its_first_start_is_left_out_on_request(tmp_path: Path) -> None:
    with receiver() as siem:
        append(tmp_path, "s", [record(1)])
        to = pipeline(tmp_path, hook(siem, ", history: false"))
        async with shipping(to, tmp_path):
            await asyncio.sleep(0.2)
            append(tmp_path, "s", [record(2)])
            append(tmp_path, "new", [record(3)])
            assert set(await come(siem, 2)) == {"2", "3"}


async def test_an_outage_is_told_once_and_nothing_is_lost(tmp_path: Path) -> None:
    down = True

    def answer(_: Sent) -> Answer:
        return (503, {}, b"") if down else (204, {}, b"")

    with receiver(answer) as siem, structlog.testing.capture_logs() as logged:
        append(tmp_path, "s", [record(1), record(2)])
        async with shipping(pipeline(tmp_path, hook(siem)), tmp_path):
            await come(siem, 6)
            (status,) = read_statuses(tmp_path)
            assert status["failing_since"] > 0
            assert (status["error"], status["behind"] > 0) == ("it answered with status 503", True)
            down = False
            siem.sent.clear()
            await come(siem, 2)
            append(tmp_path, "s", [record(3)])
            assert await come(siem, 3) == ["1", "2", "3"]
            await said(logged, "pipeline resumed")
    about_it = [each["event"] for each in logged if each["event"].startswith("pipeline")]
    assert about_it == ["pipeline interrupted", "pipeline resumed"]
    (status,) = read_statuses(tmp_path)
    assert (status["sent"], status["error"], status["failing_since"]) == (3, "", 0.0)


async def said(logged: list[EventDict], event: str) -> EventDict:
    end = time.monotonic() + 40
    while True:
        for each in logged:
            if each["event"] == event:
                return each
        assert time.monotonic() < end, logged
        await asyncio.sleep(0.01)


async def test_a_receiver_that_is_down_delays_no_other(tmp_path: Path) -> None:
    with receiver(lambda _: (503, {}, b"")) as down, receiver() as up:
        append(tmp_path, "s", [record(1)])
        async with (
            shipping(pipeline(tmp_path, hook(down), "down"), tmp_path),
            shipping(pipeline(tmp_path, hook(up), "up"), tmp_path),
        ):
            assert await come(up, 1) == ["1"]
            await asyncio.to_thread(wait_for, lambda: len(read_statuses(tmp_path)) == 2)
            assert [each["pipeline"] for each in read_statuses(tmp_path)] == ["down", "up"]


async def test_what_is_never_taken_is_found_and_left_out(tmp_path: Path) -> None:
    def answer(sent: Sent) -> Answer:
        refused = any(event["auditID"] == "13" for event in sent.document["events"])
        return (400, {}, b"") if refused else (204, {}, b"")

    with receiver(answer) as siem, structlog.testing.capture_logs() as logged:
        append(tmp_path, "s", [record(number) for number in range(30)])
        async with shipping(pipeline(tmp_path, hook(siem)), tmp_path):
            await said(logged, "event not taken")
            append(tmp_path, "s", [record(30)])
            end = time.monotonic() + 30
            while ids(siem)[-1] != "30":
                assert time.monotonic() < end
                await asyncio.sleep(0.01)
    taken = [event["auditID"] for sent in siem.sent if answer(sent)[0] == 204 for event in sent.document["events"]]
    assert taken == [str(number) for number in range(31) if number != 13]
    (left_out,) = [each for each in logged if each["event"] == "event not taken"]
    assert left_out["reference"] == "13"
    tried = [sent for sent in siem.sent if [event["auditID"] for event in sent.document["events"]] == ["13"]]
    assert len(tried) >= module.MAX_REFUSALS


async def test_each_alert_fires_once(tmp_path: Path) -> None:
    with receiver() as siem:
        to = pipeline(tmp_path, hook(siem, ", send: alerts"))
        append(tmp_path, "s", [record(0), denial(1), denial(2), record(3)])
        async with shipping(to, tmp_path):
            await asyncio.to_thread(siem.until, 1)
            append(tmp_path, "s", [denial(4)])
            await asyncio.sleep(0.2)
        async with shipping(to, tmp_path):
            append(tmp_path, "s", [denial(5), record(6)])
            await asyncio.sleep(0.3)
        alerts = [alert for sent in siem.sent for alert in sent.document["events"]]
    assert [(alert["rule"], alert["severity"], alert["event"]["auditID"]) for alert in alerts] == [
        ("secrets", "critical", "1")
    ]


async def test_alerts_that_are_not_asked_for(tmp_path: Path) -> None:
    with receiver() as siem:
        append(tmp_path, "s", [denial(1)])
        await ship_once(pipeline(tmp_path, hook(siem, ", send: alerts, select: {severities: [low]}")), tmp_path)
        assert siem.sent == []


async def test_traces_go_on_after_a_restart(tmp_path: Path) -> None:
    def spans() -> list[str]:
        wholes = [sent.document["resourceSpans"][0]["scopeSpans"][0]["spans"] for sent in collector.sent]
        return [span["name"] for whole in wholes for span in whole]

    with receiver(lambda _: (200, {}, b"")) as collector:
        to = pipeline(tmp_path, f"otlp: {{url: '{collector.url}'}}, send: traces")
        append(tmp_path, "s", [record(1, stage=Stage.REQUEST_RECEIVED, code=0)])
        await ship_once(to, tmp_path)
        append(tmp_path, "s", [record(1)])
        await ship_once(to, tmp_path)
        assert spans() == ["decide", "get secrets", "upstream"]


async def test_selected_events_alone(tmp_path: Path) -> None:
    with receiver() as siem:
        append(tmp_path, "s", [record(1), denial(2), record(3, call("GET /version"))])
        await ship_once(pipeline(tmp_path, hook(siem, ", select: {verdicts: [deny]}")), tmp_path)
        await ship_once(pipeline(tmp_path, hook(siem, ", select: {verdicts: [deny]}")), tmp_path)
        assert ids(siem) == ["2"]


async def test_once_says_that_it_failed(tmp_path: Path) -> None:
    append(tmp_path, "s", [record(1)])
    with receiver(lambda _: (503, {}, b"")) as siem, pytest.raises(NotSent):
        await ship_once(pipeline(tmp_path, hook(siem)), tmp_path)


async def test_sessions_that_were_removed(tmp_path: Path) -> None:
    with receiver() as siem:
        to = pipeline(tmp_path, hook(siem))
        append(tmp_path, "other", [record(0)])
        append(tmp_path, "s", [record(1)]).read_bytes()
        async with shipping(to, tmp_path):
            await come(siem, 2)
            (tmp_path / "sessions" / "s" / "audit.jsonl").unlink()
            await asyncio.sleep(0.2)
            append(tmp_path, "s", [record(2)])
            assert (await come(siem, 3))[-1] == "2"


async def test_a_cursor_that_cannot_be_written_sends_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, failing = Cursor.commit, [True] * 3

    def full(self: Cursor, *arguments: Any) -> None:
        if failing and arguments[0]:
            failing.pop()
            raise OSError("No space left on device")
        commit(self, *arguments)

    monkeypatch.setattr(Cursor, "commit", full)
    with receiver() as siem, structlog.testing.capture_logs() as logged:
        append(tmp_path, "s", [record(1)])
        async with shipping(pipeline(tmp_path, hook(siem)), tmp_path):
            await come(siem, 1)
            append(tmp_path, "s", [record(2)])
            assert await come(siem, 2) == ["1", "2"]
    assert [each["event"] for each in logged][:2] == ["pipeline interrupted", "pipeline resumed"]


async def test_a_session_that_is_being_written_to_is_behind(tmp_path: Path) -> None:
    with receiver(lambda _: (503, {}, b"")) as siem:
        append(tmp_path, "s", [record(1)])
        async with shipping(pipeline(tmp_path, hook(siem)), tmp_path):
            await come(siem, 2)
            (status,) = read_statuses(tmp_path)
    assert status["behind"] == len(record(1))
    assert 1_763_929_000 < status["oldest_at"] < 1_763_929_010


def test_statuses_of_pipelines_that_are_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    for name, at in (("gone", 5.0), ("elsewhere", time.time()), ("ours", 5.0)):
        (folder / f"{name}.json").write_bytes(orjson.dumps({"pipeline": name, "written_at": at}))
    forget_statuses(tmp_path, ["ours"])
    assert [each["pipeline"] for each in read_statuses(tmp_path)] == ["elsewhere", "ours"]
