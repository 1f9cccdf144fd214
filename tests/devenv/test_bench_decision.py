"""What is measured without a gateway: that it is the real thing, that a slow-down shows, and floors that hold anywhere.

The aims themselves are for a quiet machine; what is required here is a tenth of them.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from addons.cli.ruleset import NO_SECRET_KEY
from addons.core.guardrails import GuardrailSet
from addons.edge.oidc import Verifier
from addons.policy import load_judgement
from scripts.devenv import (
    bench,
    bench_audit,
    bench_authentication,
    bench_batch,
    bench_decision,
    bench_report,
)
from scripts.devenv.bench_decision import CASES
from scripts.devenv.bench_scenarios import WrongAnswers

pytestmark = pytest.mark.alone

GENEROUS = 10
SECONDS = 0.2
SLOW_RULE = """\
apiVersion: chaperone/v1
kind: Guardrail
metadata: {name: slow}
spec:
  description: Goes through some thousand characters, whatever is asked.
  match: {apiGroups: ["*"], resources: ["*/*"], verbs: ["*"]}
  when: |
    "0123456789abcdef".split("").all(a, "0123456789abcdef".split("").all(b,
      "0123456789abcdef".split("").all(c, a + b + c != "")))
  risk: 0
  reason: r
  hint: h
  tests:
    - {expect: match, request: GET /api/v1/namespaces/a/pods}
    - {expect: no-match, request: GET /version}
"""


@pytest.fixture(scope="module")
def pack() -> GuardrailSet:
    return load_judgement([str(bench.RULES)], NO_SECRET_KEY)[0]


def test_decisions_are_fast_enough_anywhere(pack: GuardrailSet) -> None:
    for case in bench_decision.measure(pack, 2, SECONDS):
        assert case["empty_p50_us"] > 0
        assert case["p50_us_range"][0] <= case["p50_us"] <= case["p50_us_range"][1]
        assert case["p50_us"] < case["aim_us"] * GENEROUS, case
        assert case["met"] is (case["p50_us"] <= case["aim_us"])


def test_a_planted_slow_down_shows(pack: GuardrailSet) -> None:
    privileged = pack.rules["no-privileged-containers"]
    many = [replace(privileged, name=f"copy-{number}") for number in range(500)]
    (*_, before), (*_, after) = (
        bench_decision.measure(rules, 1, SECONDS) for rules in (pack, GuardrailSet([*pack.rules.values(), *many]))
    )
    assert after["ratio"] > 2 * before["ratio"]
    assert not after["met"]


def test_rules_that_stop_nothing_are_not_measured() -> None:
    with pytest.raises(WrongAnswers, match="do not deny a privileged Pod"):
        bench_decision.measure(GuardrailSet(), 1, SECONDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"target": "/api/v1/nothing/{}"}, "not read"), ({"body": b"{"}, "not read")],
    ids=["an unknown resource", "a broken body"],
)
def test_only_what_is_decided_counts(change: dict[str, object], message: str, pack: GuardrailSet) -> None:
    case = replace(CASES[-1], **change)  # type: ignore[arg-type]
    with pytest.raises(WrongAnswers, match=message):
        bench_decision.Desk(pack).decide(case, next(case.targets()))


def test_the_pod_is_as_large_as_is_said_and_spelled_as_clients_do() -> None:
    create = CASES[-1]
    assert bench_decision.BODY_BYTES <= len(create.body) < bench_decision.BODY_BYTES * 1.1
    assert create.body == json.dumps(json.loads(create.body), separators=(",", ":")).encode()


def test_authentication_is_fast_enough_anywhere() -> None:
    report = bench_authentication.measure(2)
    assert [case["name"] for case in report["cases"]] == ["seen", "new"]
    for case in report["cases"]:
        assert case["us"] < case["aim_us"] * GENEROUS, case
    told = bench_report.table({"machine": {}, "authentication": report, "scenarios": []})
    assert "authentication: 400 tokens a round\n  a token seen before " in told


def test_what_accepts_forged_tokens_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "verify", AsyncMock())
    before = threading.active_count()
    with pytest.raises(WrongAnswers, match="somebody else"):
        bench_authentication.measure(1)
    assert threading.active_count() == before, "what is measured next has the machine for itself"


def test_the_chain_is_fast_enough_anywhere() -> None:
    report = bench_audit.measure(2)
    assert [case["name"] for case in report["cases"]] == ["event", "checkpoint", "verify"]
    for case in report["cases"]:
        assert case["us"] < case["aim_us"] * GENEROUS, case
    told = bench_report.table({"machine": {}, "audit": report, "scenarios": []})
    assert "audit: 2,000 events a round, of " in told


def test_what_takes_a_changed_event_for_genuine_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_audit, "read_link", lambda *_: None)
    with pytest.raises(WrongAnswers, match="found to be genuine"):
        bench_audit.measure(1)


def test_a_batch_is_fast_enough_anywhere() -> None:
    report = bench_batch.measure([bench.RULES], 1, 1000, None)
    assert report["per_second"] > bench_batch.AIM / GENEROUS, report
    assert (report["questions"], report["met"]) == (1000, report["per_second"] >= bench_batch.AIM)


def test_a_slow_batch_shows(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(SLOW_RULE)
    before, after = (bench_batch.measure(folders, 1, 200, None) for folders in ([bench.RULES], [bench.RULES, tmp_path]))
    assert after["per_second"] < before["per_second"] / 2


def test_the_report_says_what_was_missed() -> None:
    case = {"name": "n", "title": "get a pod", "p50_us": 151.0, "p99_us": 1.0, "empty_p50_us": 1.0, "ratio": 2.0}
    decision = {"rules": 9, "cases": [{**case, "aim_us": 150, "met": False}]}
    batch = {"per_second": 1600, "per_second_range": [1, 2], "questions": 5, "aim_per_second": 1500, "met": True}
    found = {
        "direct_megabytes_per_second": 90.0, "megabytes_per_second": 40.5, "echo_p50_ms": [0.5, 1.8],
        "echo_p99_ms": [2.0, 8.0], "echo_added_p99_ms": 6.0, "met": False,
    }  # fmt: skip
    sessions = {"aim_megabytes_per_second": 20.0, "aim_added_ms": 5.0, "protocols": {"spdy": found}}
    facts = {"machine": {"cpu": "x"}, "decision": decision, "explain_batch": batch, "sessions": sessions}
    text = bench_report.table(bench_report.whole_report([], facts))
    assert "150 MISSED" in text
    assert "1,600 answers a second (1 to 2), aim 1,500 met" in text
    assert "judged by 9 rules" in text
    assert "spdy       40.5 MB/s (direct 90), echo p50 1.8 ms (direct 0.5)" in text
    assert "added 6 ms: NOT MET" in text
