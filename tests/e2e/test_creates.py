"""All typed creates of kubectl: each is read exactly, judged by the rules, and stored as without a gateway.

kubectl 1.37 sends most of these as protobuf, which only the API server can read for the gateway.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from scripts.devenv.certificates import Authority
from tests.e2e.agent import Agent
from tests.e2e.records import ApiServer, real_writes
from tests.e2e.stored import stored
from tests.e2e.test_guardrails import check_refused
from tests.support.kubernetes import Kubectl

READ = "shadow: e2e-typed, on trial, would deny this: this is as it was written"

CREATES = [
    # kind, what follows `create`, and what stands between that and the cluster
    ("clusterrole", "clusterrole typed-NS --verb=get,list --resource=pods", ""),
    ("clusterrolebinding", "clusterrolebinding typed-NS --clusterrole=typed-role --user=typed-user", ""),
    ("configmap", "configmap typed-c --from-literal=colour=blue", ""),
    ("cronjob", "cronjob typed-cj --image=registry.test/typed:1 --schedule='5 4 * * *' -- run", ""),
    ("deployment", "deployment typed-d --image=registry.test/typed:1 --replicas=2", ""),
    ("ingress", "ingress typed-i --rule=typed.test/*=web:80", ""),
    ("job", "job typed-j --image=registry.test/typed:1 -- run", ""),
    ("namespace", "namespace typed-NS", ""),
    ("poddisruptionbudget", "poddisruptionbudget typed-pdb --selector=app=typed --min-available=1", ""),
    ("priorityclass", "priorityclass typed-NS --value=1234", ""),
    ("resourcequota", "quota typed-q --hard=pods=100", ""),
    ("role", "role typed-r --verb=get,list --resource=pods", ""),
    ("rolebinding", "rolebinding typed-rb --role=typed-role --user=typed-user", ""),
    ("secret", "secret docker-registry typed-pull --docker-username=u --docker-password=PASSWORD", ""),
    ("secret", "secret generic typed-s --from-literal=password=PASSWORD", ""),
    ("secret", "secret tls typed-tls --cert=CERT --key=KEY", ""),
    ("service", "service clusterip typed-ip --tcp=80:8080", ""),
    ("service", "service externalname typed-name --external-name=typed.test", "published-services-need-approval"),
    ("service", "service loadbalancer typed-lb --tcp=80:8080", "published-services-need-approval"),
    ("service", "service nodeport typed-np --tcp=80:8080", "published-services-need-approval"),
    ("serviceaccount", "serviceaccount typed-sa", ""),
    ("token", "token default", "no-service-account-tokens"),
]


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


@pytest.mark.parametrize(("kind", "command", "rule"), CREATES, ids=[command for _, command, _ in CREATES])
def test_a_typed_create(
    kind: str,
    command: str,
    rule: str,
    words: Words,
    hasty: Agent,
    admin: Kubectl,
    elsewhere: Kubectl,
    api_server: ApiServer,
) -> None:
    mark = api_server.mark()
    done = hasty.run(*words(command, hasty))
    if rule:
        check_refused(done.stderr, rule)
        assert real_writes(api_server.about(mark, hasty.namespace)) == []
        return
    assert (done.returncode, READ in done.stderr) == (0, True), done.stderr
    name = next(word for word in words(command, hasty) if word.startswith("typed-"))
    theirs = name.replace(admin.namespace, elsewhere.namespace)
    elsewhere(*words(command, elsewhere))
    try:
        assert stored(admin, kind, name) == stored(elsewhere, kind, theirs)
    finally:
        admin("delete", kind, name, "--wait=false")
        elsewhere("delete", kind, theirs, "--wait=false")
