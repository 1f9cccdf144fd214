"""What a new cluster's Connection is made of, and what its administrator is told."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from addons.core.kubeconfig import UnusableKubeconfig
from addons.core.onboarding import (
    UnusableCluster,
    access_entries,
    certificates,
    connection,
    eks_connection,
    gateway_permissions,
    kubeconfig_connection,
    role_of,
    role_trust,
)

ROOT = Path(__file__).parents[2]
PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
CA = base64.b64encode(PEM).decode()
ROLES = ["arn:aws:iam::123456789012:role/agent-view", "arn:aws:iam::123456789012:role/agent-edit"]
CLUSTER: dict[str, Any] = {
    "name": "prod",
    "status": "ACTIVE",
    "endpoint": "https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com",
    "certificateAuthority": {"data": CA},
    "accessConfig": {"authenticationMode": "API"},
}


def test_an_eks_cluster() -> None:
    document, ca = eks_connection("live", CLUSTER, "eu-central-1", "live-ca.pem")
    assert ca == PEM
    assert document["metadata"] == {"name": "live"}
    assert document["spec"] == {
        "host": "0123456789abcdef.gr7.eu-central-1.eks.amazonaws.com:443",
        "caFile": "live-ca.pem",
        "eks": {"cluster": "prod", "region": "eu-central-1"},
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": "CREATING"}, "its status is CREATING"),
        ({"certificateAuthority": {}}, "no certificate"),
        ({"certificateAuthority": {"data": "?"}}, "no certificate"),
        ({"certificateAuthority": {"data": base64.b64encode(b"x").decode()}}, "no certificate"),
        ({"endpoint": "http://plain.example"}, "only https"),
    ],
)
def test_a_cluster_that_cannot_be_registered(change: dict[str, Any], why: str) -> None:
    with pytest.raises(UnusableCluster, match=why):
        eks_connection("live", {**CLUSTER, **change}, "eu-central-1", "live-ca.pem")


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("https://api.example", "api.example:443"),
        ("https://api.example:6443/", "api.example:6443"),
        ("https://[fd00::1]:6443", "[fd00::1]:6443"),
    ],
)
def test_servers(server: str, host: str) -> None:
    assert connection("c", server, "ca.pem")["spec"]["host"] == host


@pytest.mark.parametrize("name", ["", "Prod", "../prod", "a b"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UnusableCluster, match="is no name"):
        connection(name, "https://api.example", "ca.pem")


@pytest.mark.parametrize("server", ["", "api.example:6443", "https://api.example/k8s/clusters/c", "https://"])
def test_servers_that_cannot_be(server: str) -> None:
    with pytest.raises(UnusableCluster, match="only https"):
        connection("c", server, "ca.pem")


def config(**cluster: Any) -> dict[str, Any]:
    whole = {"server": "https://api.example:6443", "certificate-authority-data": CA, **cluster}
    return {
        "clusters": [{"name": "c", "cluster": {key: value for key, value in whole.items() if value is not None}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def test_the_cluster_of_a_kubeconfig() -> None:
    made = kubeconfig_connection("dev", config(), "", "dev-ca.pem", "serviceAccount", "/k")
    assert made[0]["spec"] == {
        "host": "api.example:6443",
        "caFile": "dev-ca.pem",
        "serviceAccount": {"kubeconfig": "/k"},
    }
    assert made[1:] == (CA, "")
    beside = config(**{"certificate-authority-data": None, "certificate-authority": "ca.crt", "tls-server-name": "k8s"})
    document, data, file = kubeconfig_connection("dev", beside, "x", "dev-ca.pem", "impersonate", "/k")
    assert (document["spec"]["serverName"], data, file) == ("k8s", "", "ca.crt")
    assert document["spec"]["impersonate"] == {"kubeconfig": "/k", "context": "x"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"insecure-skip-tls-verify": True}, "verifies every cluster"),
        ({"proxy-url": "http://p"}, "dials clusters itself"),
        ({"certificate-authority-data": None}, "names no certificate authority"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(change: dict[str, Any], why: str) -> None:
    with pytest.raises(UnusableCluster, match=why):
        kubeconfig_connection("dev", config(**change), "", "ca", "serviceAccount", "/k")
    with pytest.raises(UnusableKubeconfig, match="no context 'other'"):
        kubeconfig_connection("dev", config(), "other", "ca", "serviceAccount", "/k")


@pytest.mark.parametrize(
    ("caller", "role"),
    [
        ("arn:aws:sts::123456789012:assumed-role/chaperone/i-1", "arn:aws:iam::123456789012:role/chaperone"),
        ("arn:aws-cn:sts::123456789012:assumed-role/c/x/y", "arn:aws-cn:iam::123456789012:role/c"),
        ("arn:aws:iam::123456789012:user/alice", "arn:aws:iam::123456789012:user/alice"),
    ],
)
def test_the_role_of_a_caller(caller: str, role: str) -> None:
    assert role_of(caller) == role


def test_the_policies_are_those_of_the_deployment_guide() -> None:
    def shipped(name: str) -> Any:
        return json.loads((ROOT / "deploy" / "eks" / name).read_text())

    assert role_trust("arn:aws:iam::123456789012:role/chaperone") == shipped("agent-role-trust.json")
    assert gateway_permissions(ROLES) == shipped("gateway-permissions.json")


def test_access_entries() -> None:
    first, second = access_entries(CLUSTER, "eu-central-1", ROLES)
    assert first == (
        "aws eks create-access-entry --cluster-name prod --region eu-central-1"
        " --principal-arn arn:aws:iam::123456789012:role/agent-view --kubernetes-groups chaperone:agent-view"
    )
    assert "agent-edit" in second
    old = {**CLUSTER, "accessConfig": {"authenticationMode": "CONFIG_MAP"}}
    assert access_entries(old, "eu-central-1", ROLES)[0] == (
        "aws eks update-cluster-config --name prod --region eu-central-1"
        " --access-config authenticationMode=API_AND_CONFIG_MAP"
    )


def test_only_roles_are_mapped() -> None:
    with pytest.raises(UnusableCluster, match="no ARN of a role"):
        access_entries(CLUSTER, "eu-central-1", [*ROLES, "agent-view; rm -rf /"])


def test_a_bundle_is_bytes_or_text() -> None:
    assert certificates(CA) == PEM
