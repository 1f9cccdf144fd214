"""`scripts/bench`: the same requests straight to the cluster, through bare mitmproxy, and through Chaperone.

The arms take turns, in another order each round, and every reply is checked: what was asked must have reached the
cluster, once, and from Chaperone with the role's token and masked. A single wrong reply fails the whole run. How long
authentication, a decision, masking and the chain of the audit log take by themselves, and how fast `explain --batch`
answers, is measured without any of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from addons.cli.ruleset import NO_SECRET_KEY
from addons.policy import load_judgement
from scripts.devenv import (
    bench_audit,
    bench_authentication,
    bench_batch,
    bench_decision,
    bench_load,
    bench_machine,
    bench_masking,
    bench_recorded,
    bench_search,
    bench_sessions,
    bench_streams,
)
from scripts.devenv.bench_arms import ARMS, Arm, Bench
from scripts.devenv.bench_report import MEANING, Rounds, Sample, scenario_report, table, whole_report
from scripts.devenv.bench_scenarios import HEADLINE, QUICK, STANDARD, Scenario, WrongAnswers, every_scenario
from scripts.devenv.places import REPOSITORY, DevelopmentProblem
from scripts.devenv.processes import ChildExited

WARM_UP_SECONDS = 0.5
FIRST_SECONDS = 0.1
RULES = REPOSITORY / "rules"
AUTHENTICATION, DECISION, BATCH, MASKING, AUDIT = PARTS = (
    "authentication",
    "decision",
    "explain-batch",
    "masking",
    "audit",
)
"""What is measured without a gateway; chosen like a scenario."""
SESSIONS, STREAMS, RECORDED, SEARCH = FURTHER = ("sessions", "streams", "recorded", "search")
"""exec in a cluster, what lasts, what the audit log costs, a million events: when asked for, as each takes its time."""
RECORDED_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure."""

    parts: Sequence[str]
    scenarios: Sequence[Scenario]
    arms: Sequence[str]
    rounds: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command line."""
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    folder = Path(tempfile.mkdtemp(prefix="chaperone-bench-"))
    try:
        report = measure(plan, folder)
    except (DevelopmentProblem, ChildExited, WrongAnswers, OSError, httpx.HTTPError) as problem:
        for records in folder.glob("*/state"):
            shutil.rmtree(records)  # they can be large
        print(f"bench: error: {problem}\nbench: logs are in {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    shutil.rmtree(folder)
    print(json.dumps(report) if options.json else table(report))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures a stand-in API server directly, through bare mitmproxy and through Chaperone, by turns;\n"
        "and, without a gateway: authentication, decisions about requests, masking, the chain of the audit log and\n"
        "`chaperone explain --batch`.",
        epilog=f"{MEANING}\n\nScenarios measured unless told otherwise: {', '.join([*PARTS, *STANDARD])}. "
        f"Further: {', '.join([*FURTHER, *(name for name in every_scenario() if name not in STANDARD)])}.\n"
        f"The top level of the JSON is {HEADLINE}. More in docs/performance.md.",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="less than a minute: few scenarios, 3 rounds of 0.8 s")
    parser.add_argument("--rounds", type=_positive(int), metavar="N", help="turns of each arm (default 5)")
    parser.add_argument("--seconds", type=_positive(float), metavar="S", help="length of a turn (default 1.5)")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[*PARTS, *FURTHER, *every_scenario()],
        metavar="NAME",
        help="only this; may be repeated",
    )
    parser.add_argument(
        "--arm", action="append", choices=ARMS, metavar="NAME", help="only this; may be repeated (comparisons need all)"
    )
    return parser


def _positive[Number: (int, float)](kind: Callable[[str], Number]) -> Callable[[str], Number]:
    def parse(text: str) -> Number:
        value = kind(text)
        if not value > 0:
            raise ValueError(text)
        return value

    parse.__name__ = "positive number"  # what argparse calls it in a message
    return parse


def _plan(options: argparse.Namespace) -> Plan:
    known = every_scenario()
    names = options.scenario or [*PARTS, *(QUICK if options.quick else STANDARD)]
    return Plan(
        parts=[name for name in (*PARTS, *FURTHER) if name in names],
        scenarios=[known[name] for name in names if name in known],
        arms=[arm for arm in ARMS if arm in (options.arm or ARMS)],
        rounds=options.rounds or (3 if options.quick else 5),
        seconds=options.seconds or (0.8 if options.quick else 1.5),
    )


def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """The report on all of the plan. Raises WrongAnswers, ChildExited or DevelopmentProblem."""
    cores = bench_machine.choose_cores()
    machine = bench_machine.describe(cores, folder)
    parts = {name.replace("-", "_"): measure_part(name, plan, cores, folder) for name in plan.parts}
    reports = measure_scenarios(plan, folder, cores) if plan.scenarios else []
    facts = {"machine": machine, "rounds": plan.rounds, "seconds": plan.seconds, "measured_at": int(time.time())}
    return whole_report(reports, {**facts, **parts})


def measure_part(name: str, plan: Plan, cores: bench_machine.Cores, folder: Path) -> dict[str, Any]:
    """The report on what needs no load: measured on the core that would be the gateway's, sessions on all."""
    if name == SESSIONS:
        say("sessions: exec through a gateway and without, over WebSocket and SPDY")
        return bench_sessions.measure(folder, plan.rounds)
    if name == STREAMS:
        say(f"streams: {bench_streams.WATCHES} watches that wait, and a log of {bench_streams.LOG_BYTES // 10**6} MB")
        with bench_machine.pinned(cores.others), Bench(folder / STREAMS, bench_load.program(), cores) as bench:
            return bench_streams.measure(bench, folder)
    if name == RECORDED:
        say(f"recorded: {bench_recorded.RATE} requests a second, with the audit log written and without")
        load = bench_load.program()
        with bench_machine.pinned(cores.others), Bench(folder / RECORDED, load, cores) as bench:
            return bench_recorded.measure(bench, load, plan.rounds, RECORDED_SECONDS)
    if name == SEARCH:
        say(f"search: {bench_search.EVENTS:,} events are made up, indexed and searched; takes a minute")
        return bench_search.measure(folder / SEARCH)
    if name == AUTHENTICATION:
        say(f"authentication: {bench_authentication.TOKENS} tokens a round")
        with bench_machine.pinned(cores.gateway):
            return bench_authentication.measure(plan.rounds)
    if name == AUDIT:
        say(f"audit: {bench_audit.EVENTS:,} events a round")
        with bench_machine.pinned(cores.gateway):
            return bench_audit.measure(plan.rounds)
    say(f"{name}: by the rules in {RULES}")
    if name == BATCH:
        questions = int(bench_batch.AIM * plan.seconds * 2)
        return bench_batch.measure([RULES], plan.rounds, questions, cores.gateway)
    guardrails, masker = load_judgement([str(RULES)], NO_SECRET_KEY)
    with bench_machine.pinned(cores.gateway):
        if name == MASKING:
            return bench_masking.measure(masker, plan.rounds)
        cases = bench_decision.measure(guardrails, plan.rounds, plan.seconds)
    return {"rules": len(guardrails.rules), "cases": cases}


