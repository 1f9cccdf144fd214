"""Changes that the shipped rules leave to people: held, done once a person agrees, and asked about anew next time."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.people import Person, pending
from tests.e2e.records import ApiServer, approvals, real_writes
from tests.support.kubernetes import Kubectl

WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "registry.test/web:1"}]},
        },
    },
}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": "web"}}},
}
AUTOSCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "web"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 1,
        "maxReplicas": 3,
    },
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`rule` is what holds the command back; `after` is what an administrator then sees by `look`."""

    command: str
    rule: str
    look: str
    after: str
    stdin: object = None


def gone(kind: str, name: str) -> dict[str, str]:
    return {"look": f"get {kind} {name} --ignore-not-found -o name", "after": ""}


ROWS = {
    "DST-04 scaled to nothing": Row(
        command="scale deployment/web --replicas=0",
        rule="great-scaling-needs-approval",
        look="get deployment web -o jsonpath={.spec.replicas}",
        after="0",
    ),
    "EXE-11 another image": Row(
        command="set image deployment/web main=registry.test/other:1",
        rule="other-programs-need-approval",
        look="get deployment web -o jsonpath={.spec.template.spec.containers[0].image}",
        after="registry.test/other:1",
    ),
    "DST-05 an eviction": Row(
        command="create --raw /api/v1/namespaces/NS/pods/evicted/eviction -f -",
        stdin=EVICTION,
        rule="evictions-need-approval",
        **gone("pod", "evicted"),
    ),
    "DST-06 a budget": Row(command="delete pdb web", rule="removed-limits-need-approval", **gone("pdb", "web")),
    "DST-06 an autoscaler": Row(
        command='patch hpa web --type=merge -p {"spec":{"maxReplicas":1}}',
        rule="removed-limits-need-approval",
        look="get hpa web -o jsonpath={.spec.maxReplicas}",
        after="1",
    ),
    "DST-07 by force": Row(
        command="delete pod forced --force --grace-period=0",
        rule="forced-deletion-needs-approval",
        **gone("pod", "forced"),
    ),
    "DST-03 data": Row(
        command="delete pvc data --wait=false", rule="delete-data-needs-approval", **gone("pvc", "data")
    ),
}


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Kubectl) -> None:
    """One of everything that is about to change."""
    admin.apply(WEB, BUDGET, AUTOSCALER, CLAIM)
    for name in ("evicted", "forced"):
        admin.run_pod(name)
    # Nobody's storage protects it here: a finalizer would keep it.
    admin("patch", "pvc", "data", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    admin("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_change_waits_for_a_person(
    row: Row, agent: Agent, gateway: GatewayEnv, oncall: Person, admin: Kubectl, api_server: ApiServer
) -> None:
    words, mark = row.command.replace("NS", admin.namespace).split(), api_server.mark()
    before = admin(*row.look.split())
    assert before != row.after
    with agent.stream(*words, stdin=piped(row.stdin)) as running:
        question = pending(gateway, rule=row.rule, namespace=admin.namespace)
        assert real_writes(api_server.about(mark, admin.namespace)) == []
        oncall.approves(gateway, question["id"])
        code, said = running.finish()
    assert code == 0, said
    eventually(f"{row.after!r}", lambda: admin(*row.look.split()) == row.after)
    (used,) = approvals(gateway, id=question["id"])
    assert used["state"] == "consumed"


def piped(content: object) -> int:
    """A file descriptor to read it from."""
    if content is None:
        return subprocess.DEVNULL
    with tempfile.TemporaryFile("w+") as file:
        json.dump(content, file)
        file.flush()
        file.seek(0)
        return os.dup(file.fileno())


@pytest.fixture
def node(admin: Kubectl) -> Iterator[str]:
    """With one pod; the scheduler puts no other test's there."""
    name, taints = f"drained-{secrets.token_hex(4)}", [{"key": "drained", "effect": "NoSchedule"}]
    admin.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": taints}})
    admin("wait", "--for=condition=Ready", f"node/{name}", "--timeout=30s")
    admin.run_pod("driven", nodeName=name)
    yield name
    admin("delete", "node", name)


def test_a_drain_waits_for_each_of_its_steps(
    agent: Agent, gateway: GatewayEnv, oncall: Person, admin: Kubectl, node: str
) -> None:
    """DST-05, NOD-06: the node first, then every pod."""
    with agent.stream("drain", node, "--force", "--timeout=60s") as running:
        oncall.approves(gateway, pending(gateway, name=node, rule="node-updates-need-approval")["id"])
        oncall.approves(gateway, pending(gateway, name="driven", rule="evictions-need-approval")["id"])
        code, said = running.finish(60)
    assert code == 0, said
    assert admin.get("node", node)["spec"]["unschedulable"] is True
    assert admin("get", "pod", "driven", "--ignore-not-found") == ""


def test_what_was_approved_once_is_asked_about_again(
    hasty: Agent, impatient: GatewayEnv, oncall: Person, admin: Kubectl
) -> None:
    with hasty.http() as http:
        path = f"/api/v1/namespaces/{admin.namespace}/pods/again"
        for _ in range(2):
            admin.run_pod("again")
            assert http.delete(f"{path}?gracePeriodSeconds=0").status_code == 429
            question = pending(impatient, name="again")
            oncall.approves(impatient, question["id"])
            assert http.delete(f"{path}?gracePeriodSeconds=0").status_code == 200
