"""The Go program that is both ends of a measurement: builds it, runs its client, and reads what its server counted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.devenv import golang, plain_http
from scripts.devenv.bench_scenarios import Scenario
from scripts.devenv.places import DEVENV, DevelopmentProblem

SOURCE = DEVENV / "load"
_KUBECTL = {
    "User-Agent": "kubectl/v1.37.1 (linux/amd64) kubernetes/f78e722",
    "Accept-Encoding": "gzip",
    "Kubectl-Command": "kubectl get",
    "Kubectl-Session": "6f1c2f0e-4d0b-4f53-9d2c-8b6a0a7f9b11",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How the client gets to the cluster: through a proxy, or straight to `dial`."""

    authority: str
    ca_file: Path
    proxy: str = ""
    dial: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """What reached one path of the server."""

    requests: int
    eks_tokens: int
    no_tokens: int


def program() -> Path:
    """The program."""
    return golang.own_program("bench-load", SOURCE)


def run(load: Path, scenario: Scenario, target: Target, token: str, seconds: float, masked: bool) -> dict[str, Any]:
    """What the client measured; `masked` says that the request's secret must not be in the reply, else it must be."""
    job = {
        "url": f"https://{target.authority}{scenario.request.path}",
        "proxy": target.proxy,
        "dial": target.dial,
        "ca_file": str(target.ca_file),
        "http2": scenario.http2,
        "connections": scenario.connections,
        "streams": scenario.streams,
        "new_connections": scenario.new_connections,
        "seconds": seconds,
        "rate": scenario.rate,
        "headers": {**_KUBECTL, "Accept": scenario.request.accept, "Authorization": f"Bearer {token}"},
        "contains": scenario.request.contains if masked else scenario.request.secret or scenario.request.contains,
        "lacks": scenario.request.secret if masked else "",
    }
    done = subprocess.run(
        [load, "run"], input=json.dumps(job), capture_output=True, text=True, check=False, timeout=seconds + 120
    )
    if done.returncode != 0:
        raise DevelopmentProblem(f"the load program failed: {done.stderr.strip()[-500:]}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def take_counts(control_port: int) -> Mapping[str, Count]:
    """What reached the server since the last call, by path without the query."""
    reply = plain_http.get(f"http://127.0.0.1:{control_port}/", timeout=10).raise_for_status()
    return {path: Count(**count) for path, count in reply.json().items()}
