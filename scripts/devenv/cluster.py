"""Starts, finds and stops a cluster; its state is one folder, and several folders are several clusters.

`start` returns once everything answers: the API server under this cluster's own CA, nodes ready, the first service
account there, and every identity server up.  Nothing survives a restart but the folder's name.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from scripts.devenv import components, processes
from scripts.devenv.components import LOOPBACK, Files, Ports
from scripts.devenv.kubectl import find_kubectl
from scripts.devenv.places import DevelopmentProblem
from scripts.devenv.processes import ChildExited
from scripts.devenv.startup import Startup
from scripts.devenv.state import CHILDREN, recorded_children, write_atomically
from scripts.devenv.tools import ensure_tools

SHARED = "CHAPERONE_SHARED_CLUSTER"
"""The variable with the folder of the cluster that all parts of a check share."""
ATTEMPTS = 3
_CLUSTER = "cluster.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where everything of a running cluster is; paths are absolute."""

    api_url: str
    api_ca: str
    admin_kubeconfig: str
    audit_log: str
    pod_log: str
    sts_endpoint_url: str
    sts_region: str
    eks_cluster_name: str
    role_arns: Mapping[str, str]
    oidc_issuer: str
    aws_env: Mapping[str, str]
    kubectl: str
    state_dir: str

    @property
    def account(self) -> str:
        """Of AWS, whose the roles are."""
        return self.role_arns[components.ROLES[0]].split(":")[4]

    def of_account(self, account: str) -> Self:
        """The same cluster, with the roles of another one of the accounts that it knows."""
        return replace(self, role_arns=_role_arns(account))

    @classmethod
    def from_files(cls, files: Files, kubectl: Path) -> Self:
        """Describes the cluster that these files make."""
        sts = f"http://{LOOPBACK}:{files.ports.sts}"
        return cls(
            api_url=files.api_url,
            api_ca=str(files.ca.certificate),
            admin_kubeconfig=str(files.kubeconfigs["admin"]),
            audit_log=str(files.audit_log),
            pod_log=str(files.pod_log),
            sts_endpoint_url=sts,
            sts_region=components.REGION,
            eks_cluster_name=components.EKS_CLUSTER_NAME,
            role_arns=_role_arns(components.ACCOUNT),
            oidc_issuer=f"http://{LOOPBACK}:{files.ports.oidc}",
            # What the gateway would have on EC2 by its instance role; moto knows no secret of it.
            aws_env={
                "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "development",
                "AWS_REGION": components.REGION,
                "AWS_ENDPOINT_URL_STS": sts,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            kubectl=str(kubectl),
            state_dir=str(files.folder),
        )


def _role_arns(account: str) -> Mapping[str, str]:
    return {role: components.role_arn(role, account) for role in components.ROLES}


def start(state_dir: Path, owner_pid: int | None = None) -> Cluster:
    """The running cluster of this folder, started if need be; with `owner_pid`, it ends when that process does.

    Raises DevelopmentProblem.
    """
    state_dir = state_dir.resolve()
    tools, kubectl = ensure_tools(), find_kubectl()
    with _locked(state_dir):
        if (running := load(state_dir)) is not None:
            return running
        for attempt in range(1, ATTEMPTS + 1):
            try:
                files = Files(_emptied(state_dir), _free_ports())
                Startup(files, tools, kubectl).run(owner_pid)
                started = Cluster.from_files(files, kubectl)
                write_atomically(state_dir / _CLUSTER, asdict(started))
                return started
            except ChildExited as exited:
                # Somebody else may have taken a port between its choice and its use: other ports, once more.
                _stop_children(state_dir)
                if attempt == ATTEMPTS:
                    raise DevelopmentProblem(f"the cluster does not start: {exited}") from None
            except BaseException:
                _stop_children(state_dir)
                raise
    raise AssertionError("unreachable")


def stop(state_dir: Path) -> bool:
    """Ends the cluster of this folder, and only processes that it started; False if there was none."""
    with _locked(state_dir.resolve()):
        (state_dir / _CLUSTER).unlink(missing_ok=True)
        return _stop_children(state_dir)


def load(state_dir: Path) -> Cluster | None:
    """The cluster of this folder if every process of it still runs."""
    try:
        cluster = Cluster(**json.loads((state_dir / _CLUSTER).read_text()))
    except FileNotFoundError:
        return None
    children = recorded_children(state_dir)
    return cluster if children and all(map(processes.is_running, children)) else None


def _free_ports() -> Ports:
    names = list(Ports.__dataclass_fields__)
    return Ports(**dict(zip(names, processes.free_ports(len(names)), strict=True)))


def _stop_children(state_dir: Path) -> bool:
    children = [child for child in recorded_children(state_dir) if processes.is_running(child)]
    processes.stop(children)
    return bool(children)


def _emptied(state_dir: Path) -> Path:
    """The folder without what an earlier cluster left; refuses a folder that is not a cluster's."""
    _stop_children(state_dir)
    rest = [path for path in state_dir.iterdir() if path.name != ".lock"]
    if rest and not (state_dir / CHILDREN).exists():
        raise DevelopmentProblem(f"{state_dir} holds other files: name an empty or new folder with --state")
    # The record goes last, so that an interrupted clean-up can be taken up again.
    for path in sorted(rest, key=lambda path: path.name == CHILDREN):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (state_dir / "logs").mkdir()
    return state_dir


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
