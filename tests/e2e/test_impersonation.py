"""The gateway impersonates: the cluster and its audit log see the user, for whom, and that it was the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from tests.e2e.agent import Agent
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.records import gateway_events
from tests.support.kubernetes import Kubectl
from tests.support.log_lines import lines_since

ROLE = "user:agent:{sub} group:impersonated"
AUTHENTICATION = "authentication.k8s.io"
EXTRAS = ["userextras/chaperone.dev/grant", "userextras/chaperone.dev/subject"]
LEGACY: list[dict[str, Any]] = [
    {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
    {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["impersonated"], "verbs": ["impersonate"]},
    {"apiGroups": [AUTHENTICATION], "resources": EXTRAS, "verbs": ["impersonate"]},
]
ON = [f"impersonate-on:user-info:{verb}" for verb in ("get", "list", "watch", "create")]
CONSTRAINED: list[dict[str, Any]] = [
    {"apiGroups": [AUTHENTICATION], "resources": ["users", *EXTRAS], "verbs": ["impersonate:user-info"]},
    {
        "apiGroups": [AUTHENTICATION],
        "resources": ["groups"],
        "resourceNames": ["impersonated"],
        "verbs": ["impersonate:user-info"],
    },
    {"apiGroups": [""], "resources": ["configmaps", "pods", "pods/exec"], "verbs": ON},
    {"apiGroups": [AUTHENTICATION], "resources": ["selfsubjectreviews"], "verbs": ON},
    {"nonResourceURLs": ["*"], "verbs": ON},
]
"""From Kubernetes 1.36 the right also says what may be done with it."""


def own_kubeconfig(folder: Path, token: str) -> str:
    contexts = [{"name": "c", "context": {"cluster": "c", "user": "gateway"}}]
    users = [{"name": "gateway", "user": {"token": token}}]
    file = folder / "own.kubeconfig"
    file.write_text(json.dumps({"users": users, "contexts": contexts, "current-context": "c"}))
    return str(file)


def impersonator(admin: Kubectl, name: str, rules: list[dict[str, Any]]) -> str:
    """The token of a service account with these rights and no others."""
    rbac, full = "rbac.authorization.k8s.io", f"{admin.namespace}-{name}"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": admin.namespace}
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": full}, "rules": rules}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": full},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": full},
        "subjects": [subject],
    }
    admin("create", "serviceaccount", name)
    admin.apply(role, binding)
    return admin("create", "token", name).strip()


def impersonating(cluster: Cluster, own: str) -> Upstream:
    eks = Upstream.of(cluster, {"agents": "admin"})
    return replace(eks, eks_cluster="", region="", kubeconfig=own, impersonates=True, roles={"agents": ROLE})


KINDS = {"constrained": CONSTRAINED, "legacy": LEGACY}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(
    kind: str, gateways: Gateways, cluster: Cluster, admin: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> GatewayEnv:
    name = f"impersonator-{kind}"
    own = own_kubeconfig(tmp_path_factory.mktemp("own"), impersonator(admin, name, KINDS[kind]))
    return gateways.start(name, impersonating(cluster, own), rules=None)


@pytest.fixture(scope="module")
def rights(admin: Kubectl) -> None:
    """Of the impersonated group, in its namespace."""
    resources = "--resource=configmaps,pods,pods/exec,services"
    admin("create", "role", "impersonated", "--verb=get,list,watch,create", resources)
    admin("create", "rolebinding", "impersonated", "--role=impersonated", "--group=impersonated")


@pytest.fixture
def caller(gateway: GatewayEnv, rights: None, as_user: Callable[..., Agent], admin: Kubectl) -> Iterator[Agent]:
    yield as_user(gateway, "alice", "agents").within(admin.namespace)


def about(cluster: Cluster, path: str, mark: int) -> list[dict[str, Any]]:
    lines = lines_since(Path(cluster.audit_log), mark)
    events = [json.loads(line) for line in lines if b"impersonatedUser" in line]
    return [event for event in events if path in event["requestURI"]]


def test_the_cluster_sees_the_user(caller: Agent) -> None:
    who = json.loads(caller("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert who["username"] == "agent:alice"
    assert sorted(who["groups"]) == ["impersonated", "system:authenticated"]
    assert "kube-root-ca.crt" in caller("get", "configmaps")


def test_its_audit_log_names_user_caller_grant_and_gateway(
    caller: Agent, cluster: Cluster, gateway: GatewayEnv, admin: Kubectl
) -> None:
    mark = Path(cluster.audit_log).stat().st_size
    caller("get", "configmaps")
    event = about(cluster, f"/namespaces/{admin.namespace}/configmaps", mark)[-1]
    assert event["user"]["username"].startswith(f"system:serviceaccount:{admin.namespace}:impersonator-")
    user = event["impersonatedUser"]
    assert (user["username"], user["extra"]["chaperone.dev/subject"]) == ("agent:alice", [f"{gateway.issuer}#alice"])
    ours = next(each for each in gateway_events(gateway) if each["auditID"] == event["auditID"])
    assert user["extra"]["chaperone.dev/grant"] == [ours["annotations"]["chaperone.dev/grant"]]
    assert ours["annotations"]["chaperone.dev/role"] == ROLE


def test_writes_and_sessions_are_the_users_too(
    kind: str, caller: Agent, cluster: Cluster, gateway: GatewayEnv, oncall: Person, admin: Kubectl
) -> None:
    mark, name = Path(cluster.audit_log).stat().st_size, f"by-alice-{kind}"
    caller("create", "configmap", name, "--from-literal=a=b")
    pod = admin.run_pod(name)
    with caller.stream("exec", pod, "--", "echo", "from-inside") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        code, printed = running.finish()
    assert (code, "from-inside" in printed) == (0, True)
    for path in ("dryRun=All", "/configmaps?fieldManager", f"/pods/{name}/exec"):
        assert {each["impersonatedUser"]["username"] for each in about(cluster, path, mark)} == {"agent:alice"}, path


def test_nobody_else_is_impersonated(caller: Agent) -> None:
    others = ("--as=admin", "--as-group=system:masters", "--as-uid=1", "--as-user-extra=chaperone.dev/grant=x")
    who = json.loads(caller("auth", "whoami", "-o", "json", *others))["status"]["userInfo"]
    assert (who["username"], "system:masters" in who["groups"], "uid" in who) == ("agent:alice", False, False)
    assert who["extra"]["chaperone.dev/grant"] != ["x"]


DENIED = {
    ("constrained", "services"): "cannot impersonate-on:user-info:list resource",  # which the user may
    ("constrained", "deployments"): "cannot impersonate-on:user-info:list resource",
    ("legacy", "services"): "",
    ("legacy", "deployments"): 'User "agent:alice" cannot list resource',
}


@pytest.mark.parametrize("resource", ["services", "deployments"])
def test_rights_are_the_clusters_to_give(resource: str, kind: str, caller: Agent) -> None:
    if denied := DENIED[kind, resource]:
        said = caller.refused("get", resource)
        assert denied in said and "chaperone refused" not in said
    else:
        caller("get", resource)


def test_the_operator_sees_it(gateway: GatewayEnv) -> None:
    assert "who impersonates and does nothing else" in chaperone(gateway, "doctor").stdout
    done = chaperone(gateway, "connections", "check")
    assert (done.returncode, "knows it as agent:chaperone-connections-check of impersonated" in done.stdout) == (
        0,
        True,
    )
