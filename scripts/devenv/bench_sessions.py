"""How fast sessions in pods are through a gateway, beside the same ones straight to the API server.

A cluster with the streaming kubelet, the real kubectl, WebSocket and SPDY: output of a command in megabytes a second,
and how long a key takes to come back on a terminal. Nobody is asked (profile `observe`); all is masked and recorded.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import time
import tty
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.devenv import cluster as clusters
from scripts.devenv import gateway_env, oidc, streaming_kubelet
from scripts.devenv.bench_scenarios import WrongAnswers
from scripts.devenv.gateway_conf import Upstream

AIM_MEGABYTES = 20.0
AIM_ADDED_MS = 5.0
BYTES = 50_000_000  # within what a recording keeps
KEYS = 400
_LINE = "a line of output that is no secret at all, as the logs of programs are made of"
_SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
_POD = "bench"
_MANIFEST = (
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"bench"},"spec":{"nodeName":"%s","containers":'
    '[{"name":"main","image":"registry.test/web:1"}]}}'
)


@dataclass(frozen=True, slots=True)
class _Kubectl:
    """One way to the cluster."""

    path: str
    kubeconfig: str
    env: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [self.path, f"--kubeconfig={self.kubeconfig}", *arguments]

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return {**inherited, "KUBECACHEDIR": f"{self.kubeconfig}.cache", **self.env}

    def run(self, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, env=self.environment(), check=False
        )
        if done.returncode:
            raise WrongAnswers(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """The report. Raises WrongAnswers, ChildExited or DevelopmentProblem."""
    state = folder / "cluster"
    cluster = clusters.start(state, owner_pid=os.getpid())
    try:
        return _with_kubelet(cluster, folder, rounds)
    finally:
        clusters.stop(state)


def _with_kubelet(cluster: clusters.Cluster, folder: Path, rounds: int) -> dict[str, Any]:
    work = folder / "kubelet"
    work.mkdir()
    kubelet = streaming_kubelet.start(cluster, work)
    direct = _Kubectl(cluster.kubectl, cluster.admin_kubeconfig, {})
    gateway = None
    try:
        direct.run("create", "-f", "-", stdin=streaming_kubelet.node(kubelet))
        direct.run("create", "-f", "-", stdin=_MANIFEST % kubelet.node)
        direct.run("wait", "--for=condition=Ready", f"pod/{_POD}", "--timeout=30s")
        upstream = replace(Upstream.of(cluster), profile="observe")
        gateway = gateway_env.start_gateway(upstream, folder / "gateway", owner_pid=os.getpid())
        token = oidc.mint(cluster.oidc_issuer, "bench", groups=["agents"])
        kubeconfig = str(gateway.agent_kubeconfig(token, name="bench"))
        through = _Kubectl(cluster.kubectl, kubeconfig, gateway.proxy_environment())
        return _report(direct, through, rounds)
    finally:
        if gateway is not None:
            gateway.stop()
        kubelet.stop()


def _report(direct: _Kubectl, through: _Kubectl, rounds: int) -> dict[str, Any]:
    report: dict[str, Any] = {"aim_megabytes_per_second": AIM_MEGABYTES, "aim_added_ms": AIM_ADDED_MS, "protocols": {}}
    for protocol, setting in (("websocket", {}), ("spdy", _SPDY)):
        ways = [replace(way, env={**way.env, **setting}) for way in (direct, through)]
        rates = [[_throughput(way) for way in ways] for _ in range(rounds)]
        keys = [sorted(_echo(way)) for way in ways]
        added = _percentile(keys[1], 99) - _percentile(keys[0], 99)
        rate = statistics.median(rate for _, rate in rates)
        report["protocols"][protocol] = {
            "direct_megabytes_per_second": round(statistics.median(rate for rate, _ in rates), 1),
            "megabytes_per_second": round(rate, 1),
            "echo_p50_ms": [round(_percentile(each, 50), 2) for each in keys],
            "echo_p99_ms": [round(_percentile(each, 99), 2) for each in keys],
            "echo_added_p99_ms": round(added, 2),
            "met": rate >= AIM_MEGABYTES and added <= AIM_ADDED_MS,
        }
    return report


def _throughput(way: _Kubectl) -> float:
    """Megabytes a second from the first byte to the last."""
    script = f"yes '{_LINE}' | head -c {BYTES}"
    command = way.command("exec", _POD, "--", "sh", "-c", script)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=way.environment(), stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        received = len(process.stdout.read(1))
        began = time.monotonic()
        while piece := process.stdout.read(1 << 20):
            received += len(piece)
        elapsed = time.monotonic() - began
    if received != BYTES:
        raise WrongAnswers(f"an exec printed {received} of {BYTES} bytes")
    return received / elapsed / 1e6


def _echo(way: _Kubectl) -> list[float]:
    """Milliseconds from a key to its echo, on a terminal whose program sends back what it gets."""
    here, there = pty.openpty()
    tty.setraw(there)
    command = way.command("exec", "-it", _POD, "--", "sh", "-c", "stty raw -echo; echo ready; cat")
    process = subprocess.Popen(command, stdin=there, stdout=there, stderr=subprocess.DEVNULL, env=way.environment())
    try:
        said = b""
        while b"ready" not in said:
            said += os.read(here, 100)
        while select.select([here], [], [], 0.3)[0]:
            os.read(here, 100)
        return [_key(here) for _ in range(KEYS)]
    finally:
        process.terminate()
        process.wait()
        os.close(here)
        os.close(there)


def _key(terminal: int) -> float:
    time.sleep(0.005)
    began = time.monotonic()
    os.write(terminal, b"x")
    os.read(terminal, 10)
    return (time.monotonic() - began) * 1000


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
