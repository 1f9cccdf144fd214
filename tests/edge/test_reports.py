"""What workers tell of themselves, read together; and the page of metrics, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from addons.cli.status import assess, assess_pipelines
from addons.edge.exposition import exposition
from addons.edge.meters import Meters
from addons.edge.reports import STALE_SECONDS, Reports, clear_reports, is_stale, read_reports, reports_folder

VERSION = "a" * 64


def report(worker: int = 0, **changes: Any) -> dict[str, Any]:
    meters = Meters()
    meters.request("prod", "deny", 'a "quoted" rule')
    meters.refusal("prod", "r", 403)
    meters.upstream("prod", 0.3)
    values: dict[str, Any] = {
        "worker": worker, "pid": os.getpid(), "written_at": time.time(), "started_at": 5.0, "policy": VERSION,
        "loaded_at": 7.0, "summary": "s", "proxy": "http://p", "health": "http://h", "reload": None, "connections": [],
        "reloads": {"loaded": 2, "failed": 1}, "waiting": 3, "meters": meters.snapshot(),
    }  # fmt: skip
    return {**values, **changes}


def test_prometheus_reads_the_page() -> None:
    families = text_string_to_metric_families(exposition([report(0), report(1)]).decode())
    samples = {(each.name, *sorted(each.labels.items())): each.value for family in families for each in family.samples}
    for worker in ("0", "1"):
        one = ("worker", worker)
        assert samples["chaperone_requests_total", ("connection", "prod"), ("rule", 'a "quoted" rule'),
                       ("verdict", "deny"), one] == 1  # fmt: skip
        assert samples["chaperone_refusals_total", ("code", "403"), ("connection", "prod"), ("reason", "r"), one] == 1
        assert samples["chaperone_reloads_total", ("outcome", "failed"), one] == 1
        assert samples["chaperone_policy_loaded_timestamp_seconds", one] == 7.0
        assert samples["chaperone_approvals_waiting", one] == 3
        assert samples["chaperone_policy_info", ("version", VERSION), one] == 1
        bucket = "chaperone_upstream_seconds_bucket"
        assert samples[bucket, ("connection", "prod"), ("le", "0.25"), one] == 0
        assert samples[bucket, ("connection", "prod"), ("le", "0.5"), one] == 1
        assert samples[bucket, ("connection", "prod"), ("le", "+Inf"), one] == 1
        assert samples["chaperone_upstream_seconds_sum", ("connection", "prod"), one] == pytest.approx(0.3)


async def test_every_worker_tells_of_all(tmp_path: Path) -> None:
    first, second = (Reports(tmp_path, index, lambda: {"of": "me"}) for index in (0, 1))
    keeping = [asyncio.ensure_future(each.keep()) for each in (first, second)]
    async with asyncio.timeout(5):
        while len(read_reports(reports_folder(tmp_path))) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [each["worker"] for each in await first.all()] == [0, 1]
    assert {file.stat().st_mode & 0o777 for file in reports_folder(tmp_path).iterdir()} == {0o600}
    for task in keeping:
        task.cancel()
    clear_reports(tmp_path)
    assert [each["worker"] for each in await second.all()] == [1]


def test_the_silent_and_the_dead_are_stale() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    now = time.time()
    assert not is_stale(report(), now)
    assert is_stale(report(), now + STALE_SECONDS + 1)
    assert is_stale(report(pid=ended.pid), now)


COLLECTED_AT = time.time()  # when the reports below were made, long before their tests run
FAILED = {"at": 1.0, "seconds": 0.1, "problems": ["x.yaml:7: is bad"]}


@pytest.mark.parametrize(
    ("reports", "up", "trouble"),
    [
        ([], False, []),
        ([report(written_at=0.0)], False, []),
        ([report(0), report(1)], True, []),
        ([report(0)], True, ["1 of 2 workers have reported of late"]),
        ([report(0), report(1, policy="b")], True, ["workers judge by different rules"]),
        ([report(0, reload=FAILED), report(1, reload=FAILED)], True, ["x.yaml:7: is bad"]),
    ],
)
def test_what_needs_attention(reports: list[dict[str, Any]], up: bool, trouble: list[str]) -> None:
    answer = assess(reports, 2, COLLECTED_AT)
    assert (answer["up"], answer["trouble"]) == (up, trouble)
    assert "meters" not in str(answer)


def pipeline(name: str, **changes: Any) -> dict[str, Any]:
    values = {
        "pipeline": name, "written_at": 1000.0, "sent": 5, "left_out": 1, "behind": 30, "oldest_at": 0.0,
        "failing_since": 0.0, "error": "", "send": "events", "to": "file",
    }  # fmt: skip
    return {**values, **changes}


PIPELINES = [
    pipeline("fine"),
    pipeline("late", oldest_at=940.0, failing_since=950.0, error="it is down"),
    pipeline("silent", written_at=900.0),
]


def test_metrics_of_pipelines() -> None:
    families = text_string_to_metric_families(exposition([], PIPELINES, now=1001.0).decode())
    samples = {(each.name, each.labels.get("pipeline")): each.value for family in families for each in family.samples}
    assert samples["chaperone_pipeline_sent_total", "fine"] == 5
    assert samples["chaperone_pipeline_left_out_total", "fine"] == 1
    assert samples["chaperone_pipeline_behind_bytes", "fine"] == 30
    assert [samples["chaperone_pipeline_behind_seconds", name] for name in ("fine", "late")] == [0.0, 61.0]
    assert [samples["chaperone_pipeline_failing", name] for name in ("fine", "late")] == [0.0, 1.0]
    assert [samples["chaperone_pipeline_up", name] for name in ("fine", "silent")] == [1.0, 0.0]


def test_metrics_of_the_archive() -> None:
    def told(**changes: Any) -> dict[str, float]:
        values = {
            "written_at": 1000.0,
            "every": 60.0,
            "error": "",
            "waiting_bytes": 30,
            "waiting_since": 940.0,
            "conflicts": {},
        }
        page = exposition([], archive=values | changes, now=1001.0)
        families = text_string_to_metric_families(page.decode())
        return {
            each.name.removeprefix("chaperone_archive_"): each.value for family in families for each in family.samples
        }

    assert told() == {"up": 1, "failing": 0, "waiting_bytes": 30, "waiting_seconds": 61, "conflicts": 0}
    bad = told(written_at=1.0, error="no such bucket", waiting_since=0.0, conflicts={"a": "b"})
    assert bad == {"up": 0, "failing": 1, "waiting_bytes": 30, "waiting_seconds": 0, "conflicts": 1}


def test_pipelines_that_need_attention() -> None:
    shown, trouble = assess_pipelines(PIPELINES, 1001.0)
    assert shown == PIPELINES
    assert trouble == [
        "pipeline late cannot send since 1970-01-01T00:15:50Z: it is down",
        "pipeline silent is not shipped: start `chaperone ship`",
    ]
