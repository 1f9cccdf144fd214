"""What writing and syncing the audit log adds to a request at a steady rate, beside a gateway that does not do it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from scripts.devenv import bench_load
from scripts.devenv.bench_arms import Arm, Bench
from scripts.devenv.bench_scenarios import HEADLINE, WrongAnswers, every_scenario

RATE = 200
"""Requests a second, over 20 connections that stay open."""
AIM_MS = 1.0
"""Added to the median request."""
_FIRST_SECONDS = 0.5
_STALL_SECONDS = 0.3
"""For so long something else may have the machine; otherwise the rate was not kept."""
UNRECORDED = "scripts.devenv.bench_unrecorded"


def measure(bench: Bench, load: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """The report: p50 of both by round, and the median of what is added. Raises WrongAnswers."""
    arms = [bench.chaperone(http2=False), bench.chaperone(http2=False, module=UNRECORDED)]
    found: list[dict[str, float]] = []
    for number in range(rounds):
        order = arms if number % 2 == 0 else arms[::-1]
        found.append({arm.name: _p50(arm, bench, load, seconds) for arm in order})
    recorded, unrecorded = (arm.name for arm in arms)
    added = [each[recorded] - each[unrecorded] for each in found]
    return {
        "rate": RATE,
        "recorded_p50_ms": round(median(each[recorded] for each in found), 3),
        "unrecorded_p50_ms": round(median(each[unrecorded] for each in found), 3),
        "added_p50_ms": round(median(added), 3),
        "added_p50_ms_range": [round(min(added), 3), round(max(added), 3)],
        "aim_ms": AIM_MS,
        "met": median(added) <= AIM_MS,
    }


def _p50(arm: Arm, bench: Bench, load: Path, seconds: float) -> float:
    scenario, token = replace(every_scenario()[HEADLINE], rate=RATE), bench.caller()
    bench_load.run(load, scenario, arm.target, token, _FIRST_SECONDS, arm.masks)  # a role session is made once
    measured = bench_load.run(load, scenario, arm.target, token, seconds, arm.masks)
    if measured["failed"] or measured["requests"] < RATE * (seconds - _STALL_SECONDS):
        raise WrongAnswers(f"{arm.name}: {measured['errors']} errors at {measured['rps']:.0f} requests a second")
    return float(measured["p50_ms"])
