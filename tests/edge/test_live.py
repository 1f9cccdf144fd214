"""What viewers are shown of exchanges that go on, and that nothing rests on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow, Response
from structlog.testing import capture_logs

from addons.core.approval import Approval, State
from addons.core.decision import Decision, Verdict
from addons.core.identity import Identity
from addons.core.kube_request import KubeRequest
from addons.edge import live as edge_live
from addons.edge.flow_record import FlowRecords
from addons.edge.follow import LiveTail
from addons.edge.live import Live, clear_live, live_folder
from addons.edge.progress import Progress
from addons.edge.sample import Sample
from addons.exchange import Exchange
from tests.support.flows import NOW, begun, records

SENT = "secret-the-agent-wrote"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    made = Live(tmp_path, FlowRecords(lambda _, body, __: body.replace(SENT.encode(), b"*****")), 0.01)
    yield made
    made.close()


def waiting() -> tuple[HTTPFlow, Exchange]:
    """A request with a secret in its body and tokens in its headers that waits for an answer."""
    flow, exchange = begun(
        (b"Authorization", b"Bearer t0ken"),
        identity=Identity(iss="https://idp", sub="agent", aud=(), exp=1),
        request=KubeRequest(method="POST", path="/x", target="/x", verb="create", resource="secrets", namespace="shop"),
        decision=Decision(verdict=Verdict.REQUIRE_APPROVAL, risk=60, rule="risky", reason="it is"),
        approval=Approval(id="abcd2345", digest="d", state=State.PENDING, asked_at=NOW, expires_at=NOW + 9),
    )
    flow.request.content = f'{{"password":"{SENT}"}}'.encode()
    flow.intercept()
    return flow, exchange


async def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def shown(state: Path) -> list[HTTPFlow]:
    return records(b"".join(content(file) for file in live_folder(state).glob("*.mitm")))


def content(file: Path) -> bytes:
    """What the file holds; nothing once it is gone, which may be between its listing and its reading."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


async def test_who_waits_is_shown_with_what_decides_it(live: Live, tmp_path: Path) -> None:
    flow, exchange = waiting()
    live.show(flow, exchange)
    await until(lambda: shown(tmp_path))
    [seen] = shown(tmp_path)
    assert (seen.id, seen.marked, seen.intercepted) == (flow.id, ":hourglass_flowing_sand:", False)
    for part in ("abcd2345", "agent", "create secrets", "shop", "risky", "60", "chaperone approvals approve abcd2345"):
        assert part in seen.comment, part
    assert seen.metadata["chaperone"]["over"] is False
    [file] = live_folder(tmp_path).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not [secret for secret in (SENT, "t0ken") if secret.encode() in file.read_bytes()]
    flow.resume()
    await until(lambda: shown(tmp_path)[0].marked == ":arrow_forward:")
    assert shown(tmp_path)[0].comment == "still running; require_approval by risky (risk 60): it is"
    live.over(flow)
    await until(lambda: not shown(tmp_path))


async def test_a_stream_is_shown_as_far_as_it_is_kept(live: Live, tmp_path: Path) -> None:
    flow, exchange = begun()
    flow.response = Response.make(200)
    progress = Progress(sample=Sample(True, limit=10))
    live.show(flow, exchange, progress)
    assert progress.sample is not None
    for kept in (b"one", b"onetwo", b"onetwothre"):
        progress.sample(kept[progress.sample.size :])
        await until(lambda kept=kept: [each.response.raw_content for each in shown(tmp_path)] == [kept])  # type: ignore[misc, union-attr]
    [before] = live_folder(tmp_path).iterdir()
    stamp = before.stat().st_mtime_ns
    progress.sample(b"no more is kept")
    await asyncio.sleep(0.1)
    assert before.stat().st_mtime_ns == stamp


async def test_what_is_over_at_once_is_never_written(live: Live, tmp_path: Path) -> None:
    for _ in range(3):
        flow, exchange = waiting()
        live.show(flow, exchange)
        live.over(flow)
    await asyncio.sleep(0.1)
    assert not live_folder(tmp_path).exists()
    assert live._timer is None, "nothing runs while nothing is shown"


async def test_a_disk_that_cannot_be_written_stops_nothing(live: Live, tmp_path: Path) -> None:
    live_folder(tmp_path).write_text("in the way")
    flow, exchange = waiting()
    with capture_logs() as logs:
        live.show(flow, exchange)
        await until(lambda: logs)
        flow.resume()
        await asyncio.sleep(0.1)
        live.over(flow)
        await asyncio.sleep(0.1)
    assert [entry["event"] for entry in logs] == ["not shown to viewers"], "it is said once"
    live_folder(tmp_path).unlink()
    flow, exchange = waiting()
    live.show(flow, exchange)
    await until(lambda: shown(tmp_path))


async def test_only_so_many_are_shown_and_all_have_their_turn(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_live, "MAX_SHOWN", 5)
    monkeypatch.setattr(edge_live, "_MAX_WRITTEN_AT_ONCE", 2)
    for _ in range(9):
        live.show(*waiting())
    await until(lambda: len(shown(tmp_path)) == 5)
    await asyncio.sleep(0.1)
    assert len(shown(tmp_path)) == 5


async def test_nothing_is_left(live: Live, tmp_path: Path) -> None:
    live.show(*waiting())
    await until(lambda: shown(tmp_path))
    live.close()
    assert [*live_folder(tmp_path).iterdir()] == []


async def test_what_a_killed_gateway_left_is_removed(live: Live, tmp_path: Path) -> None:
    live.show(*waiting())
    await until(lambda: shown(tmp_path))
    tail = LiveTail(tmp_path)
    [(flow_id, record)] = tail.changes()
    assert record is not None
    clear_live(tmp_path)
    assert [*tail.changes()] == [(flow_id, None)]
    clear_live(tmp_path)
