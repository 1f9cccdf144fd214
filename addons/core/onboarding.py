"""A new cluster behind the gateway: its `Connection`, and what its administrator has to apply around it.

Sources: https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html and `Cluster` in
k8s.io/client-go/tools/clientcmd/api/v1/types.go.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from addons.core.access_spec import ROLE_ARN
from addons.core.kubeconfig import entry

_NAME = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ROLE = re.compile(ROLE_ARN)
_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.*")
TAGS = ["owner", "intent", "session"]
"""That the gateway sets on role sessions."""


class UnusableCluster(ValueError):
    """It cannot stand behind the gateway, or not yet."""


def connection(name: str, server: str, ca_file: str, **spec: Any) -> dict[str, Any]:
    """A Connection document for an API server at the URL `server`. Raises UnusableCluster."""
    if not _NAME.fullmatch(name):
        raise UnusableCluster(f"{name!r} is no name: lower case letters, digits and hyphens")
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
        raise UnusableCluster(f"its server is {server}: only https://HOST[:PORT] can be")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return {
        "apiVersion": "chaperone/v1",
        "kind": "Connection",
        "metadata": {"name": name},
        "spec": {"host": f"{host}:{parts.port or 443}", "caFile": ca_file, **spec},
    }


def certificates(text: Any) -> bytes:
    """A CA bundle in base64, as EKS and kubeconfigs give it. Raises UnusableCluster."""
    try:
        pem = base64.b64decode(str(text), validate=True)
    except binascii.Error:
        pem = b""
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise UnusableCluster("its certificate authority is no certificate")
    return pem


def eks_connection(name: str, cluster: Mapping[str, Any], region: str, ca_file: str) -> tuple[dict[str, Any], bytes]:
    """The Connection of a cluster as DescribeCluster gives it, and its CA bundle. Raises UnusableCluster."""
    if cluster.get("status") not in ("ACTIVE", "UPDATING"):
        raise UnusableCluster(f"its status is {cluster.get('status')}: wait until it is ACTIVE")
    ca = certificates(cluster.get("certificateAuthority", {}).get("data"))
    spec = {"cluster": cluster["name"], "region": region}
    return connection(name, str(cluster["endpoint"]).lower(), ca_file, eks=spec), ca


def kubeconfig_connection(
    name: str, document: Mapping[str, Any], context: str, ca_file: str, kind: str, file: str
) -> tuple[dict[str, Any], str, str]:
    """The Connection of a kubeconfig's cluster, and its CA bundle: in base64, or the file that holds it.

    `kind` is how credentials are made, `file` the kubeconfig. Raises UnusableCluster, or
    UnusableKubeconfig.
    """
    chosen = entry(document, "context", context or str(document.get("current-context") or ""))
    cluster = entry(document, "cluster", str(chosen.get("cluster") or ""))
    if cluster.get("insecure-skip-tls-verify"):
        raise UnusableCluster("it has insecure-skip-tls-verify: the gateway verifies every cluster")
    if cluster.get("proxy-url"):
        raise UnusableCluster("it has a proxy-url: the gateway dials clusters itself")
    data, beside = str(cluster.get("certificate-authority-data") or ""), str(cluster.get("certificate-authority") or "")
    if not (data or beside):
        raise UnusableCluster("it names no certificate authority: add certificate-authority to it")
    spec: dict[str, Any] = {kind: {"kubeconfig": file, **({"context": context} if context else {})}}
    if server_name := cluster.get("tls-server-name"):
        spec["serverName"] = str(server_name)
    return connection(name, str(cluster.get("server") or ""), ca_file, **spec), data, beside


def role_of(caller: str) -> str:
    """The ARN of the role that a caller's ARN is a session of; other ARNs as they are."""
    found = _SESSION.fullmatch(caller)
    return f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}" if found else caller


def role_trust(gateway: str) -> dict[str, Any]:
    """The trust policy of a role of agents: the gateway alone, on behalf of somebody, with its own tags."""
    principal = {"AWS": gateway}
    return _policy(
        {
            "Sid": "TheGatewayAloneAndOnBehalfOfSomebody",
            "Effect": "Allow",
            "Principal": principal,
            "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"],
            "Condition": {"StringLike": {"sts:SourceIdentity": "?*"}},
        },
        {
            "Sid": "WithTheTagsThatTheGatewaySets",
            "Effect": "Allow",
            "Principal": principal,
            "Action": "sts:TagSession",
            "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": TAGS}},
        },
    )


def gateway_permissions(roles: Sequence[str]) -> dict[str, Any]:
    """What the gateway's own role may: assume these, and nothing else."""
    return _policy(
        {
            "Sid": "AssumeTheRolesOfAgents",
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
            "Resource": list(roles),
        }
    )


def access_entries(cluster: Mapping[str, Any], region: str, roles: Sequence[str]) -> list[str]:
    """The commands that give each role a Kubernetes group of its own name, to bind RBAC to. Raises UnusableCluster."""
    if odd := [role for role in roles if not _ROLE.fullmatch(role)]:
        raise UnusableCluster(f"{odd[0]} is no ARN of a role: arn:aws:iam::123456789012:role/NAME")
    common = ["--cluster-name", str(cluster["name"]), "--region", region]
    commands = [
        ["aws", "eks", "create-access-entry", *common, "--principal-arn", role, "--kubernetes-groups", group_of(role)]
        for role in roles
    ]
    if cluster.get("accessConfig", {}).get("authenticationMode") == "CONFIG_MAP":
        mode = "authenticationMode=API_AND_CONFIG_MAP"
        commands.insert(0, ["aws", "eks", "update-cluster-config", "--name", *common[1:], "--access-config", mode])
    return [" ".join(command) for command in commands]


def group_of(role: str) -> str:
    """The Kubernetes group that stands for a role."""
    return f"chaperone:{role.rpartition('/')[2]}"


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
