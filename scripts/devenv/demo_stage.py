"""What the demo plays on: a cluster, a gateway, two identities, and something in the cluster to look at.

What is about to be made is written down first, for `demo_record` to take it down again whatever happens.
"""

import json
import os
import secrets
import shutil
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from scripts.devenv import cluster as lifecycle
from scripts.devenv import forkserver, oidc, processes, tools
from scripts.devenv.demo_narrator import Narrator
from scripts.devenv.demo_own_cluster import Choices, upstream_of
from scripts.devenv.demo_record import Administrator, write_record
from scripts.devenv.gateway_env import GatewayEnv, Upstream, start_gateway
from scripts.devenv.kubectl import find_kubectl
from scripts.devenv.places import DevelopmentProblem
from scripts.devenv.state import record_children

AGENT, AGENT_GROUP, OWNER = "agent-7", "agents", "shop-team"
APPROVER, APPROVER_GROUP = "alice@example.com", "oncall"
INTENT = "INC-42: is the shop's web pod healthy?"
PASSWORD_KEY = "password"
IMAGE = "public.ecr.aws/docker/library/busybox:1.37"
PODS = ("web", "worker")
SECRET = "db"
ACCOUNT = "chaperone-demo-agent"

_POD_SECONDS = 150
_spawn = partial(forkserver.spawn, lasting=True)
"""What a demo starts outlives it, if it is to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that is up, and who plays on it."""

    folder: Path
    gateway: GatewayEnv
    admin: Administrator
    namespace: str
    password: str
    agent_token: str
    approver_token: str
    api_audit_log: Path | None
    """What the API server itself wrote down; None for a cluster that is not ours."""


def set_up(folder: Path, own: Choices | None, owner: int | None, narrator: Narrator) -> Stage:
    """Starts what is needed, each with a line about it; with `owner`, it ends with that process.

    Raises DevelopmentProblem.
    """
    shutil.rmtree(folder / "gateway", ignore_errors=True)  # the evidence of an earlier demo
    namespace = f"chaperone-demo-{secrets.token_hex(3)}" if own else "shop"
    upstream, admin, audit_log = (
        _own_cluster(folder, own, namespace, owner, narrator) if own else _local_cluster(folder, owner, narrator)
    )
    password = f"correct-horse-{secrets.token_hex(8)}"
    write_record(folder, admin=asdict(admin), namespace=namespace, own=bool(own))
    with ThreadPoolExecutor(1) as other:
        starting = other.submit(start_gateway, upstream, folder / "gateway", owner_pid=owner, spawn=_spawn)
        with narrator.doing(f"something to work on: namespace {namespace}, pods {', '.join(PODS)}, Secret {SECRET}"):
            _furnish(admin, namespace, password)
            if upstream.kubeconfig:
                _employ(admin, namespace)
        with narrator.doing("the gateway, in front of it"):
            gateway = starting.result()
    agent_token, approver_token = tokens(gateway.issuer)
    if own:
        role = own.role_arn.rpartition("/")[2] or f"of service account {ACCOUNT}"
        with narrator.doing(f"your cluster takes the role {role} from the gateway"):
            _try_role(gateway, agent_token)
    return Stage(
        folder=folder,
        gateway=gateway,
        admin=admin,
        namespace=namespace,
        password=password,
        agent_token=agent_token,
        approver_token=approver_token,
        api_audit_log=audit_log,
    )


def tokens(issuer: str) -> tuple[str, str]:
    """Fresh ID tokens of the agent and of the one who may approve, good for an hour."""
    agent = oidc.mint(issuer, AGENT, groups=[AGENT_GROUP], claims={"owner": OWNER})
    return agent, oidc.mint(issuer, APPROVER, groups=[APPROVER_GROUP])


def _local_cluster(folder: Path, owner: int | None, narrator: Narrator) -> tuple[Upstream, Administrator, Path | None]:
    write_record(folder, own=False)
    if missing := tools.missing_tools():
        narrator.line(f"  … the cluster's programs are built first, once: {', '.join(missing)}")
        tools.ensure_tools()
    # The person's own cloud has no part in this; a profile that cannot be loaded would end the cluster's programs.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    with narrator.doing("a Kubernetes cluster that takes EKS tokens, and an OpenID provider"):
        running = lifecycle.start(folder / "cluster", owner_pid=owner)
    # Another cluster's discovery must not be taken for that of this one, which may have its port.
    cache = str(folder / "cluster" / "kubectl-cache")
    admin = Administrator(kubectl=running.kubectl, kubeconfig=running.admin_kubeconfig, cache=cache)
    return Upstream.of(running), admin, Path(running.audit_log)


