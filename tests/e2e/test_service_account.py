"""A cluster that is not EKS: agents get a service account's token, and never the gateway's own credential."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from tests.e2e.agent import Agent
from tests.e2e.gateways import Gateways
from tests.e2e.people import chaperone
from tests.e2e.records import ACCOUNT, gateway_events
from tests.support.kubernetes import Kubectl


def accounts(cluster: Cluster, role: str) -> Upstream:
    """The cluster as one that is not EKS; the gateway's own credential is the administrator's client certificate."""
    eks = Upstream.of(cluster, {"agents": "admin"})
    own = cluster.admin_kubeconfig
    return replace(eks, eks_cluster="", region="", sts_endpoint="", kubeconfig=own, roles={"agents": role})


@pytest.fixture(scope="module")
def role(admin: Kubectl) -> str:
    """A service account that may look at pods and ConfigMaps of its namespace."""
    admin("create", "serviceaccount", ACCOUNT)
    admin("create", "role", ACCOUNT, "--verb=get,list,watch", "--resource=pods,configmaps")
    admin("create", "rolebinding", ACCOUNT, f"--role={ACCOUNT}", f"--serviceaccount={admin.namespace}:{ACCOUNT}")
    return f"system:serviceaccount:{admin.namespace}:{ACCOUNT}"


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, cluster: Cluster, role: str) -> GatewayEnv:
    return gateways.start("service-account", accounts(cluster, role), rules=None)


@pytest.fixture(scope="module")
def caller(gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> Iterator[Agent]:
    yield as_user(gateway, "accountant", "agents").within(admin.namespace)


def test_the_cluster_sees_the_service_account(caller: Agent, role: str) -> None:
    assert role in caller("auth", "whoami", "-o", "json")
    assert "kube-root-ca.crt" in caller("get", "configmaps")


def test_its_rights_are_the_clusters_to_give(caller: Agent) -> None:
    said = caller.refused("get", "deployments")
    assert "cannot list resource" in said and "chaperone refused" not in said


def test_the_record_names_the_caller_and_the_account(caller: Agent, gateway: GatewayEnv, role: str) -> None:
    caller("get", "pods")
    event = [each for each in gateway_events(gateway) if each["requestURI"].partition("?")[0].endswith("/pods")][-1]
    assert event["user"]["username"].endswith("#accountant")
    assert event["annotations"]["chaperone.dev/role"] == role


def test_the_doctor_knows_it(gateway: GatewayEnv) -> None:
    done = chaperone(gateway, "doctor")
    assert "own credential for" in done.stdout
    assert "makes tokens of service accounts and does nothing else" in done.stdout


def test_an_account_that_is_gone_is_the_gateways_trouble(
    gateways: Gateways, cluster: Cluster, as_user: Callable[..., Agent]
) -> None:
    gone = accounts(cluster, "system:serviceaccount:default:no-such-account")
    other = gateways.start("service-account-gone", gone, rules=None)
    with as_user(other, "accountless", "agents").http() as http:
        reply = http.get("/api/v1/namespaces/default/pods")
    assert (reply.status_code, "retry-after" in reply.headers) == (503, False)
    assert "no credential for development: NotFound" in reply.json()["message"]


def test_a_kubeconfig_that_went_bad_is_named(
    gateways: Gateways, cluster: Cluster, role: str, as_user: Callable[..., Agent], tmp_path: Path
) -> None:
    own = tmp_path / "own.kubeconfig"
    own.write_text(Path(cluster.admin_kubeconfig).read_text())
    other = gateways.start("service-account-bad", replace(accounts(cluster, role), kubeconfig=str(own)), rules=None)
    document = yaml.safe_load(own.read_text())
    document["users"][0]["user"] = {"exec": {"command": "x", "env": [{"value": "hunter2"}]}}
    own.write_text(yaml.safe_dump(document))
    with as_user(other, "unlucky", "agents").http() as http:
        reply = http.get("/api/v1/namespaces/default/pods")
    said = reply.json()["message"]
    assert (reply.status_code, "retry-after" in reply.headers, "hunter2" in reply.text) == (503, False, False)
    assert f"{own}: user {document['users'][0]['name']}: exec.apiVersion: Field required" in said
    assert "exec.env.0.name: Field required; write {apiVersion:" in said
