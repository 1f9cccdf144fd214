"""`chaperone status`: is the gateway up, what does it judge by, and is anything missing?"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from cyclopts import Parameter

from addons.core.printable import printable
from addons.edge.archive_status import read_status, summary
from addons.edge.archive_status import trouble as archive_trouble
from addons.edge.pipeline_status import is_silent, read_statuses
from addons.edge.reports import is_stale, read_reports, reports_folder
from addons.settings import load_settings

_SECONDS = 5.0


def status(
    *, conf: Path = Path("mitm.conf"), output: Annotated[Literal["text", "json"], Parameter(alias="-o")] = "text"
) -> int:
    """Say whether the gateway is up and ready, and which rules are in force; exit status 1 if anything needs attention.

    Run it where the gateway runs: it reads the state folder, and asks the gateway's /readyz.

    Parameters
    ----------
    conf
        The configuration file of the gateway.
    output
        "text" for people, "json" for programs.
    """
    settings = load_settings(conf)
    reports = read_reports(reports_folder(Path(settings.state)))
    answer = assess(reports, settings.workers, time.time())
    if answer["up"]:
        answer["missing"] = _missing(reports[0]["health"])
    answer["pipelines"], trouble = assess_pipelines(read_statuses(Path(settings.state)), time.time())
    answer["trouble"] += trouble
    if settings.archive is not None:
        answer["archive"] = read_status(Path(settings.state))
        answer["trouble"] += archive_trouble(answer["archive"], time.time())
    answer["ok"] = answer["up"] and not (answer["missing"] or answer["trouble"])
    print(json.dumps(answer, indent=2) if output == "json" else _text(answer))
    return 0 if answer["ok"] else 1


def assess(reports: list[dict[str, Any]], expected: int, now: float) -> dict[str, Any]:
    """What the workers' reports say together at `now` (Unix seconds); `trouble` is what needs attention."""
    live = [report for report in reports if not is_stale(report, now)]
    trouble = []
    if live and len(live) < expected:
        trouble.append(f"{len(live)} of {expected} workers have reported of late")
    if len({report["policy"] for report in live}) > 1:
        trouble.append("workers judge by different rules")
    trouble += sorted({text for report in live for text in (report["reload"] or {}).get("problems", ())})
    return {
        "up": bool(live),
        "missing": {},
        "trouble": trouble,
        "workers": [{name: report[name] for name in _SHOWN} for report in live],
    }


def assess_pipelines(statuses: list[dict[str, Any]], now: float) -> tuple[list[dict[str, Any]], list[str]]:
    """What the pipelines say at `now` (Unix seconds), and what of it needs attention."""
    trouble = []
    for each in statuses:
        if is_silent(each, now):
            trouble.append(f"pipeline {each['pipeline']} is not shipped: start `chaperone ship`")
        elif each["failing_since"]:
            since = _at(each["failing_since"])
            trouble.append(f"pipeline {each['pipeline']} cannot send since {since}: {each['error']}")
    return statuses, trouble


_SHOWN = ("worker", "pid", "started_at", "proxy", "health", "policy", "loaded_at", "summary", "reload", "connections")


def _missing(health: str) -> dict[str, str]:
    """What /readyz says is missing."""
    try:
        found: dict[str, str] = httpx.get(f"{health}/readyz", timeout=_SECONDS, trust_env=False).json()["missing"]
    except (httpx.HTTPError, ValueError, LookupError) as error:
        return {"health": f"{health}/readyz gives no answer: {type(error).__name__}"}
    return found


def _text(answer: dict[str, Any]) -> str:
    if not answer["up"]:
        return "down: no worker has reported of late; start it with: chaperone up"
    lines = ["up and ready" if answer["ok"] else "up, and needs attention"]
    lines += [f"  missing: {name}: {why}" for name, why in answer["missing"].items()]
    lines += [f"  trouble: {text}" for text in answer["trouble"]]
    lines += [summary(answer["archive"])] if answer.get("archive") else []
    for report in answer["workers"]:
        since = _at(report["started_at"])
        lines.append(f"worker {report['worker']}: pid {report['pid']}, {report['proxy']}, since {since}")
        lines.append(f"  policy {report['policy'][:12]}, loaded {_at(report['loaded_at'])}: {report['summary']}")
        if (reload := report["reload"]) is not None:
            outcome = "failed: the rules before stay in force" if reload["problems"] else "loaded"
            lines.append(f"  last reload {_at(reload['at'])}: {outcome}")
    lines += [
        f"pipeline {each['pipeline']}: {each['send']} to {each['to']}, {each['sent']} sent, {each['behind']} B behind"
        for each in answer["pipelines"]
    ]
    lines += [
        f"connection {each['name']}: {each['host']}, profile {each['profile']}"
        for each in answer["workers"][0]["connections"]
    ]
    return "\n".join(map(printable, lines))


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
