"""What masking takes: a tenth of the aim holds anywhere."""

from __future__ import annotations

import pytest

from addons.cli.ruleset import NO_SECRET_KEY
from addons.core.masking import Masker
from addons.policy import load_judgement
from scripts.devenv import bench, bench_masking, bench_report
from scripts.devenv.bench_scenarios import WrongAnswers
from tests.devenv.test_bench_decision import GENEROUS

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def masker() -> Masker:
    return load_judgement([str(bench.RULES)], NO_SECRET_KEY)[1]


def test_masking_is_fast_enough_anywhere(masker: Masker) -> None:
    report = bench_masking.measure(masker, 1)
    assert [case["name"] for case in report["cases"]] == ["list", "walk", "log"]
    for case in report["cases"]:
        assert case["ms"] < case["aim_ms"] * GENEROUS, case
    assert 400_000 < report["list_bytes"] < 450_000
    told = bench_report.table({"machine": {}, "masking": report, "scenarios": []})
    assert "masking: 1,000 values in 4" in told


def test_rules_that_mask_nothing_are_not_measured(masker: Masker) -> None:
    with pytest.raises(WrongAnswers, match="was not"):
        bench_masking.measure(masker.without(("secrets",)), 1)
