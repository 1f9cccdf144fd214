"""All typed creates of kubectl: each is read exactly, judged by the rules, and stored as without a gateway.

kubectl 1.37 sends most of these as protobuf, which only the API server can read for the gateway.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future

import pytest

from scripts.devenv.certificates import Authority
from tests.e2e.agent import Agent
from tests.e2e.records import ApiServer, real_writes
from tests.e2e.stored import stored
from tests.e2e.test_guardrails import check_refused
from tests.support.kubernetes import Kubectl

READ = "shadow: e2e-typed, on trial, would deny this: this is as it was written"

CREATES = [
    # kind, and what follows `create`
    ("clusterrole", "clusterrole typed-NS --verb=get,list --resource=pods"),
    ("clusterrolebinding", "clusterrolebinding typed-NS --clusterrole=typed-role --user=typed-user"),
    ("configmap", "configmap typed-c --from-literal=colour=blue"),
    ("cronjob", "cronjob typed-cj --image=registry.test/typed:1 --schedule='5 4 * * *' -- run"),
    ("deployment", "deployment typed-d --image=registry.test/typed:1 --replicas=2"),
    ("ingress", "ingress typed-i --rule=typed.test/*=web:80"),
    ("job", "job typed-j --image=registry.test/typed:1 -- run"),
    ("namespace", "namespace typed-NS"),
    ("poddisruptionbudget", "poddisruptionbudget typed-pdb --selector=app=typed --min-available=1"),
    ("priorityclass", "priorityclass typed-NS --value=1234"),
    ("resourcequota", "quota typed-q --hard=pods=100"),
    ("role", "role typed-r --verb=get,list --resource=pods"),
    ("rolebinding", "rolebinding typed-rb --role=typed-role --user=typed-user"),
    ("secret", "secret docker-registry typed-pull --docker-username=u --docker-password=PASSWORD"),
    ("secret", "secret generic typed-s --from-literal=password=PASSWORD"),
    ("secret", "secret tls typed-tls --cert=CERT --key=KEY"),
    ("service", "service clusterip typed-ip --tcp=80:8080"),
    ("serviceaccount", "serviceaccount typed-sa"),
]

REFUSED = {
    "service externalname typed-name --external-name=typed.test": "published-services-need-approval",
    "service loadbalancer typed-lb --tcp=80:8080": "published-services-need-approval",
    "service nodeport typed-np --tcp=80:8080": "published-services-need-approval",
    "token default": "no-service-account-tokens",
}

type Words = Callable[[str, Kubectl], list[str]]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, plant: Callable[[], str]) -> Words:
    """What follows kubectl for one of the commands, in the namespace of somebody."""
    tls, password = Authority(tmp_path_factory.mktemp("tls")).issue("tls", "typed", hosts=["typed.test"]), plant()
    stands_for = {"PASSWORD": password, "CERT": str(tls.certificate), "KEY": str(tls.key)}

    def split(command: str, who: Kubectl) -> list[str]:
        found = ["create", *shlex.split(command)]
        for name, value in {**stands_for, "NS": who.namespace}.items():
            found = [word.replace(name, value) for word in found]
        return found

    return split


@pytest.fixture(scope="module")
def barred(admin: Kubectl, hasty: Agent) -> Iterator[Agent]:
    """As `hasty`, where nothing else is created."""
    name = f"{admin.namespace}-barred"
    admin("create", "namespace", name)
    admin.within(name)("wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    yield hasty.within(name)
    admin("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def refused(barred: Agent, words: Words, executor: Executor) -> dict[str, Future[subprocess.CompletedProcess[str]]]:
    """All at once: kubectl asks for an approval ten times before it says that there was none."""
    return {command: executor.submit(barred.run, *words(command, barred)) for command in REFUSED}


@pytest.mark.parametrize(("kind", "command"), CREATES, ids=[command for _, command in CREATES])
@pytest.mark.usefixtures("refused")
def test_a_typed_create(
    kind: str, command: str, words: Words, hasty: Agent, admin: Kubectl, elsewhere: Kubectl
) -> None:
    done = hasty.run(*words(command, hasty))
    assert (done.returncode, READ in done.stderr) == (0, True), done.stderr
    name = next(word for word in words(command, hasty) if word.startswith("typed-"))
    theirs = name.replace(admin.namespace, elsewhere.namespace)
    elsewhere(*words(command, elsewhere))
    try:
        assert stored(admin, kind, name) == stored(elsewhere, kind, theirs)
    finally:
        admin("delete", kind, name, "--wait=false")
        elsewhere("delete", kind, theirs, "--wait=false")


@pytest.mark.parametrize("command", REFUSED)
def test_a_typed_create_that_is_refused(
    command: str,
    refused: dict[str, Future[subprocess.CompletedProcess[str]]],
    api_server: ApiServer,
    barred: Agent,
) -> None:
    check_refused(refused[command].result().stderr, REFUSED[command])
    assert real_writes(api_server.about(api_server.began, barred.namespace)) == []
