"""Metrics of all workers in the text form of Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/

Each series carries its worker, so that whichever worker answers a scrape tells the same of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from addons.edge.archive_status import is_quiet
from addons.edge.meters import BOUNDS
from addons.edge.pipeline_status import is_silent

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_LIMITS = [*map(str, BOUNDS), "+Inf"]


def exposition(
    reports: Sequence[Mapping[str, Any]],
    pipelines: Sequence[Mapping[str, Any]] = (),
    archive: Mapping[str, Any] | None = None,
    now: float = 0.0,
) -> bytes:
    """The page, from what each worker, each pipeline and the archiver report; `now` is Unix seconds."""
    registry = CollectorRegistry()
    registry.register(_Workers(reports))
    if pipelines:
        registry.register(_Pipelines(pipelines, now))
    if archive is not None:
        registry.register(_Archive(archive, now))
    return generate_latest(registry)


class _Pipelines(Collector):
    def __init__(self, pipelines: Sequence[Mapping[str, Any]], now: float) -> None:
        self._pipelines, self._now = pipelines, now

    def collect(self) -> Iterator[Metric]:
        yield self._counter("sent", "Events, alerts or traces that were taken", "sent")
        yield self._counter("left_out", "What a receiver never took", "left_out")
        yield self._gauge("up", "1 while somebody runs it", lambda each: not is_silent(each, self._now))
        yield self._gauge("failing", "1 while nothing can be sent", lambda each: each["failing_since"] > 0)
        yield self._gauge("behind_bytes", "Audit log that was not looked at", lambda each: each["behind"])
        yield self._gauge("behind_seconds", "Age of what waits longest", self._age)

    def _age(self, each: Mapping[str, Any]) -> float:
        return max(0.0, self._now - each["oldest_at"]) if each["oldest_at"] else 0.0

    def _counter(self, name: str, text: str, key: str) -> Metric:
        family = CounterMetricFamily(f"chaperone_pipeline_{name}", text, labels=("pipeline",))
        for each in self._pipelines:
            family.add_metric((each["pipeline"],), each[key])
        return family

    def _gauge(self, name: str, text: str, value: Callable[[Mapping[str, Any]], float]) -> Metric:
        family = GaugeMetricFamily(f"chaperone_pipeline_{name}", text, labels=("pipeline",))
        for each in self._pipelines:
            family.add_metric((each["pipeline"],), float(value(each)))
        return family


class _Archive(Collector):
    def __init__(self, told: Mapping[str, Any], now: float) -> None:
        self._told, self._now = told, now

    def collect(self) -> Iterator[Metric]:
        told, since = self._told, self._told["waiting_since"]
        yield _one("up", "1 while somebody runs it", not is_quiet(told, self._now))
        yield _one("failing", "1 while nothing gets to the bucket", bool(told["error"]))
        yield _one("waiting_bytes", "Evidence that is not in the bucket yet", told["waiting_bytes"])
        yield _one("waiting_seconds", "Age of what waits longest", max(0.0, self._now - since) if since else 0.0)
        yield _one(
            "conflicts", "Files that are not copied, as the bucket has others in their place", len(told["conflicts"])
        )


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"chaperone_archive_{name}", text, float(value))


class _Workers(Collector):
    def __init__(self, reports: Sequence[Mapping[str, Any]]) -> None:
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        yield self._counter("requests", "Requests by what was decided", ("connection", "verdict", "rule"))
        yield self._counter("refusals", "Refused requests and replies", ("connection", "reason", "code"))
        yield self._upstream()
        reloads = CounterMetricFamily("chaperone_reloads", "Attempts to reload the rules", labels=("worker", "outcome"))
        for report in self._reports:
            for outcome, count in report["reloads"].items():
                reloads.add_metric((_worker(report), outcome), count)
        yield reloads
        yield self._gauge("policy_loaded_timestamp_seconds", "When the rules in force were loaded", "loaded_at")
        yield self._gauge("approvals_waiting", "Requests that wait for a human now", "waiting")
        yield self._gauge("start_timestamp_seconds", "When the worker was started", "started_at")
        policy = GaugeMetricFamily("chaperone_policy_info", "The rules in force", labels=("worker", "version"))
        for report in self._reports:
            policy.add_metric((_worker(report), report["policy"]), 1)
        yield policy

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Metric:
        family = CounterMetricFamily(f"chaperone_{name}", text, labels=("worker", *labels))
        for report in self._reports:
            for values, count in report["meters"][name]:
                family.add_metric((_worker(report), *values), count)
        return family

    def _gauge(self, name: str, text: str, key: str) -> Metric:
        family = GaugeMetricFamily(f"chaperone_{name}", text, labels=("worker",))
        for report in self._reports:
            family.add_metric((_worker(report),), report[key])
        return family

    def _upstream(self) -> Metric:
        text = "Seconds until the cluster began its reply"
        family = HistogramMetricFamily("chaperone_upstream_seconds", text, labels=("worker", "connection"))
        for report in self._reports:
            for values, (*counts, total) in report["meters"]["upstream"]:
                buckets = list(zip(_LIMITS, accumulate(counts), strict=True))
                family.add_metric((_worker(report), *values), buckets, total)
        return family


def _worker(report: Mapping[str, Any]) -> str:
    return str(report["worker"])
