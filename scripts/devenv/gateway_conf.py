"""What a gateway in front of one cluster is configured with: mitm.conf, and the rules that know this cluster.

Guardrails and masking are those that the repository ships; connection, identity provider and access rules are written
here, one group of callers to one role each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from scripts.devenv.cluster import Cluster
from scripts.devenv.places import REPOSITORY

CONNECTION = "development"
# Not loopback: Go's clients never proxy that, and would pass the gateway by.  No resolver needs to know it.
AGENT_HOST = "api.cluster.test"
AUDIENCE = "chaperone"
PROVIDER = "people-and-agents"
# Group of the callers -> role that they get.  Where a group holds "admin", nothing but the gateway says no.
GROUPS = {"agents": "admin", "agents-edit": "edit", "agents-view": "view", "agents-narrow": "narrow", "oncall": "edit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A cluster as the gateway reaches it, and how a role becomes a token that it accepts."""

    name: str = CONNECTION
    host: str
    """host:port that agents dial; it need not resolve."""
    address: str
    server_name: str
    ca_file: str
    eks_cluster: str = ""
    region: str = ""
    sts_endpoint: str = ""
    kubeconfig: str = ""
    """Instead of EKS: file with the gateway's own credential."""
    kubeconfig_context: str = ""
    impersonates: bool = False
    """The gateway's own credential impersonates the roles, instead of making tokens of service accounts."""
    issuer: str
    provider: Mapping[str, Any] = field(default_factory=dict)
    """What else the spec of the identity provider says."""
    roles: Mapping[str, str]
    """Group of the callers -> role ARN, service account, or user to impersonate."""
    kubectl: str
    profile: str = "standard"
    """How strictly requests are judged."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the gateway's process gets as its own identity in AWS, over that of the caller."""
    isolated: bool = False
    """True keeps the caller's own AWS settings and proxies from a gateway whose STS is on loopback."""

    @classmethod
    def of(cls, cluster: Cluster, groups: Mapping[str, str] = GROUPS) -> Self:
        """The development cluster."""
        port = urlsplit(cluster.api_url).port
        return cls(
            host=f"{AGENT_HOST}:{port}",
            address=f"127.0.0.1:{port}",
            server_name=AGENT_HOST,
            ca_file=cluster.api_ca,
            eks_cluster=cluster.eks_cluster_name,
            region=cluster.sts_region,
            sts_endpoint=cluster.sts_endpoint_url,
            issuer=cluster.oidc_issuer,
            roles={group: cluster.role_arns[role] for group, role in groups.items()},
            kubectl=cluster.kubectl,
            env=cluster.aws_env,
            isolated=True,
        )


def write_configuration(
    upstream: Upstream, folder: Path, extra_rules: Path | None, settings: Mapping[str, Any]
) -> tuple[Path, int]:
    """The path of mitm.conf, and its number of workers; the rules of this gateway lie beside it."""
    rules = folder / "rules"
    for each in (folder, folder / "state", folder / "certs"):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, documents in _documents(upstream).items():
        path = rules / name / f"{upstream.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    shipped = [REPOSITORY / "rules" / name for name in ("guardrails", "masking")]
    own = [rules, *([extra_rules.resolve()] if extra_rules else [])]
    content: dict[str, Any] = {
        "listen_port": 0,
        "health_port": 0,
        "rules": [str(each) for each in [*shipped, *own]],
        "certs": str(folder / "certs"),
        "state": str(folder / "state"),
        "log_format": "json",
        **settings,
    }
    conf = folder / "mitm.conf"
    conf.write_text(yaml.safe_dump(content, sort_keys=False))
    return conf, int(content.get("workers", 1))


def _documents(upstream: Upstream) -> dict[str, list[dict[str, Any]]]:
    connection = {
        "host": upstream.host,
        "address": upstream.address,
        "serverName": upstream.server_name,
        "caFile": upstream.ca_file,
        "profile": upstream.profile,
        **_credentials(upstream),
    }
    claims = {"groups": "groups", "owner": "owner"}
    provider = {"issuer": upstream.issuer, "audiences": [AUDIENCE], "claims": claims, **upstream.provider}
    right = {"identityProvider": PROVIDER, "connections": [upstream.name]}
    access = [
        _document("Access", group, {**right, "groups": [group], "role": role}) for group, role in upstream.roles.items()
    ]
    return {
        "connections": [_document("Connection", upstream.name, connection)],
        "identity": [_document("IdentityProvider", PROVIDER, provider)],
        "access": access,
    }


def _credentials(upstream: Upstream) -> dict[str, dict[str, str]]:
    if upstream.kubeconfig:
        own = {"kubeconfig": upstream.kubeconfig, "context": upstream.kubeconfig_context}
        kind = "impersonate" if upstream.impersonates else "serviceAccount"
        return {kind: {name: value for name, value in own.items() if value}}
    eks = {"cluster": upstream.eks_cluster, "region": upstream.region, "stsEndpoint": upstream.sts_endpoint}
    return {"eks": {name: value for name, value in eks.items() if value}}


def _document(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "chaperone/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
