"""Every kind of refusal and warning as an agent sees it: what kubectl prints, word for word."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from scripts.devenv.processes import free_ports
from tests.e2e import golden
from tests.e2e.agent import Agent
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, pending
from tests.e2e.secret_objects import secret
from tests.support.kubernetes import Kubectl


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What an agent types; `stdin` is what it pipes in."""

    command: str
    stdin: object = None

    @property
    def words(self) -> list[str]:
        return self.command.split()

    def run(self, agent: Agent) -> subprocess.CompletedProcess[str]:
        text = self.stdin if self.stdin is None or isinstance(self.stdin, str) else json.dumps(self.stdin)
        return agent.run(*self.words, stdin=text)


def config_map(name: str, **data: str) -> object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


PRIVILEGED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "debugger"},
    "spec": {
        "containers": [
            {"name": "main", "image": "registry.test/tools:1", "securityContext": {"privileged": True}},
        ]
    },
}
ORDINARY = {
    # Forbidden by a rule, whether the body is JSON or protobuf.
    "rule": Row(command="apply -f -", stdin=PRIVILEGED),
    "rule-protobuf": Row(command="create clusterrolebinding mine --clusterrole=cluster-admin --user=agent"),
    "exec-rule": Row(command="exec web -- env"),
    # What the cluster has not, or what cannot be read in one way only.
    "unknown-kind": Row(command="get --raw /apis/example.com/v1/gizmos"),
    "unknown-subresource": Row(command="get --raw /api/v1/namespaces/default/pods/web/ports"),
    "wrong-scope": Row(command="get --raw /api/v1/namespaces/default/nodes"),
    "no-resource-path": Row(command="get --raw /metrics"),
    "ambiguous-byte": Row(command="get --raw /api/v1/namespaces/default/pods/a%00b"),
    "ambiguous-body": Row(
        command="create --raw /api/v1/namespaces/default/configmaps -f -",
        stdin='{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "name": "b"}}',
    ),
    "too-large": Row(command="create -f -", stdin=config_map("large", text="x" * (4 << 20))),
    # Too many in too short a time: kubectl comes back by itself.
    "rate": Row(command="get configmap hurried"),
    # Allowed, with a word about it.
    "warn": Row(command="create -f -", stdin=config_map("warned-about")),
    "shadow": Row(command="create -f -", stdin=config_map("shadowed")),
}


@pytest.fixture(scope="module", autouse=True)
def web(admin: Kubectl) -> str:
    """A pod to look at."""
    return admin.run_pod()


@dataclass(frozen=True, slots=True)
class Patient:
    """A command that kubectl tries ten times before it says why: begun with the first test here, and long under way."""

    row: Row
    done: Future[subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def unanswered(impatient: GatewayEnv, as_user: Callable[..., Agent], executor: Executor) -> Patient:
    row = Row(command="get secret any --namespace=kube-system")
    return Patient(row, executor.submit(row.run, as_user(impatient, "golden-reader", "agents")))


@pytest.fixture(scope="module")
def stranded(gateways: Gateways, cluster: Cluster, as_user: Callable[..., Agent], executor: Executor) -> Patient:
    """Of a gateway whose cluster is away."""
    (nobody,) = free_ports(1)
    gateway = gateways.start("golden-away", replace(Upstream.of(cluster), address=f"127.0.0.1:{nobody}"))
    row = Row(command="get --raw /api/v1/namespaces/default/pods")
    return Patient(row, executor.submit(row.run, as_user(gateway, "stranded", "agents")))


@pytest.fixture(scope="module", autouse=True)
def begun(unanswered: Patient, stranded: Patient) -> None:
    """Both."""


@pytest.mark.parametrize("name", ORDINARY)
def test_of_an_agent_whose_role_may_do_everything(name: str, agent: Agent) -> None:
    row = ORDINARY[name]
    golden.check(name, row.words, row.run(agent))


STREAMS = {
    "exec": "exec web -- date",
    "attach": "attach web",
    "port-forward": "port-forward web :80",
    "cp": "cp web:index.html /dev/null",
}


@pytest.mark.parametrize("name", STREAMS)
def test_sessions_that_wait_for_a_person(name: str, hasty: Agent) -> None:
    """kubectl tries a second protocol after a refusal: it shows one refusal, and one question is asked."""
    row = Row(command=STREAMS[name])
    golden.check(f"{name}-approval", row.words, row.run(hasty))


def test_a_denial(hasty: Agent, impatient: GatewayEnv, oncall: Person, web: str) -> None:
    row = Row(command="exec web -- ls")
    row.run(hasty)
    oncall.answers(impatient, "deny", pending(impatient, name=web, argv='["ls"]')["id"], "--note", "read the logs")
    golden.check("exec-denied", row.words, row.run(hasty))


def test_an_approval_that_nobody_gives(unanswered: Patient) -> None:
    golden.check("approval", unanswered.row.words, unanswered.done.result())


ELSEWHERE = {
    "no-grant": ("intern", "interns", Row(command="get pods")),
    "out-of-scope-namespace": ("narrowed", "none", Row(command="get pods --namespace=kube-system")),
    "out-of-scope-resource": ("narrowed", "none", Row(command="get secrets --namespace=default")),
    "out-of-scope-verb": ("narrowed", "none", Row(command="delete pod web --namespace=default")),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_without_access(name: str, gateway: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    sub, group, row = ELSEWHERE[name]
    golden.check(name, row.words, row.run(as_user(gateway, sub, group)))


def test_with_an_expired_token(gateway: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    row = Row(command="get pods")
    golden.check("expired", row.words, row.run(as_user(gateway, "late", "agents", exp=int(time.time()) - 5)))


def test_a_masked_value_written_back(agent: Agent, admin: Kubectl) -> None:
    admin("apply", "-f", "-", stdin=secret("golden", password="correct horse battery staple"))
    shown = agent("get", "secret", "golden", "-o", "json")
    row = Row(command="replace -f -", stdin=shown)
    golden.check("masked-write", row.words, row.run(agent))


def test_what_cannot_be_judged_now(stranded: Patient) -> None:
    golden.check("away", stranded.row.words, stranded.done.result())


def test_every_golden_file_is_somebodys() -> None:
    named = {*ORDINARY, *ELSEWHERE, *(f"{name}-approval" for name in STREAMS)}
    assert golden.known() == named | {"exec-denied", "approval", "expired", "masked-write", "away"}