def _own_cluster(
    folder: Path, own: Choices, namespace: str, owner: int | None, narrator: Narrator
) -> tuple[Upstream, Administrator, Path | None]:
    kubectl = find_kubectl()
    admin = Administrator(kubectl=str(kubectl), kubeconfig=str(own.kubeconfig.resolve()), context=own.context)
    (folder / "oidc").mkdir(exist_ok=True)
    write_record(folder, own=False)
    with narrator.doing("an OpenID provider of the demo's own, on this machine"):
        issuer = _start_issuer(folder / "oidc", owner)
    with narrator.doing("your cluster answers"):
        admin("version", "-o", "json", timeout=30)
    role = own.role_arn or f"system:serviceaccount:{namespace}:{ACCOUNT}"
    return upstream_of(own, folder, issuer, kubectl, {AGENT_GROUP: role}), admin, None


def _try_role(gateway: GatewayEnv, token: str) -> None:
    """One request all the way, without kubectl, which would try for minutes what cannot be had."""
    trusted = ssl.create_default_context(cafile=str(gateway.gateway_ca))
    headers = {"Authorization": f"Bearer {token}", "Impersonate-User": AGENT, "Impersonate-Extra-Reason": INTENT}
    with httpx.Client(proxy=gateway.gateway_url, verify=trusted, trust_env=False, timeout=60) as client:
        reply = client.get(f"{gateway.api_url}/version", headers=headers)
    if reply.status_code != httpx.codes.OK:
        raise DevelopmentProblem(f"{reply.json()['message']}\n  the gateway's log says: {gateway.last_error() or '-'}")


def _start_issuer(folder: Path, owner: int | None) -> str:
    [port] = processes.free_ports(1)
    command = [sys.executable, "-u", "-m", "oidc_provider_mock", "-p", str(port)]
    log = folder / "oidc.log"
    log.unlink(missing_ok=True)  # an earlier one's would say that this one is ready
    issuer = _spawn("oidc", command, log)
    record_children(folder, [issuer])
    if owner is not None:
        watcher = [sys.executable, "-m", "scripts.devenv.watcher", str(folder), str(owner)]
        record_children(folder, [issuer, _spawn("watcher", watcher, folder / "watcher.log")])
    deadline = time.monotonic() + 60
    while "unning on" not in Path(issuer.log).read_text(errors="replace"):
        processes.require_running([issuer])
        if time.monotonic() > deadline:
            raise DevelopmentProblem(f"the OpenID provider did not get ready: see {issuer.log}")
        time.sleep(0.05)
    return f"http://127.0.0.1:{port}"


def _furnish(admin: Administrator, namespace: str, password: str) -> None:
    admin("create", "namespace", namespace)
    # Pods are refused until the controller has made the account that they run as.
    admin("wait", "--for=create", "serviceaccount/default", f"--namespace={namespace}", "--timeout=60s", timeout=70)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "stringData": {"username": "shop", PASSWORD_KEY: password},
    }
    # `apply` keeps a copy of all it was given in an annotation: one more place where the value must not show.
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": [secret, *map(_pod, PODS)]})
    admin("apply", "-f", "-", f"--namespace={namespace}", stdin=manifest)
    ready = ["--for=condition=Ready", *(f"pod/{name}" for name in PODS), f"--timeout={_POD_SECONDS}s"]
    admin("wait", f"--namespace={namespace}", *ready, timeout=_POD_SECONDS + 10)


def _employ(admin: Administrator, namespace: str) -> None:
    """The agent's service account, and what it may do: nothing outside of this namespace."""
    rbac, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    metadata, account = {"name": ACCOUNT}, {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    rules = [
        {"apiGroups": [""], "resources": ["pods", "pods/log", "secrets"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]},
    ]
    items = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": rbac,
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [account],
        },
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    admin("apply", "-f", "-", f"--namespace={namespace}", stdin=manifest)


def _pod(name: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["sleep", "86400"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
