"""Rules about time, rate and extent, as kubectl and the real API server meet them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.agent import Agent
from tests.e2e.gateways import Gateways
from tests.e2e.records import ApiServer
from tests.e2e.test_guardrails import check_refused
from tests.support.kubernetes import Kubectl


def configmaps(admin: Kubectl, count: int, label: str) -> None:
    admin.apply(
        *(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{label}-{each}", "labels": {"e2e": label}}}
            for each in range(count)
        )
    )


def left(admin: Kubectl, label: str) -> int:
    return len(admin.get("configmaps", "-l", f"e2e={label}")["items"])


@pytest.mark.parametrize(("count", "refused"), [(3, False), (4, True)])
def test_the_extent_of_a_deletecollection_is_known_before_it_happens(
    agent: Agent, admin: Kubectl, api_server: ApiServer, count: int, refused: bool
) -> None:
    """kubectl deletes one by one; the API's deletecollection is asked for as client libraries do."""
    label = f"of-{count}"
    configmaps(admin, count, label)
    configmaps(admin, 5, "others")
    mark = api_server.mark()
    with agent.http() as http:
        answer = http.delete(
            f"/api/v1/namespaces/{admin.namespace}/configmaps", params={"labelSelector": f"e2e={label}"}
        )
    if refused:
        assert answer.status_code == 403
        check_refused(answer.json()["message"], "e2e-extent")
        assert left(admin, label) == count
    else:
        # It is still a deletecollection: another rule asks a human about it, or refuses.
        assert "e2e-extent" not in answer.text
    asked = [event for event in api_server.about(mark, admin.namespace) if event["verb"] == "list"]
    assert [event["requestURI"].partition("?")[2] for event in asked] == [f"labelSelector=e2e%3D{label}&limit=500"]


@pytest.mark.parametrize("workers", [1, 2])
def test_too_many_requests_are_told_when_to_come_back_whichever_worker_took_them(
    gateways: Gateways, as_user: Callable[..., Agent], workers: int
) -> None:
    gateway = gateways.start(f"hurried-{workers}", settings={"workers": workers})
    agent = as_user(gateway, "hurried", "agents")
    answers: list[Any] = []
    for _ in range(4):  # a connection each, so that both workers have their part
        with agent.http() as http:
            answers += [http.get("/api/v1/namespaces/default/configmaps") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3, [answer.text for answer in answers]
    assert answers[-1].headers["retry-after"] == "1"
    check_refused(answers[-1].json()["message"], "e2e-list-rate")
    with as_user(gateway, "unhurried", "agents").http() as http:
        assert {http.get("/api/v1/namespaces/default/configmaps").status_code for _ in range(8)} == {200}


def test_kubectl_waits_and_tries_again_by_itself(gateways: Gateways, as_user: Callable[..., Agent]) -> None:
    """client-go obeys Retry-After up to ten times, then prints the message."""
    gateway = gateways.start("patient")
    agent = as_user(gateway, "hurried", "agents")
    with agent.http() as http:
        for _ in range(6):
            http.get("/api/v1/namespaces/default/configmaps")
    began = time.monotonic()
    said = agent.refused("get", "configmaps", "--request-timeout=60s")
    assert time.monotonic() - began > 5
    assert "TooManyRequests" in said
    assert "rule: e2e-list-rate" in said


def test_changes_are_refused_in_a_freeze_window(agent: Agent, admin: Kubectl) -> None:
    admin("create", "namespace", "e2e-freeze")
    agent, admin = agent.within("e2e-freeze"), admin.within("e2e-freeze")
    admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "frozen"}})
    check_refused(agent.refused("delete", "configmap", "frozen"), "e2e-frozen")
    check_refused(agent.refused("label", "configmap", "frozen", "a=b"), "e2e-frozen")
    assert "frozen" in agent("get", "configmap", "frozen")
    admin("delete", "namespace", "e2e-freeze", "--wait=false")
