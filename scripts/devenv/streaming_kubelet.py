"""A node whose exec, attach and port-forward are Kubernetes' own code: commands run here, with their own exit codes.

kwok plays the other nodes, but passes on neither the end of standard input nor an exit code. This one is a process of
its own (`kubelet/`, on k8s.io/cri-streaming); kwok still plays its pods.
"""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.devenv import golang, processes
from scripts.devenv.cluster import Cluster
from scripts.devenv.components import LOOPBACK
from scripts.devenv.places import DEVENV, DevelopmentProblem
from scripts.devenv.processes import Child

NODE = "streaming"
SOURCE = DEVENV / "kubelet"
READY_SECONDS = 10.0
_LISTENING = re.compile(r"listening on \S+:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingKubelet:
    """Running; pods with its `node` as their `nodeName` are its own, and no others."""

    node: str
    port: int
    folder: Path
    """Where commands start."""
    child: Child

    def stop(self) -> None:
        """Ends it. The node stays, without a kubelet."""
        processes.stop([self.child])


def program() -> Path:
    """The kubelet, built if need be."""
    return golang.own_program("streaming-kubelet", SOURCE)


def start(cluster: Cluster, folder: Path, attach: str = "cat", node: str = NODE) -> StreamingKubelet:
    """Starts one; `attach` is the command of sh that attach finds running. The cluster has to be told its `node`."""
    pki = Path(cluster.state_dir) / "pki"
    log = folder.with_suffix(".log")
    command: list[str | Path] = [
        program(), "-address", f"{LOOPBACK}:0", "-certificate", pki / "kubelet.crt", "-key", pki / "kubelet.key",
        "-client-ca", cluster.api_ca, "-directory", folder, "-attach", attach,
    ]  # fmt: skip
    child = processes.spawn("streaming-kubelet", command, log)
    deadline = time.monotonic() + READY_SECONDS
    while (listening := _LISTENING.search(log.read_text())) is None:
        processes.require_running([child])
        if time.monotonic() > deadline:
            raise DevelopmentProblem(f"the streaming kubelet did not get ready within {READY_SECONDS:.0f} s: see {log}")
        time.sleep(0.02)
    return StreamingKubelet(node=node, port=int(listening[1]), folder=folder, child=child)


def node(kubelet: StreamingKubelet) -> str:
    """The node, as a manifest that has its status already: the API server comes to this kubelet.

    Ready from the start and of no phase, it is in no stage of kwok's, whose heartbeat would put kwok's own port back.
    """
    room = {"cpu": "1k", "memory": "1Ti", "pods": "1M"}
    status = {
        "addresses": [{"type": "InternalIP", "address": LOOPBACK}, {"type": "Hostname", "address": kubelet.node}],
        "allocatable": room,
        "capacity": room,
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "made ready"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }
    head = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": kubelet.node}}
    return json.dumps({**head, "spec": {"unschedulable": True}, "status": status})
