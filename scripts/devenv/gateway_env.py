"""A gateway in front of a cluster: its configuration in one folder, its process, and kubectl as an agent runs it.

The gateway is the product's own command, a child process; nothing of it is imported here.  The rules it judges by are
those that the repository ships; connection, identity provider and access rules are written for this cluster.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from scripts.devenv import processes
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_conf import Upstream, write_configuration
from scripts.devenv.places import REPOSITORY, DevelopmentProblem
from scripts.devenv.processes import Child
from scripts.devenv.state import record_children, recorded_children, write_atomically

__all__ = ["GatewayEnv", "Upstream", "load_gateway", "start_gateway", "stop_gateway"]

READY_SECONDS = 60.0
KUBECTL_SECONDS = 60.0

_FILE = "gateway.json"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# The person's own profile and proxies belong to their cluster, not to one whose STS is on loopback.
_AWS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
_FOREIGN = (*_AWS, *_PROXIES, *map(str.lower, _PROXIES))


class Spawn(Protocol):
    """How a process is started: as `processes.spawn` does."""

    def __call__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        without: Collection[str] = (),
    ) -> Child: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayEnv:
    """A running gateway; every path is absolute."""

    folder: Path
    gateway_url: str
    tls_url: str
    """The same in TLS; empty without `tls_listen_port`."""
    health_url: str
    """Of /healthz and /readyz."""
    gateway_ca: Path
    api_url: str
    """What agents name as their cluster's server; it exists only behind the gateway."""
    connection: str
    issuer: str
    kubectl_path: str
    child: Child

    @property
    def conf(self) -> Path:
        """The configuration, for `chaperone … --conf`."""
        return self.folder / "mitm.conf"

    @property
    def state_dir(self) -> Path:
        """Approvals and recordings."""
        return self.folder / "state"

    @property
    def rules(self) -> Path:
        """The rules of this gateway alone, in addition to the shipped ones."""
        return self.folder / "rules"

    @property
    def log(self) -> Path:
        """What the gateway says, JSON lines."""
        return Path(self.child.log)

    def last_error(self) -> str:
        """The latest trouble in that log, "" if there was none."""
        events = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        real = [event for event in events if not event.get("self_check")]  # what it did to itself is no trouble
        troubles = [event for event in real if event.get("level") in ("warning", "error")]
        return f"{troubles[-1]['event']}: {troubles[-1].get('error', '')}".rstrip(": ") if troubles else ""

    def stop(self) -> None:
        """Ends the gateway; its files stay."""
        stop_gateway(self.folder)

    def agent_kubeconfig(
        self, token: str, *, name: str = "agent", namespace: str = "default", intent: str = "", proxy: bool = False
    ) -> Path:
        """A kubeconfig file (0600) for a caller with this token; it trusts the gateway's CA alone.

        `intent` is what the caller says it is doing.  The proxy is left to the environment, as it would be where an
        agent runs; with `proxy`, the file names it, and works in a shell that has other uses for that variable.
        """
        user: dict[str, Any] = {"token": token}
        if intent:
            # kubectl sends user-extra only along with a user; the gateway reads the reason and strips both.
            user |= {"as": name, "as-user-extra": {"reason": [intent]}}
        cluster = {"server": self.api_url, "certificate-authority": str(self.gateway_ca)}
        if proxy:
            cluster["proxy-url"] = self.gateway_url
        context = {"cluster": self.connection, "user": name, "namespace": namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.connection, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        }
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document, indent=2))  # JSON is YAML
        return path

    def proxy_environment(self) -> dict[str, str]:
        """The variables that lead an agent's requests through this gateway."""
        return {"HTTPS_PROXY": self.gateway_url, "NO_PROXY": ""}

    def agent_environment(self, kubeconfig: Path) -> dict[str, str]:
        """The whole environment of an agent's kubectl: this process's, without its proxies and its cluster."""
        inherited = {name: value for name, value in os.environ.items() if name.upper() not in _PROXIES}
        # Discovery documents of one server must not be taken for another's that reuses its port.
        own = {"KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": f"{kubeconfig}.cache"}
        return {**inherited, **self.proxy_environment(), **own}

    def kubectl(
        self,
        *arguments: str,
        token: str,
        name: str = "agent",
        namespace: str = "default",
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = KUBECTL_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """What kubectl says to a caller with this token, through the gateway; `name` tells callers' files apart."""
        kubeconfig = self.agent_kubeconfig(token, name=name, namespace=namespace)
        return subprocess.run(
            [self.kubectl_path, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**self.agent_environment(kubeconfig), **(env or {})},
        )


def start_gateway(
    cluster: Cluster | Upstream,
    folder: Path,
    *,
    extra_rules: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    owner_pid: int | None = None,
    spawn: Spawn = processes.spawn,
) -> GatewayEnv:
    """A gateway in front of `cluster`, ready; its files are in `folder`, which is made.

    `settings` override keys of mitm.conf, `extra_rules` is a further folder of rule files.  With `owner_pid`, it ends
    when that process does.  `spawn` starts its processes.  Raises DevelopmentProblem with what the gateway said if it
    does not start.
    """
    upstream = Upstream.of(cluster) if isinstance(cluster, Cluster) else cluster
    folder = folder.resolve()
    stop_gateway(folder)
    conf, workers = write_configuration(upstream, folder, extra_rules, settings or {})
    log = folder / "gateway.log"
    log.unlink(missing_ok=True)
    command: list[str | Path] = [sys.executable, "-m", "addons.cli", "up", "--conf", conf]
    child = spawn("gateway", command, log, _environment(upstream), _FOREIGN if upstream.isolated else ())
    record_children(folder, [child])
    if owner_pid is not None and not child.tied:
        watch = [sys.executable, "-m", "scripts.devenv.gateway_env", str(folder), str(owner_pid)]
        watcher = spawn("watcher", watch, folder / "watcher.log", {"PYTHONPATH": str(REPOSITORY)})
        record_children(folder, [child, watcher])
    try:
        ready = _wait_until_ready(child, workers)
    except BaseException:
        stop_gateway(folder)
        raise
    started = GatewayEnv(
        folder=folder,
        gateway_url=str(ready["proxy"]),
        tls_url=str(ready.get("tls_proxy", "")),
        health_url=str(ready["health"]),
        gateway_ca=Path(ready["ca"]),
        api_url=f"https://{upstream.host}",
        connection=upstream.name,
        issuer=upstream.issuer,
        kubectl_path=upstream.kubectl,
        child=child,
    )
    write_atomically(folder / _FILE, _as_json(started))
    return started


def load_gateway(folder: Path) -> GatewayEnv | None:
    """The gateway of this folder if it still runs."""
    try:
        known = json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return None
    paths = {name: Path(known.pop(name)) for name in ("folder", "gateway_ca")}
    found = GatewayEnv(**{**known, **paths, "child": Child(**known["child"])})
    return found if processes.is_running(found.child) else None


def stop_gateway(folder: Path) -> bool:
    """Ends the gateway of this folder; False if none ran."""
    running = [child for child in recorded_children(folder) if processes.is_running(child)]
    processes.stop(running)
    return bool(running)


def _environment(upstream: Upstream) -> dict[str, str]:
    none = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull} if upstream.isolated else {}
    return {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1", **none, **upstream.env}


def _wait_until_ready(child: Child, workers: int) -> dict[str, Any]:
    deadline = time.monotonic() + READY_SECONDS
    log = Path(child.log)
    while len(ready := _ready_lines(log)) < workers:
        if not processes.is_running(child):
            raise DevelopmentProblem(f"the gateway did not start:\n{log.read_text(errors='replace').strip()}")
        if time.monotonic() > deadline:
            raise DevelopmentProblem(f"the gateway was not ready within {READY_SECONDS:.0f} s: see {log}")
        time.sleep(0.02)
    return ready[0]


def _ready_lines(log: Path) -> list[dict[str, Any]]:
    # The last piece may be half a line.
    lines = log.read_text(errors="replace").split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and '"event": "ready"' in line]


def _as_json(gateway: GatewayEnv) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(gateway).items()}


def _watch() -> None:
    """`gateway_env FOLDER OWNER_PID`: ends the gateway when its owner has ended, however that came about."""
    folder, owner = Path(sys.argv[1]), int(sys.argv[2])
    started = processes.start_time(owner)
    while processes.start_time(owner) == started is not None:
        time.sleep(0.5)
    stop_gateway(folder)


if __name__ == "__main__":
    _watch()
