"""Who the caller is and where it belongs, read from other claims than those of OpenID Connect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, client, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.records import gateway_events

ACCOUNT = 'claims["kubernetes.io"].serviceaccount'
MAPPED = {
    "subject": f'"serviceaccount:" + claims["kubernetes.io"].namespace + ":" + {ACCOUNT}.name',
    "groups": '[claims["kubernetes.io"].namespace == "ci" ? "agents-view" : "interns"]',
    "owner": 'claims["kubernetes.io"].namespace',
}


@pytest.fixture(scope="module")
def mapped(gateways: Gateways) -> GatewayEnv:
    """A gateway that takes tokens of the shape that a cluster gives to pods."""
    gateway = gateways.start("mapped")
    [file] = [path for path in gateway.rules.rglob("*.yaml") if "kind: IdentityProvider" in path.read_text()]
    document = yaml.safe_load(file.read_text())
    document["spec"]["claims"] = MAPPED
    file.write_text(yaml.safe_dump(document))
    eventually("the mapping in force", lambda: "policy loaded" in gateway.log.read_text(), 20)
    return gateway


def account(namespace: str, name: str = "deployer") -> dict[str, Any]:
    return {"kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": "12"}}}


def test_who_it_is_and_its_groups_are_what_the_claims_give(mapped: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    agent = as_user(mapped, "pod-of-ci", "interns", **account("ci"))
    known = json.loads(agent("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    assert "serviceaccount-ci-deployer" in known
    events = [event for event in gateway_events(mapped) if "selfsubjectreviews" in event["requestURI"]]
    assert events, "several, if it was told to try again"
    for event in events:
        assert event["user"]["username"] == f"{mapped.issuer}#serviceaccount:ci:deployer"
        assert event["user"]["groups"] == ["agents-view"]


def test_the_token_s_own_groups_do_not_count(mapped: GatewayEnv, as_user: Callable[..., Agent]) -> None:
    said = as_user(mapped, "pod-of-shop", "agents-view", **account("shop")).refused("get", "pods")
    assert "names you or one of your groups (interns)" in said


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({}, "do not give the", id="no such claim"),
        pytest.param(account("ci", "a b"), "mapped subject must be", id="name with a space"),
        pytest.param({"kubernetes.io": "ci"}, "do not give the", id="no object"),
    ],
)
def test_b22_claims_that_give_nobody_are_a_401(
    claims: dict[str, Any], why: str, mapped: GatewayEnv, mint: Callable[..., str]
) -> None:
    with client(mapped, mint(f"odd-{len(str(claims))}", groups=["agents-view"], claims=claims)) as http:
        reply = http.get("/api/v1/namespaces")
    assert reply.status_code == 401
    assert why in reply.json()["message"]