def measure_scenarios(plan: Plan, folder: Path, cores: bench_machine.Cores) -> list[dict[str, Any]]:
    """One report per scenario, in their order."""
    load = bench_load.program()
    turns = len(plan.scenarios) * len(plan.arms)
    minutes = turns * (plan.rounds * (plan.seconds + 0.2) + 1) / 60
    say(f"{len(plan.scenarios)} scenarios, {plan.rounds} rounds of {plan.seconds:g} s: about {minutes:.1f} minutes")
    reports = []
    with bench_machine.pinned(cores.others), Bench(folder, load, cores) as bench:
        arms = Arms(bench)
        for number, scenario in enumerate(plan.scenarios, 1):
            say(f"{number}/{len(plan.scenarios)} {scenario.name}: {scenario.title}")
            used = [arms.get(name, scenario.http2) for name in plan.arms]
            reports.append(scenario_report(scenario, measure_scenario(plan, scenario, used, bench, load)))
    return reports


class Arms:
    """Starts an arm when it is first needed, and keeps it: later its memory is that of a gateway that has worked."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._started: dict[tuple[str, bool], Arm] = {}

    def get(self, name: str, http2: bool) -> Arm:
        """The arm. Only Chaperone needs another process for HTTP/2: the others speak both by default."""
        key = (name, http2 and name == "chaperone")
        if key not in self._started:
            makers: Mapping[str, Callable[[], Arm]] = {
                "direct": self._bench.direct,
                "mitmproxy": self._bench.mitmproxy,
                "chaperone": lambda: self._bench.chaperone(http2),
            }
            self._started[key] = makers[name]()
        return self._started[key]


def measure_scenario(plan: Plan, scenario: Scenario, arms: Sequence[Arm], bench: Bench, load: Path) -> Rounds:
    """One sample per arm and round, after a turn of each that is not counted."""
    for arm in arms:
        take_sample(scenario, arm, bench, load, WARM_UP_SECONDS)
    rounds = []
    for number in range(plan.rounds):
        shift = number % len(arms)
        order = [*arms[shift:], *arms[:shift]]
        samples = {arm.name: take_sample(scenario, arm, bench, load, plan.seconds) for arm in order}
        rounds.append({arm.name: samples[arm.name] for arm in arms})
        rates = ", ".join(f"{arm.name} {samples[arm.name].rps:,.0f}/s" for arm in arms)
        say(f"  round {number + 1}/{plan.rounds}: {rates}")
    return rounds


def take_sample(scenario: Scenario, arm: Arm, bench: Bench, load: Path, seconds: float) -> Sample:
    """One turn of one arm. Raises WrongAnswers unless every reply was right and every request arrived once."""
    token = bench.token
    if arm.masks:
        token = bench.caller()
        bench_load.run(load, scenario, arm.target, token, FIRST_SECONDS, arm.masks)  # a role session is made once
    bench_load.take_counts(bench.control_port)
    meter = bench_machine.Meter(arm.child.pid if arm.child else None, bench.cores.gateway)
    measured = bench_load.run(load, scenario, arm.target, token, seconds, arm.masks)
    spent = meter.read()
    check(measured, bench_load.take_counts(bench.control_port), scenario, arm)
    return Sample(
        requests=measured["requests"],
        seconds=measured["seconds"],
        rps=measured["rps"],
        p50_ms=measured["p50_ms"],
        p99_ms=measured["p99_ms"],
        cpu_ms=None if spent.usage is None else spent.usage.cpu_seconds / measured["sent"] * 1000,
        peak_mb=None if spent.usage is None else spent.usage.peak_mb,
        others=spent.others,
        histogram=measured["histogram"],
    )


def check(measured: Mapping[str, Any], counts: Mapping[str, bench_load.Count], scenario: Scenario, arm: Arm) -> None:
    """Raises WrongAnswers, saying what went wrong, unless the arm did exactly what was asked of it."""
    where = f"{scenario.name} by {arm.name}"
    log = f"; its log is {arm.child.log}" if arm.child else ""
    if measured["failed"]:
        raise WrongAnswers(f"{where}: {measured['failed']} requests failed: {'; '.join(measured['errors'])}{log}")
    if not measured["requests"]:
        raise WrongAnswers(f"{where}: no request was answered in time{log}")
    arrived = counts.get(scenario.request.path.partition("?")[0], bench_load.Count(0, 0, 0))
    if arrived.requests != measured["sent"]:
        raise WrongAnswers(f"{where}: {measured['sent']} requests were sent and {arrived.requests} arrived{log}")
    wanted = measured["sent"] if arm.masks else 0
    if arrived.eks_tokens != wanted or arrived.no_tokens:
        raise WrongAnswers(
            f"{where}: {wanted} requests should have had an EKS token and {arrived.eks_tokens} had; "
            f"{arrived.no_tokens} had no token{log}"
        )


def say(message: str) -> None:
    """Progress, beside the result."""
    print(f"bench: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    raise SystemExit(main())
