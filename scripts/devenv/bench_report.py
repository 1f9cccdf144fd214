"""From the samples of all rounds to medians, ratios and what is printed.

A ratio is taken within a round, between samples a second apart, and the median of these ratios is what counts: a
machine that slows down for a while changes both sides of one ratio, not the result.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scripts.devenv.bench_scenarios import HEADLINE, Scenario

type Rounds = Sequence[Mapping[str, Sample]]
"""One mapping per round, from the name of an arm to its sample."""

NOISY = 0.25
"""A ratio whose rounds differ by more than this share of their median says little."""
DISTURBED = 0.15
"""So does one that was measured while somebody else took this share of the gateway's core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One arm in one round. Processor time and peak memory are the gateway's; None without one, or off Linux.

    `others` is the share of the gateway's core that somebody else took meanwhile.
    """

    requests: int
    seconds: float
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float | None
    peak_mb: float | None
    others: float | None
    histogram: Sequence[Sequence[int]]


def scenario_report(scenario: Scenario, rounds: Rounds) -> dict[str, Any]:
    """Medians of every arm, and Chaperone against the others where they were measured."""
    arms = {name: _arm([each[name] for each in rounds]) for name in rounds[0]}
    report: dict[str, Any] = {"name": scenario.name, "title": scenario.title, "arms": arms}
    if "chaperone" in arms:
        for other in ("mitmproxy", "direct"):
            if other in arms:
                report |= _comparison(rounds, other)
        report["rss_mb"] = arms["chaperone"]["peak_mb"]
    if "rps_vs_mitmproxy" in report:
        report["requests_per_cpu_vs_mitmproxy"] = _requests_per_cpu(rounds)
    return report


def _arm(samples: Sequence[Sample]) -> dict[str, Any]:
    return {
        **{field: _median([getattr(sample, field) for sample in samples]) for field in _MEASURES},
        "requests": sum(sample.requests for sample in samples),
        "samples": [asdict(sample) for sample in samples],
    }


_MEASURES = ("rps", "p50_ms", "p99_ms", "cpu_ms", "peak_mb", "others")


def _comparison(rounds: Rounds, other: str) -> dict[str, Any]:
    """Request rate as a factor and latency as a difference, each with the lowest and highest round."""
    factors = [each["chaperone"].rps / each[other].rps for each in rounds]
    spread = max(factors) - min(factors)
    others = [sample.others for each in rounds for sample in each.values() if sample.others is not None] or [0.0]
    return {
        f"rps_vs_{other}": round(statistics.median(factors), 3),
        f"rps_vs_{other}_range": [round(min(factors), 3), round(max(factors), 3)],
        f"p50_added_ms_vs_{other}": _difference(rounds, other, "p50_ms"),
        f"p99_added_ms_vs_{other}": _difference(rounds, other, "p99_ms"),
        f"noisy_vs_{other}": spread > NOISY * statistics.median(factors) or statistics.median(others) > DISTURBED,
    }


def _requests_per_cpu(rounds: Rounds) -> float | None:
    """As the factor of request rates, per second of the gateway's processor time: unmoved by what others run."""
    return _median(
        [
            each["mitmproxy"].cpu_ms / each["chaperone"].cpu_ms
            for each in rounds
            if each["mitmproxy"].cpu_ms and each["chaperone"].cpu_ms
        ]
    )


def _difference(rounds: Rounds, other: str, field: str) -> float:
    added: list[float] = [getattr(each["chaperone"], field) - getattr(each[other], field) for each in rounds]
    return round(statistics.median(added), 3)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 3) if known else None


