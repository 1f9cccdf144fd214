"""Starts a cluster's servers in an order that lets most of them start at the same time, and waits for each."""

import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from scripts.devenv import components, forkserver, processes
from scripts.devenv.components import LOOPBACK, Files
from scripts.devenv.places import CONFIG, DevelopmentProblem
from scripts.devenv.processes import Child
from scripts.devenv.state import record_children

READY_SECONDS = 60.0
_SELDOM_COLLECTED = {"GOGC": "400"}
"""For Go's programs: of a small cluster, the time that collecting garbage takes is worth more than the memory."""
_LISTENING = re.compile("[Rr]unning on|listening on")


class Startup:
    """One attempt with one set of ports."""

    def __init__(self, files: Files, tools: Mapping[str, Path], kubectl: Path) -> None:
        self._files = files
        self._tools = tools
        self._kubectl = kubectl
        self._children: list[Child] = []

    def run(self, owner_pid: int | None) -> None:
        """Returns when all is ready; raises ChildExited, or DevelopmentProblem after READY_SECONDS."""
        files = self._files
        if owner_pid is not None:
            self._spawn_python("watcher", "scripts.devenv.watcher", str(files.folder), str(owner_pid))
        self._spawn("etcd", components.etcd(files))
        self._spawn("kube-apiserver", components.kube_apiserver(files))
        self._spawn_python("sts-front", "scripts.devenv.sts_front", *components.sts_front(files))
        self._spawn_python("moto", "moto.server", "-H", LOOPBACK, "-p", str(files.ports.moto))
        self._spawn_python("oidc", "oidc_provider_mock", "-p", str(files.ports.oidc))
        workload: list[str | Path] = [str(files.ports.workload), "--bind", LOOPBACK, "--directory", files.work]
        self._spawn_python("workload", "http.server", *workload)
        # The front holds a port that the authenticator would open to every interface.
        self._wait_for_port("sts-front")
        environment = components.aws_iam_authenticator_environment(files)
        self._spawn("aws-iam-authenticator", components.aws_iam_authenticator(files), environment)
        with self._admin() as admin:
            self._wait("the API server", lambda: _answers(admin, "/readyz"))
            self._spawn("kube-controller-manager", components.kube_controller_manager(files))
            self._spawn("kube-scheduler", components.kube_scheduler(files))
            self._spawn("kwok", components.kwok(files))
            self._apply(CONFIG / "cluster.yaml")
            self._wait("the nodes", lambda: _nodes_ready(admin))
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait("the first service account", lambda: _answers(admin, account))
            self._wait("the role edit", lambda: _has_rules(admin, "edit"))
        for name in ("moto", "oidc", "aws-iam-authenticator"):
            self._wait_for_port(name)
        processes.require_running(self._children)

    def _spawn(self, name: str, arguments: components.Argv, env: Mapping[str, str] | None = None) -> None:
        command = [self._tools[name], *arguments]
        self._record(processes.spawn(name, command, self._log(name), {**_SELDOM_COLLECTED, **(env or {})}))

    def _spawn_python(self, name: str, module: str, *arguments: str | Path) -> None:
        command = [sys.executable, "-u", "-m", module, *arguments]
        self._record(forkserver.spawn(name, command, self._log(name), lasting=True))

    def _record(self, child: Child) -> None:
        self._children.append(child)
        record_children(self._files.folder, self._children)

    def _log(self, name: str) -> Path:
        return self._files.folder / "logs" / f"{name}.log"

    def _admin(self) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self._files.ca.certificate))
        context.load_cert_chain(self._files.admin_client.certificate, self._files.admin_client.key)
        return httpx.Client(base_url=self._files.api_url, verify=context, trust_env=False, timeout=10)

    def _apply(self, manifest: Path) -> None:
        command: list[str | Path] = [
            self._kubectl,
            f"--kubeconfig={self._files.kubeconfigs['admin']}",
            "create",
            "-f",
            manifest,
        ]
        # A cache of its own: another cluster's discovery on a port used again would be believed.
        own_cache = {**os.environ, "KUBECACHEDIR": str(self._files.folder / "kubectl-cache")}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=READY_SECONDS, env=own_cache
        )
        if done.returncode != 0:
            raise DevelopmentProblem(f"the cluster refused {manifest.name}: {done.stderr.strip()}")

    def _wait_for_port(self, name: str) -> None:
        # Each says so after it has its port; an answer on that port could be another server's and would prove nothing.
        self._wait(name, lambda: _LISTENING.search(self._log(name).read_text(errors="replace")) is not None)

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            processes.require_running(self._children)
            if time.monotonic() > deadline:
                logs = self._files.folder / "logs"
                raise DevelopmentProblem(f"{what} did not get ready within {READY_SECONDS:.0f} s: see {logs}")
            time.sleep(0.05)


def _answers(admin: httpx.Client, path: str) -> bool:
    try:
        return admin.get(path).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _has_rules(admin: httpx.Client, role: str) -> bool:
    # The controller manager gathers the rules of the built-in roles from others; until then they allow nothing.
    return bool(admin.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}").json().get("rules"))


def _nodes_ready(admin: httpx.Client) -> bool:
    conditions = [node["status"].get("conditions", []) for node in admin.get("/api/v1/nodes").json()["items"]]
    return all(any(each["type"] == "Ready" and each["status"] == "True" for each in node) for node in conditions)
