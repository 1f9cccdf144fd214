"""A lock stops everything of somebody, within seconds, and nothing of anybody else."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import pytest

from addons.edge.fresh import FRESH_SECONDS
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.people import chaperone
from tests.e2e.raw import Answer, request, tunnel
from tests.e2e.records import gateway_events
from tests.support.kubernetes import Kubectl
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"
SECONDS = 5


@pytest.fixture(scope="module")
def gateway(gateways: Gateways) -> GatewayEnv:
    """Of its own: some of these locks are everybody's."""
    return gateways.start("locking", settings={"workers": 2})


def lock(gateway: GatewayEnv, *scope: str, token: str = "") -> str:
    """The id of a new lock."""
    done = chaperone(gateway, "lock", *scope, "--reason=INC-42", token=token)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def unlock(gateway: GatewayEnv, lock: str) -> None:
    done = chaperone(gateway, "unlock", lock)
    assert done.returncode == 0, done.stderr
    time.sleep(FRESH_SECONDS)  # until then each worker may still know of it


SCOPES = {
    "a subject": ["locked-one"],
    "a connection": ["--connection=CONNECTION"],
    "everybody": ["--all"],
}


@pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES)
def test_b39_what_runs_is_ended_and_nothing_new_begins(
    scope: list[str], gateway: GatewayEnv, as_user: Callable[..., Agent]
) -> None:
    agent = as_user(gateway, "locked-one", "agents")
    agent("get", "configmaps")
    with tunnel(gateway) as tls:
        lines = ("Connection: keep-alive",)
        tls.sendall(request(gateway, f"{PATH}?watch=true&timeoutSeconds=600", *lines, token=agent.token))
        assert Answer(tls.recv(65536)).status == 200
        made = lock(gateway, *[part.replace("CONNECTION", gateway.connection) for part in scope])
        began = time.monotonic()
        everything(tls, 20)
        assert time.monotonic() - began < SECONDS
    time.sleep(FRESH_SECONDS)  # until then another worker may not know of it
    try:
        said = agent.refused("get", "configmaps")
        assert "rule: locked\n" in said and "INC-42" in said
    finally:
        unlock(gateway, made)
    eventually("access again", lambda: agent.run("get", "configmaps").returncode == 0)
    ended = [event for event in gateway_events(gateway) if "watch=true" in event["requestURI"]]
    assert "locked" in json.dumps(ended[-1]["annotations"])


def test_a_session_in_a_pod_ends_and_others_go_on(
    gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl
) -> None:
    pod = admin.run_pod("locked")
    victim, other = (as_user(gateway, name, "agents").within(admin.namespace) for name in ("victim", "bystander"))
    with victim.stream("logs", "-f", pod) as running, other.stream("get", "pods", "--watch") as going_on:
        going_on.until(pod)
        eventually("the log", lambda: any("/log" in event["requestURI"] for event in gateway_events(gateway)))
        made = lock(gateway, "victim")
        assert running.process.wait(SECONDS) is not None
        admin("label", "pod", pod, "still=seen")
        going_on.until(pod)
    unlock(gateway, made)


def test_who_locked_is_known_to_people_only(gateway: GatewayEnv, mint: Callable[..., str]) -> None:
    nobody = chaperone(gateway, "locks")
    assert nobody.stdout == "nothing is locked\n"
    made = [lock(gateway, "somebody"), lock(gateway, "--session=s1", token=mint("oncall@example.com"))]
    listed = json.loads(chaperone(gateway, "locks", "-o", "json").stdout)
    assert [each["id"] for each in listed] == made
    assert re.fullmatch("user .* of this machine", listed[0]["made_by"])
    assert listed[1]["made_by"].endswith("#oncall@example.com")
    text = chaperone(gateway, "locks").stdout
    assert "subject somebody: INC-42" in text and "session s1: INC-42" in text
    for each in made:
        unlock(gateway, each)
    assert "no lock" in chaperone(gateway, "unlock", made[0]).stderr


@pytest.mark.parametrize("scope", [[], ["--all", "somebody"], ["--all", "--connection=c"]])
def test_what_to_lock_has_to_be_said(scope: list[str], gateway: GatewayEnv) -> None:
    done = chaperone(gateway, "lock", *scope, "--reason=r")
    assert (done.returncode, "say what to lock" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr
