"""The measurement measures what it says: the load and the API server's stand-in are the real programs."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.devenv import bench, bench_load, bench_machine, bench_recorded, bench_report, bench_search, bench_streams
from scripts.devenv.bench import check, take_sample
from scripts.devenv.bench_arms import Arm, Bench
from scripts.devenv.bench_load import Count, Target
from scripts.devenv.bench_report import Sample
from scripts.devenv.bench_scenarios import HEADLINE, HOST, QUICK, REQUESTS, STANDARD, WrongAnswers, every_scenario

SCENARIOS = every_scenario()
GET = SCENARIOS[HEADLINE]
TABLE = REQUESTS[0].accept


@pytest.fixture(scope="module")
def load() -> Path:
    return bench_load.program()


@pytest.fixture(scope="module")
def running(load: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("bench"), load, bench_machine.Cores(None, None)) as started:
        yield started


@pytest.fixture
def cluster(running: Bench) -> Iterator[httpx.Client]:
    target = running.direct().target
    trust = ssl.create_default_context(cafile=str(target.ca_file))
    plain = {"accept-encoding": ""}
    with httpx.Client(base_url=f"https://{target.dial}", verify=trust, trust_env=False, headers=plain) as client:
        yield client


@pytest.mark.parametrize("name", [*STANDARD, "list-h1-20", "secrets-h2-1"])
def test_every_request_arrives_and_is_answered(name: str, running: Bench, load: Path) -> None:
    sample = take_sample(SCENARIOS[name], running.direct(), running, load, 0.3)
    assert 0 < sample.p50_ms <= sample.p99_ms
    assert sum(count for _, count in sample.histogram) == sample.requests
    assert sample.rps == pytest.approx(sample.requests / sample.seconds)


def test_through_mitmproxy_as_it_is(running: Bench, load: Path) -> None:
    arm = running.mitmproxy()
    for name in (HEADLINE, "get-h2-1", "secrets-h1-new"):
        sample = take_sample(SCENARIOS[name], arm, running, load, 0.5)
        assert sample.requests > 0
        if Path("/proc/self/stat").exists():
            assert sample.peak_mb is not None
            assert 20 < sample.peak_mb < 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arm: replace(arm, masks=True), 'has "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ" in it'),
        (lambda arm: replace(arm, target=replace(arm.target, authority="other.test")), "certificate"),
        (lambda arm: replace(arm, target=replace(arm.target, dial="127.0.0.1:1")), "refused"),
    ],
    ids=["a secret that was not masked", "a wrong name", "nothing there"],
)
def test_wrong_replies_fail_the_run(change: Callable[[Arm], Arm], message: str, running: Bench, load: Path) -> None:
    with pytest.raises(WrongAnswers, match=message):
        take_sample(SCENARIOS["secrets-h1-20"], change(running.direct()), running, load, 0.1)


DIRECT = Arm(name="direct", target=Target(authority=HOST, ca_file=Path("ca")))
GATEWAY = replace(DIRECT, name="chaperone", masks=True)
DONE = {"sent": 9, "requests": 8, "failed": 0, "errors": []}


@pytest.mark.parametrize(
    ("arm", "measured", "arrived", "message"),
    [
        (DIRECT, DONE, Count(8, 0, 0), "9 requests were sent and 8 arrived"),
        (DIRECT, DONE, Count(10, 0, 0), "9 requests were sent and 10 arrived"),
        (DIRECT, DONE, Count(9, 1, 0), "0 requests should have had an EKS token and 1 had"),
        (GATEWAY, DONE, Count(9, 8, 0), "9 requests should have had an EKS token and 8 had"),
        (GATEWAY, DONE, Count(9, 9, 1), "1 had no token"),
        (DIRECT, DONE | {"failed": 1, "errors": ["503 x"]}, Count(9, 0, 0), "1 requests failed: 503 x"),
        (DIRECT, DONE | {"requests": 0}, Count(9, 0, 0), "no request was answered"),
    ],
    ids=["cached", "repeated", "a role's token", "the caller's token", "no token", "failed", "too slow"],
)
def test_what_is_wrong_is_said(arm: Arm, measured: dict[str, Any], arrived: Count, message: str) -> None:
    with pytest.raises(WrongAnswers, match=message):
        check(measured, {GET.request.path: arrived}, GET, arm)


@pytest.mark.parametrize(("arm", "eks"), [(DIRECT, 0), (GATEWAY, 9)], ids=["direct", "gateway"])
def test_what_is_right_passes(arm: Arm, eks: int) -> None:
    check(DONE, {GET.request.path: Count(9, eks, 0), "/api": Count(1, 0, 1)}, GET, arm)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)
def test_the_stand_in_answers_as_the_api_server(request_: Any, cluster: httpx.Client) -> None:
    reply = cluster.get(request_.path, headers={"Accept": request_.accept})
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-cache, private"
    body = reply.json()
    assert body["kind"] == ("Table" if request_.accept == TABLE else "SecretList")
    assert request_.contains in reply.text
    if len(reply.content) > 2048:
        assert reply.headers["transfer-encoding"] == "chunked"
    plain = cluster.get(request_.path, headers={"Accept": "application/json"}).json()
    assert plain["kind"] in ("Pod", "PodList", "SecretList")


def test_the_stand_in_compresses_large_replies_only(cluster: httpx.Client) -> None:
    accept = {"Accept": TABLE, "Accept-Encoding": "gzip"}
    large, small = (cluster.get(request.path, headers=accept) for request in (REQUESTS[1], REQUESTS[0]))
    assert large.headers["content-encoding"] == "gzip"
    assert len(large.json()["rows"]) == 500
    assert "content-encoding" not in small.headers


@pytest.mark.parametrize(("path", "group", "resource"), [("/api", "", "secrets"), ("/apis", "apps", "deployments")])
def test_the_stand_in_can_be_discovered(path: str, group: str, resource: str, cluster: httpx.Client) -> None:
    (found,) = cluster.get(path).json()["items"]
    assert found["metadata"].get("name", "") == group
    assert resource in [each["resource"] for each in found["versions"][0]["resources"]]


def test_the_stand_in_knows_nothing_else(cluster: httpx.Client) -> None:
    assert cluster.get("/api/v1/nodes").status_code == 404
    assert cluster.post(GET.request.path).json()["kind"] == "Status"


def sample(rps: float, p50: float = 1.0, peak: float | None = 80.0, others: float | None = 0.0) -> Sample:
    return Sample(
        requests=10,
        seconds=1,
        rps=rps,
        p50_ms=p50,
        p99_ms=2 * p50,
        cpu_ms=None if peak is None else 1000 / rps,
        peak_mb=peak,
        others=others,
        histogram=[[10, 10]],
    )


ROUNDS: list[Mapping[str, Sample]] = [
    {"direct": sample(1000), "mitmproxy": sample(100, 10), "chaperone": sample(150, 8, 90)},
    # A slow moment: both are slower, the ratio stays.
    {"direct": sample(900), "mitmproxy": sample(50, 20), "chaperone": sample(80, 16, 91)},
    {"direct": sample(1000), "mitmproxy": sample(100, 10), "chaperone": sample(140, 9, 92)},
]


def test_ratios_are_taken_within_rounds() -> None:
    report = bench_report.scenario_report(GET, ROUNDS)
    assert report["rps_vs_mitmproxy"] == 1.5
    assert report["rps_vs_mitmproxy_range"] == [1.4, 1.6]
    assert report["rps_vs_direct"] == 0.14
    assert (report["p50_added_ms_vs_mitmproxy"], report["p99_added_ms_vs_mitmproxy"]) == (-2, -4)
    assert report["rss_mb"] == 91
    assert report["requests_per_cpu_vs_mitmproxy"] == 1.5
    assert report["arms"]["mitmproxy"]["rps"] == 100
    assert report["arms"]["direct"]["requests"] == 30
    assert not report["noisy_vs_mitmproxy"]


def test_noise_is_said() -> None:
    disturbed = [{name: replace(each, others=0.4) for name, each in arms.items()} for arms in ROUNDS]
    for rounds in ([*ROUNDS, {**ROUNDS[0], "chaperone": sample(300)}], disturbed):
        report = bench_report.whole_report([bench_report.scenario_report(GET, rounds)], {"machine": {"cpu": "x"}})
        assert report["scenarios"][0]["noisy_vs_mitmproxy"]
        assert "NOISY" in bench_report.table(report)
    assert "others took 40% of the gateway's core" in bench_report.table(report)


def test_the_headline_is_on_top() -> None:
    other = bench_report.scenario_report(SCENARIOS["get-h1-1"], [{**ROUNDS[0], "chaperone": sample(1)}])
    report = bench_report.whole_report([other, bench_report.scenario_report(GET, ROUNDS)], {"machine": {"cpu": "x"}})
    keys = ("rps_vs_mitmproxy", "p50_added_ms_vs_mitmproxy", "p99_added_ms_vs_mitmproxy", "rss_mb")
    assert [report[key] for key in keys] == [1.5, -2, -4, 91]
    assert json.loads(json.dumps(report))["scenarios"][1]["name"] == HEADLINE
    text = bench_report.table(report)
    assert "chaperone is 1.50 x mitmproxy (1.40 to 1.60)" in text
    assert bench_report.MEANING in text


def test_without_the_headline_nothing_is_claimed() -> None:
    assert bench_report.whole_report([], {})["rps_vs_mitmproxy"] is None


def test_a_comparison_needs_both_sides() -> None:
    report = bench_report.scenario_report(GET, [{"direct": sample(5, peak=None)}])
    assert "rps_vs_mitmproxy" not in report
    assert report["arms"]["direct"]["peak_mb"] is None


def test_what_the_system_does_not_tell_is_left_out() -> None:
    rounds = [{name: sample(each.rps, peak=None, others=None) for name, each in arms.items()} for arms in ROUNDS]
    report = bench_report.scenario_report(GET, rounds)
    assert (report["requests_per_cpu_vs_mitmproxy"], report["rss_mb"]) == (None, None)
    text = bench_report.table(bench_report.whole_report([report], {"machine": {"cpu": "x"}}))
    assert "1.50 x mitmproxy" in text
    assert "processor time" not in text


def test_scenarios_are_what_their_names_say() -> None:
    assert set(QUICK) <= set(STANDARD) <= set(SCENARIOS)
    assert all(name == scenario.name for name, scenario in SCENARIOS.items())
    assert len({scenario.title for scenario in SCENARIOS.values()}) == len(SCENARIOS) == 18
    assert (GET.connections, GET.streams, GET.http2, GET.new_connections) == (20, 1, False, False)


@pytest.mark.parametrize("arguments", [["--scenario", "x"], ["--rounds", "0"], ["--seconds", "-1"], ["--arm", "x"]])
def test_what_it_does_not_know_it_refuses(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.alone
def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--json", "--arm", "direct", "--scenario", HEADLINE, "--rounds", "2", "--seconds", "0.1"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert len(report["scenarios"][0]["arms"]["direct"]["samples"]) == 2
    assert {"cpu", "cores", "kernel", "python", "mitmproxy"} <= report["machine"].keys()
    assert "round 2/2" in output.err


def test_what_lasts_comes_through_both_gateways_whole(load: Path, tmp_path: Path) -> None:
    with Bench(tmp_path / "bench", load, bench_machine.Cores(None, None)) as own:
        report = bench_streams.measure(own, tmp_path, watches=3, log_bytes=3_000_000)
        assert list(report["arms"]) == ["mitmproxy", "chaperone"]
        assert all(arm["log_megabytes_per_second"] > 0 for arm in report["arms"].values())
    told = bench_report.table({"machine": {}, "streams": report, "scenarios": []})
    assert "3 watches that wait, and a log of 3 MB" in told


@pytest.mark.alone
def test_what_the_audit_log_costs_is_measured_beside_a_gateway_without_it(load: Path, tmp_path: Path) -> None:
    with Bench(tmp_path / "bench", load, bench_machine.Cores(None, None)) as own:
        report = bench_recorded.measure(own, load, rounds=2, seconds=1.0)
        lines = [
            sum(
                file.read_bytes().count(b"\n")
                for file in (tmp_path / "bench" / name).glob("state/sessions/*/audit.jsonl")
            )
            for name in ("chaperone", "bench_unrecorded")
        ]
    assert lines[0] >= 2 * 2 * bench_recorded.RATE and lines[1] == 0
    assert report["unrecorded_p50_ms"] > 0 and report["added_p50_ms_range"][0] <= report["added_p50_ms"]
    told = bench_report.table({"machine": {}, "recorded": report, "scenarios": []})
    assert "recorded: 200 requests a second" in told


def test_searches_are_measured_and_told(tmp_path: Path) -> None:
    report = bench_search.measure(tmp_path / "state", events=2_000, sessions=20, casts=5)
    assert report["search_seconds"].keys() == bench_search.SEARCHES.keys()
    told = bench_report.table({"machine": {}, "search": report, "scenarios": []})
    assert "search: 2,000 events" in told and "  a text of an exec" in told


@pytest.mark.parametrize(("path", "said"), [("_WATCH", "started"), ("_LOG", "the log after")])
def test_a_stream_that_stops_short_fails_the_run(
    path: str, said: str, running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_streams, path, "/version?%d" if path == "_LOG" else "/version")
    monkeypatch.setattr(bench_streams, "SECONDS", 1)
    arm = bench_streams.streaming_mitmproxy(running, tmp_path)
    with pytest.raises(WrongAnswers, match=said):
        asyncio.run(bench_streams.measure_arm(arm, running.token, watches=1, log_bytes=1000))


@pytest.mark.alone
def test_pinning_ends() -> None:
    before = bench_machine.affinity()
    cores = bench_machine.choose_cores()
    assert {cores.gateway, cores.others} <= before | {None}
    assert (cores.gateway != cores.others) is (len(before) > 1)
    with bench_machine.pinned(cores.gateway):
        assert bench_machine.affinity() == (before if cores.gateway is None else {cores.gateway})
    assert bench_machine.affinity() == before


@pytest.mark.alone
def test_a_process_is_measured_with_its_children() -> None:
    meter = bench_machine.Meter(os.getpid(), max(bench_machine.affinity(), default=None))
    if not Path("/proc/self/stat").exists():
        assert meter.read() == bench_machine.Spent(None, None)
        return
    before = bench_machine.usage(os.getpid())
    with subprocess.Popen([sys.executable, "-c", WORK], **PIPES) as child:
        assert child.stdout
        child.stdout.readline()
        spent = meter.read()
        child.communicate(b"\n")
    assert before
    assert spent.usage
    assert spent.usage.peak_mb - before.peak_mb > 50
    assert spent.usage.cpu_seconds > 0.1
    assert spent.others is not None
    assert 0 <= spent.others < 1.1


WORK = """
import time
work = bytearray(50_000_000)
while time.process_time() < 0.2: pass
print(flush=True)
input()
"""
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
