"""Access on request: nothing before people agree, and nothing after it ends, streams included."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.people import chaperone
from tests.e2e.raw import Answer, request, tunnel
from tests.e2e.records import gateway_events
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"
SECONDS = 5
RULE = """
apiVersion: chaperone/v1
kind: Access
metadata: {{name: {name}}}
spec:
  groups: [{name}]
  connections: [development]
  role: {role}
  durationSeconds: 1800
  intent: {{pattern: "INC-[0-9]+ .+", example: INC-42 restart web}}
  onRequest: {on_request}
"""
RULES = {
    "asking": "{approvers: [oncall]}",
    "twice": "{approvers: [oncall], approvals: 2}",
    "at-once": "{automatic: true}",
}


@pytest.fixture(scope="module")
def role(cluster: Cluster) -> str:
    """What may be asked for."""
    return cluster.role_arns["view"]


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, role: str, tmp_path_factory: pytest.TempPathFactory) -> GatewayEnv:
    """Of its own, with two workers: what one hears the other has to know."""
    folder = tmp_path_factory.mktemp("on-request")
    texts = [RULE.format(name=name, role=role, on_request=how) for name, how in RULES.items()]
    (folder / "on-request.yaml").write_text("---".join(texts))
    return gateways.start("on-request", settings={"workers": 2}, rules=folder)


@pytest.fixture(scope="module")
def people(mint: Callable[..., str]) -> list[str]:
    """Tokens of two who may approve."""
    return [mint(f"{name}@example.com", groups=["oncall"]) for name in ("oncall", "second")]


def asks(agent: Agent, command: str) -> subprocess.CompletedProcess[str]:
    """The command of the hint, run where the agent is."""
    words = shlex.split(command)
    assert words.pop(0) == "chaperone"
    kubeconfig = agent.gateway.agent_kubeconfig(agent.token, name=f"asking-{agent.user}", proxy=True)
    document = json.loads(kubeconfig.read_text())
    document["contexts"][0]["name"] = agent.gateway.connection
    ca = base64.b64encode(Path(agent.gateway.gateway_ca).read_bytes()).decode()
    document["clusters"][0]["cluster"] |= {"certificate-authority-data": ca}
    kubeconfig.write_text(json.dumps(document))
    env = {"PATH": "", "PYTHONPATH": str(REPOSITORY), "KUBECONFIG": str(kubeconfig), "HOME": str(agent.gateway.folder)}
    return forkserver.run([*CHAPERONE, *words], env=env)


def hinted(agent: Agent) -> str:
    """The command that a refused agent is told."""
    said = agent.refused("get", "configmaps")
    assert "rule: access-on-request\n" in said
    (hint,) = {line.partition("do instead: ")[2] for line in said.splitlines() if "do instead: " in line}
    return hint


def asked(agent: Agent) -> dict[str, Any]:
    done = asks(agent, f"{hinted(agent)} -o json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def grants(gateway: GatewayEnv, *arguments: str, token: str = "") -> dict[str, Any]:
    done = chaperone(gateway, "grants", *arguments, "-o", "json", token=token)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def works(agent: Agent) -> None:
    eventually("access", lambda: agent.run("get", "configmaps").returncode == 0)


def test_b39_asked_for_approved_used_and_revoked(
    gateway: GatewayEnv, as_user: Callable[..., Agent], people: list[str], role: str
) -> None:
    agent = as_user(gateway, "asker", "asking")
    assert hinted(agent) == (
        f"chaperone request --connection development --role {role} --intent 'INC-42 restart web' --for 1800s"
    )
    made = asked(agent)
    assert (made["state"], made["seconds"]) == ("pending", 1800)
    assert hinted(agent)
    grants(gateway, "approve", made["id"], "--note=fine", token=people[0])
    works(agent)
    with tunnel(gateway) as tls:
        lines = ("Connection: keep-alive",)
        tls.sendall(request(gateway, f"{PATH}?watch=true&timeoutSeconds=600", *lines, token=agent.token))
        assert Answer(tls.recv(65536)).status == 200
        grants(gateway, "revoke", made["id"], "--note=enough")
        began = time.monotonic()
        everything(tls, 20)
        assert time.monotonic() - began < SECONDS
    assert hinted(agent)
    history = grants(gateway, "show", made["id"])["history"]
    assert [event["what"] for event in history] == ["approved", "revoked"]
    assert history[0]["who"].endswith("#oncall@example.com") and "of this machine" in history[1]["who"]
    events = [event["annotations"] for event in gateway_events(gateway)]
    used = [each for each in events if each.get("chaperone.dev/access-request") == made["id"]]
    assert used and all(each["chaperone.dev/granted-by"].endswith("#oncall@example.com") for each in used)
    assert all(each["chaperone.dev/grant"].startswith(made["id"]) for each in used)


def test_nobody_approves_their_own(
    gateway: GatewayEnv, mint: Callable[..., str], as_user: Callable[..., Agent]
) -> None:
    agent = as_user(gateway, "selfish", "asking")
    made = asked(agent)
    for token, why in (
        (mint("selfish", groups=["asking", "oncall"]), "their own"),
        (mint("passer-by", groups=["asking"]), "members of these groups"),
    ):
        done = chaperone(gateway, "grants", "approve", made["id"], token=token)
        assert (done.returncode, why in done.stderr) == (1, True)
    assert hinted(agent)


def test_two_have_to_agree(gateway: GatewayEnv, as_user: Callable[..., Agent], people: list[str]) -> None:
    agent = as_user(gateway, "careful", "twice")
    made = asked(agent)
    assert grants(gateway, "approve", made["id"], token=people[0])["state"] == "pending"
    assert chaperone(gateway, "grants", "approve", made["id"], token=people[0]).returncode == 1
    assert hinted(agent)
    assert grants(gateway, "approve", made["id"], token=people[1])["state"] == "granted"
    works(agent)


def test_at_once_until_it_ends_or_is_given_back(gateway: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    agent = as_user(gateway, "hurried", "at-once")
    command = hinted(agent).replace("1800s", "6s")
    done = asks(agent, command)
    assert (done.returncode, "is granted" in done.stdout) == (0, True), done.stderr
    works(agent)
    eventually("its end", lambda: agent.run("get", "configmaps").returncode != 0, 10)
    made = asked(agent)
    works(agent)
    done = asks(agent, f"chaperone grants release {made['id']} --connection development")
    assert (done.returncode, "is released" in done.stdout) == (0, True), done.stderr
    eventually("its end", lambda: agent.run("get", "configmaps").returncode != 0)


def test_denied_and_extended(gateway: GatewayEnv, as_user: Callable[..., Agent], people: list[str]) -> None:
    agent = as_user(gateway, "longer", "asking")
    assert grants(gateway, "deny", asked(agent)["id"], "--note=no", token=people[0])["state"] == "denied"
    done = asks(agent, hinted(agent).replace("1800s", "15m") + " -o json")
    made = json.loads(done.stdout)
    granted = grants(gateway, "approve", made["id"], token=people[0])
    longer = grants(gateway, "extend", made["id"], "10m", token=people[1])
    assert longer["expires_at"] - granted["expires_at"] == 600
    assert chaperone(gateway, "grants", "extend", made["id"], "10m", token=people[1]).returncode == 1
    assert "longer" in chaperone(gateway, "grants", "list").stdout


def test_what_may_not_be_asked_for_is_refused_with_what_may(
    gateway: GatewayEnv, as_user: Callable[..., Agent], role: str
) -> None:
    agent = as_user(gateway, "curious", "asking")
    for old, new in ((role, role.replace("view", "admin")), ("INC-42 restart web", "because"), ("1800s", "9h")):
        done = asks(agent, hinted(agent).replace(old, new))
        assert (done.returncode, "access-on-request" in done.stderr) == (1, True), done.stderr
    with agent.http() as http:
        assert http.post("/chaperone/v1/access-requests", content=b"{").status_code == 403
        assert http.put("/chaperone/v1/access-requests").status_code == 405
        assert http.get("/chaperone/v1/access-requests").json() == []
        assert http.delete("/chaperone/v1/access-requests/none").status_code == 403
    with agent.http(token="") as http:
        assert http.get("/chaperone/v1/access-requests").status_code == 401
