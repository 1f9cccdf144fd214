"""Approvals that stand, and approvals by two people: through a gateway of two workers, with the real kubectl."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.records import approvals, gateway_events
from tests.support.kubernetes import Kubectl

_RUNS = 20
"""Two workers share these, by chance: that one of them gets none is one in half a million."""


@pytest.fixture(scope="module")
def gateway(gateways: Gateways) -> GatewayEnv:
    """Two workers, neither of which waits for anybody."""
    return gateways.start("standing", settings={"workers": 2, "hold_seconds": 0})


@pytest.fixture(scope="module")
def person(mint: Callable[..., str]) -> Callable[..., Person]:
    return lambda sub, *groups: Person(mint(sub, groups=list(groups)))


@pytest.fixture(scope="module")
def agent(gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(gateway, "standing-agent", "agents").within(admin.namespace)


def used(gateway: GatewayEnv, approval: str) -> list[dict[str, str]]:
    """The annotations of what an approval has let through."""
    events = [event for event in gateway_events(gateway) if event["stage"] == "RequestReceived"]
    found = [event["annotations"] for event in events if event["annotations"].get("chaperone.dev/approval") == approval]
    return [each for each in found if each["authorization.k8s.io/decision"] == "allow"]


def test_b69_for_a_session_it_counts_in_every_worker_until_it_is_revoked(
    agent: Agent, gateway: GatewayEnv, as_user: Callable[..., Agent], person: Callable[..., Person], admin: Kubectl
) -> None:
    pod, command = admin.run_pod("stands"), ("--", "echo", "again")
    agent.refused("exec", pod, *command)
    question = pending(gateway, name=pod)["id"]
    shown = chaperone(gateway, "approvals", "show", question).stdout
    assert "--for session: allows, until" in shown and f"{pod} -- echo again on" in shown
    oncall = person("oncall@example.com", "oncall")
    assert "it also allows, until" in oncall.answers(gateway, "approve", question, "--for", "session")
    workers: set[str] = set()
    while len(workers) < 2 and len(used(gateway, question)) < _RUNS:
        assert agent("exec", pod, *command) == "again\n"
        workers = {each["chaperone.dev/chain"].split()[0] for each in used(gateway, question)}
    found = used(gateway, question)
    assert len(workers) == 2, "both workers have used it"
    assert {each["chaperone.dev/approver"].rpartition("#")[2] for each in found} == {"oncall@example.com"}
    assert all(each["chaperone.dev/approval-scope"].startswith("session until ") for each in found)
    for other in (("--", "echo", "another"), ("-i", "--", "echo", "again")):
        assert "still waiting" in agent.refused("exec", pod, *other)
    somebody = as_user(gateway, "somebody-standing", "agents").within(admin.namespace)
    assert "still waiting" in somebody.refused("exec", pod, *command)
    oncall.answers(gateway, "revoke", question, "--note", "over")
    assert "still waiting" in agent.refused("exec", pod, *command)
    assert len(used(gateway, question)) == len(found)
    (row,) = approvals(gateway, id=question)
    assert (row["state"], row["uses"]) == ("revoked", len(found))


@pytest.fixture
def http(agent: Agent) -> Iterator[httpx.Client]:
    """The agent without kubectl, which comes back by itself after a 429."""
    with agent.http() as client:
        yield client


def delete(http: httpx.Client, namespace: str, name: str) -> int:
    return http.delete(f"/api/v1/namespaces/{namespace}/configmaps/{name}").status_code


def test_for_a_time_and_any_name_of_the_namespace(
    agent: Agent, gateway: GatewayEnv, person: Callable[..., Person], admin: Kubectl, elsewhere: Kubectl,
    http: httpx.Client,
) -> None:  # fmt: skip
    for number in range(3):
        admin("create", "configmap", f"again-{number}")
    elsewhere("create", "configmap", "again-0")
    here, there = admin.namespace, elsewhere.namespace
    assert delete(http, here, "again-0") == 429
    question = pending(gateway, name="again-0", namespace=here)["id"]
    said = person("ann", "oncall").answers(gateway, "approve", question, "--for", "8s")
    began = time.monotonic()
    assert f"delete configmaps {here}/any name on" in said and "whatever the name" in said
    assert [delete(http, here, f"again-{number}") for number in range(2)] == [200, 200]
    assert delete(http, there, "again-0") == 429, "another namespace"
    assert http.delete(f"/api/v1/namespaces/{here}/configmaps?labelSelector=a").status_code != 200
    time.sleep(max(0.0, 8.5 - (time.monotonic() - began)))
    assert delete(http, here, "again-2") == 429, "it is over"
    assert [each["chaperone.dev/approval-scope"].split()[0] for each in used(gateway, question)] == ["minutes"] * 2


def test_two_people_have_to_agree(
    gateway: GatewayEnv, person: Callable[..., Person], admin: Kubectl, http: httpx.Client
) -> None:
    admin("create", "configmap", "two-people-1")
    ann, bob = person("ann", "oncall"), person("bob", "seconds")
    assert delete(http, admin.namespace, "two-people-1") == 429
    question = pending(gateway, name="two-people-1")["id"]
    assert "only members of these groups" in person("eve", "others").is_refused(gateway, "approve", question)
    assert "waits for others: 1 of 2 of oncall or seconds, by" in ann.answers(gateway, "approve", question)
    assert "somebody else has to" in ann.is_refused(gateway, "approve", question)
    assert delete(http, admin.namespace, "two-people-1") == 429
    assert f"{question} granted by" in bob.answers(gateway, "approve", question)
    assert delete(http, admin.namespace, "two-people-1") == 200
    (event,) = used(gateway, question)
    assert [name.rpartition("#")[2] for name in event["chaperone.dev/approver"].split(", ")] == ["ann", "bob"]
    decided = [each for each in gateway_events(gateway) if each["annotations"].get("chaperone.dev/decides") == question]
    outcomes = [each["responseStatus"]["code"] for each in decided if each["stage"] == "ResponseComplete"]
    assert outcomes == [403, 200, 403, 200]


def test_one_of_two_people_denies(
    gateway: GatewayEnv, person: Callable[..., Person], admin: Kubectl, http: httpx.Client
) -> None:
    admin("create", "configmap", "two-people-2")
    assert delete(http, admin.namespace, "two-people-2") == 429
    question = pending(gateway, name="two-people-2")["id"]
    person("ann", "oncall").approves(gateway, question)
    person("bob", "seconds").answers(gateway, "deny", question, "--note", "not while the deploy runs")
    reply = http.delete(f"/api/v1/namespaces/{admin.namespace}/configmaps/two-people-2")
    assert (reply.status_code, "not while the deploy runs" in reply.text) == (403, True)
    assert admin.get("configmap", "two-people-2")
