"""What a session did, suggested as roles and applied to the cluster: its calls pass again, anything else does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addons.core.documents import parse_documents
from scripts.devenv.gateway_env import GatewayEnv
from tests.cli.test_tools import chaperone as command
from tests.e2e.agent import Agent
from tests.e2e.people import chaperone
from tests.e2e.records import ApiServer
from tests.support.kubernetes import Kubectl

NARROW = "chaperone:narrow"
"""The Kubernetes group of the role that agents of `agents-narrow` get: nothing is bound to it but what is tested."""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.test/web:1"}]}
"""
JOB: list[tuple[tuple[str, ...], str]] = [
    (("get", "pods"), ""),
    (("get", "nodes"), ""),
    (("apply", "--server-side", "-f", "-"), DEPLOYMENT),
    (("scale", "deployment/web", "--replicas=2"), ""),
    (("create", "configmap", "settings", "--from-literal=a=b"), ""),
    (("patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"a":"c"}}'), ""),
    (("get", "configmaps", "--field-selector=metadata.name=settings"), ""),
    (("delete", "configmap", "settings"), ""),
    (("delete", "deployment", "web", "--wait=false"), ""),
]
OUTSIDE: list[tuple[str, ...]] = [
    ("get", "services"),
    ("get", "configmaps"),
    ("get", "configmap", "other"),
    ("delete", "configmap", "other"),
    ("get", "deployments"),
    ("get", "pods", "--all-namespaces"),
    ("get", "node", "node-1", "-o", "name"),
    ("create", "service", "clusterip", "s", "--tcp=80"),
]


def work(agent: Agent) -> None:
    for arguments, stdin in JOB:
        agent(*arguments, stdin=stdin or None)


@pytest.fixture
def session(gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> Iterator[str]:
    """The id of a session in which an agent that may do everything did the job, and tried what is denied."""
    before = set(gateway.state_dir.glob("sessions/*"))
    agent = as_user(gateway, f"suggested-{admin.namespace}", "agents").within(admin.namespace)
    work(agent)
    agent.refused("create", "clusterrolebinding", "no", "--clusterrole=cluster-admin", "--user=bob")
    (folder,) = [path for path in gateway.state_dir.glob("sessions/*") if path not in before]
    yield Path(folder).name


def test_the_suggested_roles_are_enough_and_no_more(
    gateway: GatewayEnv,
    session: str,
    as_user: Callable[..., Agent],
    admin: Kubectl,
    api_server: ApiServer,
) -> None:
    narrow = as_user(gateway, f"narrow-{admin.namespace}", "agents-narrow").within(admin.namespace)
    assert "cannot list resource" in narrow.refused("get", "pods"), "nothing was bound yet"
    name = f"suggested-{admin.namespace}"
    done = chaperone(gateway, "rules", "suggest", session, "--group", NARROW, "--name", name, "--only", "roles")
    assert (done.returncode, done.stderr) == (0, "")
    assert "clusterrolebindings" not in done.stdout, "refused calls do not count"
    admin("apply", "-f", "-", stdin=done.stdout)
    try:
        work(narrow)
        mark = api_server.mark()
        for arguments in OUTSIDE:
            assert "is forbidden" in narrow.refused(*arguments)
        decided = [event["annotations"]["authorization.k8s.io/decision"] for event in api_server.since(mark)]
        assert decided.count("forbid") == len(OUTSIDE), "it was the API server that said no"
    finally:
        admin("delete", "clusterrole,clusterrolebinding", name)


def test_the_access_document_loads_beside_the_gateways_own(gateway: GatewayEnv, session: str, tmp_path: Path) -> None:
    (tmp_path / "access.yaml").write_text(chaperone(gateway, "rules", "suggest", session, "--only", "access").stdout)
    checked = command("rules", "check", "--rules", str(tmp_path), "--rules", str(gateway.rules))
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    (access,) = parse_documents((tmp_path / "access.yaml").read_text(), "access.yaml")[0]
    assert access.spec["role"].endswith("role/agent-admin")
    assert "configmaps" in access.spec["scope"]["resources"]
