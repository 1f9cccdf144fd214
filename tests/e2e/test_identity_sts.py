"""Where credentials come from: who they are asked for, and what happens while STS is away, slow, and back again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from tests.e2e.agent import Agent, client, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.records import ApiServer, gateway_events
from tests.e2e.sts_switch import StsSwitch, sts_switch

PATH = "/api/v1/namespaces/default/configmaps"
LAST_SECONDS = 60
"""How long before its end a session's credential is no longer used."""
RENEW_BEFORE = 300
"""How long before its end a session is renewed."""
AT_ONCE = 1.5
"""Seconds that a request takes at most that waits for nothing, on a machine that is busy with other tests."""


@pytest.fixture(scope="module")
def sts(cluster: Cluster) -> Iterator[StsSwitch]:
    with sts_switch(cluster.sts_endpoint_url) as switch:
        yield switch


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, cluster: Cluster, sts: StsSwitch) -> GatewayEnv:
    """A gateway whose STS has a switch."""
    return gateways.start("switched-sts", replace(Upstream.of(cluster), sts_endpoint=sts.url))


def asked_for(sts: StsSwitch, subject: str) -> list[dict[str, str]]:
    """The requests for sessions of a caller."""
    return [each for each in sts.asked if each["RoleSessionName"].startswith(f"{subject}-")]


def tags(asked: dict[str, str]) -> dict[str, str]:
    numbers = [name.split(".")[2] for name in asked if name.startswith("Tags.member.") and name.endswith(".Key")]
    return {asked[f"Tags.member.{number}.Key"]: asked[f"Tags.member.{number}.Value"] for number in numbers}


def timed(http: httpx.Client) -> tuple[httpx.Response, float]:
    """The answer, and the seconds that it took."""
    began = time.monotonic()
    return http.get(PATH), time.monotonic() - began


def test_the_caller_is_named_to_aws_and_by_the_audit_log_of_the_cluster(
    gateway: GatewayEnv, sts: StsSwitch, as_user: Callable[..., Agent], api_server: ApiServer, cluster: Cluster
) -> None:
    """From an event of CloudTrail or of the cluster to the person, the team, the job and its reason."""
    agent = as_user(gateway, "erin@example.com", "agents-view", owner="web team", act={"sub": "robot-7"})
    kubeconfig = gateway.agent_kubeconfig(agent.token, name="erin", intent="INC-42: disk full?")
    mark = api_server.mark()
    replace(agent, kubeconfig=str(kubeconfig))("get", "configmaps")

    [theirs] = api_server.about(mark, PATH)
    [ours, *_] = [event for event in gateway_events(gateway) if event["auditID"] == theirs["auditID"]]
    [asked] = asked_for(sts, "erin@example.com")
    assert asked["Action"] == "AssumeRole"
    assert asked["RoleArn"] == ours["annotations"]["chaperone.dev/role"]
    assert asked["SourceIdentity"] == asked["RoleSessionName"]
    session = ours["annotations"]["chaperone.dev/session"]
    assert tags(asked) == {"owner": "web team", "intent": "INC-42: disk full_", "session": session}
    assert (gateway.state_dir / "sessions" / session / "audit.jsonl").is_file(), "whose record it is"
    assert json.loads(asked["Policy"])["Statement"] == [{"Effect": "Deny", "Action": "*", "Resource": "*"}]
    name, role = asked["RoleSessionName"], asked["RoleArn"].rpartition("/")[2]
    assert theirs["user"]["extra"]["sessionName"] == [name]
    assert theirs["user"]["extra"]["arn"] == [f"arn:aws:sts::{cluster.account}:assumed-role/{role}/{name}"]
    assert theirs["user"]["extra"]["canonicalArn"] == [asked["RoleArn"]]
    who = {"iss": [gateway.issuer], "act": ["robot-7"], "owner": ["web team"]}
    assert ours["user"]["username"] == f"{gateway.issuer}#erin@example.com"
    assert ours["user"]["extra"] == {f"chaperone.dev/{name}": value for name, value in who.items()}


def test_the_same_person_by_another_actor_is_another_session(
    gateway: GatewayEnv, sts: StsSwitch, as_user: Callable[..., Agent]
) -> None:
    for actor in ("robot-7", "robot-8"):
        as_user(gateway, "frank", "agents-view", act={"sub": actor})("get", "configmaps")
    assert len({asked["RoleSessionName"] for asked in asked_for(sts, "frank")}) == 2


@pytest.fixture
def usual(sts: StsSwitch) -> Iterator[StsSwitch]:
    """The switch, as it was afterwards."""
    yield sts
    sts.off()
    sts.lifetime, sts.delay = 3600, 0
    sts.on()


def test_b80_an_outage_is_noticed_when_the_credential_ends_and_passes_by_itself(
    gateway: GatewayEnv, usual: StsSwitch, mint: Callable[..., str]
) -> None:
    usual.lifetime = LAST_SECONDS + 6
    with client(gateway, mint("grace", groups=["agents-view"])) as http:
        assert http.get(PATH).status_code == 200
        usual.off()
        ends_at = usual.expirations[-1] - LAST_SECONDS
        served = 0
        while (left := ends_at - time.time()) > 0:
            reply, seconds = timed(http)
            assert (reply.status_code == 200 and seconds < AT_ONCE) or left < AT_ONCE, reply.text
            served += reply.status_code == 200
            time.sleep(0.2)
        assert served > 3, "while nobody answered at STS"

        reply, _ = timed(http)
        status: dict[str, Any] = reply.json()
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "5")
        assert (status["kind"], status["reason"], status["details"]["retryAfterSeconds"]) == (
            "Status", "ServiceUnavailable", 5,
        )  # fmt: skip
        for part in ("rule: credential-unavailable", "EndpointConnectionError", "Your own token is fine"):
            assert part in status["message"], status

        usual.on()
        eventually("a credential", lambda: http.get(PATH).status_code == 200, 15)
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert any(line["event"] == "no credential" and line["level"] == "warning" for line in lines)


def test_nobody_waits_for_sts_who_has_a_credential(
    gateway: GatewayEnv, usual: StsSwitch, mint: Callable[..., str]
) -> None:
    usual.lifetime = RENEW_BEFORE + 2
    with client(gateway, mint("heidi", groups=["agents-view"])) as http:
        assert http.get(PATH).status_code == 200
        usual.delay, usual.lifetime = 2, 3600
        longest, began = 0.0, time.monotonic()
        while len(asked_for(usual, "heidi")) < 2:
            assert time.monotonic() - began < 20, "the renewal"
            reply, seconds = timed(http)
            assert reply.status_code == 200
            longest = max(longest, seconds)
            time.sleep(0.1)
        assert longest < AT_ONCE < usual.delay
        assert usual.expirations[-1] - time.time() > RENEW_BEFORE
        assert http.get(PATH).status_code == 200, "with the new one"
    assert len(asked_for(usual, "heidi")) == 2, "once, however many asked meanwhile"