def whole_report(scenarios: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `--json` prints. The top-level numbers are those of HEADLINE; null where it was not measured.

    `facts` may hold the reports of parts, by the names in `_PARTS`.
    """
    headline: Mapping[str, Any] = next((each for each in scenarios if each["name"] == HEADLINE), {})
    keys = ("rps_vs_mitmproxy", "p50_added_ms_vs_mitmproxy", "p99_added_ms_vs_mitmproxy", "rss_mb")
    return {
        "scenario": HEADLINE,
        **{key: headline.get(key) for key in keys},
        **facts,
        "scenarios": list(scenarios),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = [", ".join(f"{name.replace('_', ' ')} {value}" for name, value in report["machine"].items()), ""]
    for name, told in _PARTS.items():
        if name in report:
            lines += [*told(report[name]), ""]
    for scenario in report["scenarios"]:
        lines += [*_scenario_lines(scenario), ""]
    return "\n".join([*lines, MEANING])


def _session_lines(sessions: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"sessions: exec masked and recorded; aims {sessions['aim_megabytes_per_second']:g} MB/s and"
        f" {sessions['aim_added_ms']:g} ms added to a key's echo (p99)"
    )
    for protocol, found in sessions["protocols"].items():
        yield (
            f"  {protocol:<10} {found['megabytes_per_second']:g} MB/s"
            f" (direct {found['direct_megabytes_per_second']:g}),"
            f" echo p50 {found['echo_p50_ms'][1]:g} ms (direct {found['echo_p50_ms'][0]:g}),"
            f" p99 {found['echo_p99_ms'][1]:g} ms (direct {found['echo_p99_ms'][0]:g}),"
            f" added {found['echo_added_p99_ms']:g} ms: {'met' if found['met'] else 'NOT MET'}"
        )


def _search_lines(search: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"search: {search['events']:,} events, {search['record_megabytes']:,.0f} MB, indexed in"
        f" {search['indexing_seconds']:.0f} s"
    )
    for name, seconds in search["search_seconds"].items():
        yield f"  {name:<28} {seconds:.3f} s"
    yield f"  the slowest: aim {search['aim_seconds']:g} s {_met(search)}"


def _recorded_lines(recorded: Mapping[str, Any]) -> Iterator[str]:
    lowest, highest = recorded["added_p50_ms_range"]
    yield (
        f"recorded: {recorded['rate']} requests a second, p50 {recorded['recorded_p50_ms']:.2f} ms with the audit log"
        f" and {recorded['unrecorded_p50_ms']:.2f} ms without"
    )
    yield (
        f"  it adds {recorded['added_p50_ms']:+.2f} ms ({lowest:+.2f} to {highest:+.2f}),"
        f" aim {recorded['aim_ms']:g} ms {_met(recorded)}"
    )


def _stream_lines(streams: Mapping[str, Any]) -> Iterator[str]:
    yield f"streams: {streams['watches']} watches that wait, and a log of {streams['log_bytes'] // 10**6} MB"
    for name, found in streams["arms"].items():
        yield (
            f"  {name:<10} {found['kilobytes_per_watch']:,.0f} kB a watch; the log at"
            f" {found['log_megabytes_per_second']:,.0f} MB/s, {found['log_megabytes_grown']:,.1f} MB more at its peak"
        )
    yield (
        f"  chaperone takes {streams['kilobytes_added']:+,.0f} kB a watch beyond mitmproxy,"
        f" aim {streams['aim_kilobytes_added']:g} kB {_met(streams)}"
    )


def _authentication_lines(authentication: Mapping[str, Any]) -> Iterator[str]:
    yield f"authentication: {authentication['tokens']} tokens a round"
    yield from _case_lines(authentication["cases"])


def _audit_lines(audit: Mapping[str, Any]) -> Iterator[str]:
    yield f"audit: {audit['events']:,} events a round, of {audit['event_bytes']:,} bytes"
    yield from _case_lines(audit["cases"])


def _case_lines(cases: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for case in cases:
        between = "{:.1f} to {:.1f}".format(*case["us_range"])
        yield f"  {case['title']:<24}{case['us']:.1f} µs ({between}), aim {case['aim_us']} {_met(case)}"


def _decision_lines(decision: Mapping[str, Any]) -> Iterator[str]:
    yield f"decision: a request read, its grant chosen, and judged by {decision['rules']} rules or by none"
    yield f"  {'':<24}{'p50 µs':>10}{'p99 µs':>10}{'no rules':>10}{'ratio':>8}{'aim':>8}"
    for case in decision["cases"]:
        yield (
            f"  {case['title']:<24}{case['p50_us']:>10,.1f}{case['p99_us']:>10,.1f}{case['empty_p50_us']:>10,.1f}"
            f"{case['ratio']:>8.2f}{case['aim_us']:>8,} {_met(case)}"
        )


def _batch_lines(batch: Mapping[str, Any]) -> Iterator[str]:
    lowest, highest = batch["per_second_range"]
    yield f"explain-batch: {batch['questions']:,} examples of the rules, asked of `chaperone explain --batch`"
    yield (
        f"  {batch['per_second']:,} answers a second ({lowest:,} to {highest:,}), "
        f"aim {batch['aim_per_second']:,} {_met(batch)}"
    )


def _masking_lines(masking: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"masking: {masking['values']:,} values in {masking['list_bytes'] // 1000:,} kB of Secrets,"
        f" {masking['log_secrets']} secrets in {masking['log_bytes'] // 1000:,} kB of a log"
    )
    for case in masking["cases"]:
        between = "{:.1f} to {:.1f}".format(*case["ms_range"])
        yield f"  {case['title']:<24}{case['ms']:.1f} ms ({between}), aim {case['aim_ms']} {_met(case)}"


def _met(report: Mapping[str, Any]) -> str:
    return "met" if report["met"] else "MISSED"


def _scenario_lines(scenario: Mapping[str, Any]) -> Iterator[str]:
    yield f"{scenario['name']}: {scenario['title']}"
    yield f"  {'':<10}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU ms each':>13}{'peak MB':>9}"
    for name, arm in scenario["arms"].items():
        yield (
            f"  {name:<10}{arm['rps']:>12,.0f}{arm['p50_ms']:>10.2f}{arm['p99_ms']:>10.2f}"
            f"{_number(arm['cpu_ms'], 2):>13}{_number(arm['peak_mb'], 0):>9}"
        )
    if "rps_vs_mitmproxy" in scenario:
        lowest, highest = scenario["rps_vs_mitmproxy_range"]
        yield (
            f"  chaperone is {scenario['rps_vs_mitmproxy']:.2f} x mitmproxy ({lowest:.2f} to {highest:.2f}), "
            f"p50 {scenario['p50_added_ms_vs_mitmproxy']:+.2f} ms, "
            f"p99 {scenario['p99_added_ms_vs_mitmproxy']:+.2f} ms"
        )
        if (factor := scenario["requests_per_cpu_vs_mitmproxy"]) is not None:
            yield f"  and answers {factor:.2f} x as many requests per second of processor time"
        if scenario["noisy_vs_mitmproxy"]:
            shares = [arm["others"] for arm in scenario["arms"].values() if arm["others"] is not None]
            most = max(shares, default=0)
            yield f"  NOISY: others took {most:.0%} of the gateway's core; measure again on a quiet machine"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


_PARTS: Mapping[str, Callable[[Any], Iterator[str]]] = {
    "authentication": _authentication_lines,
    "decision": _decision_lines,
    "explain_batch": _batch_lines,
    "masking": _masking_lines,
    "audit": _audit_lines,
    "sessions": _session_lines,
    "streams": _stream_lines,
    "recorded": _recorded_lines,
    "search": _search_lines,
}
"""What is measured by itself, in the order in which it is told."""
MEANING = """\
Each line is the median of the rounds; a factor or a difference is the median of what each round gave.
With 20 requests in flight a gateway is saturated: its latency is 20 divided by its request rate, and a negative
difference means that a request waits less. One connection shows what a gateway adds to a request that is alone.
CPU and memory are the gateway's processes alone."""


def case_report(name: str, title: str, times: Sequence[float], aim: float) -> dict[str, Any]:
    """One figure in microseconds, and whether its median is as it should be."""
    median = round(statistics.median(times), 1)
    return {
        "name": name,
        "title": title,
        "us": median,
        "us_range": [round(min(times), 1), round(max(times), 1)],
        "aim_us": aim,
        "met": median <= aim,
    }
