"""A person's own cluster, as their kubeconfig describes it: what the gateway needs to stand in front of it.

In front of EKS, or another cluster that runs aws-iam-authenticator, the gateway assumes an IAM role, as it does in
production, and signs an EKS token.  In front of any other, it makes tokens of a service account with the kubeconfig's
own user; no request of the agent is sent with that.
"""

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import yaml

from scripts.devenv.gateway_conf import AGENT_HOST, Upstream
from scripts.devenv.places import DevelopmentProblem

# What each flag of `aws eks get-token` and `aws-iam-authenticator token` says.
_CLUSTER_FLAGS = ("--cluster-name", "--cluster-id", "-i")
_REGION_FLAGS = ("--region",)
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the command line says about the cluster; empty where it says nothing."""

    kubeconfig: Path
    context: str = ""
    role_arn: str = ""
    eks_cluster: str = ""
    region: str = ""
    sts_endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A cluster's address, CA (PEM), and name and region in AWS, empty where it is not EKS.

    `env` is what its kubeconfig sets for AWS tools.
    """

    name: str
    host: str
    port: int
    server_name: str
    ca: bytes
    eks_cluster: str
    region: str
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """One context of a kubeconfig, looked up."""

    name: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]


def upstream_of(choices: Choices, folder: Path, issuer: str, kubectl: Path, roles: Mapping[str, str]) -> Upstream:
    """The cluster of a kubeconfig, with `roles` by groups of callers; its CA is copied into `folder`.

    Raises DevelopmentProblem, in one sentence, where the kubeconfig does not say enough.
    """
    found = examine(choices)
    ca_file = folder / "cluster-ca.pem"
    ca_file.write_bytes(found.ca)
    address = f"{_bracketed(found.host)}:{found.port}"
    return Upstream(
        name=_name(found.name),
        # Clients in Go never proxy a loopback address: they get a name for it that exists only behind the gateway.
        host=f"{AGENT_HOST}:{found.port}" if _is_loopback(found.host) else address,
        address=address,
        server_name=found.server_name,
        ca_file=str(ca_file),
        eks_cluster=found.eks_cluster,
        region=found.region,
        sts_endpoint=choices.sts_endpoint,
        kubeconfig="" if found.eks_cluster else str(choices.kubeconfig.resolve()),
        kubeconfig_context="" if found.eks_cluster else choices.context,
        issuer=issuer,
        roles=roles,
        kubectl=str(kubectl),
        env=found.env,
    )


def examine(choices: Choices) -> Found:
    """What the kubeconfig and the command line say together; reads, and starts nothing.  Raises DevelopmentProblem."""
    context = _context(choices)
    plugin = context.user.get("exec") or {}
    arguments = [str(each) for each in plugin.get("args") or []]
    variables = {str(each["name"]): str(each["value"]) for each in plugin.get("env") or []}
    server = urlsplit(str(context.cluster.get("server", "")))
    eks_cluster = choices.eks_cluster or _flag(arguments, _CLUSTER_FLAGS)
    region = choices.region or _flag(arguments, _REGION_FLAGS) or _region(variables, server.hostname)
    if any((choices.role_arn, choices.sts_endpoint, eks_cluster, region)):
        _require_all(choices, context.name, eks_cluster, region)
    host, port = _server(choices, context.name, server, context.cluster)
    return Found(
        name=eks_cluster or context.name,
        host=host,
        port=port,
        server_name=str(context.cluster.get("tls-server-name") or _bracketed(host)),
        ca=_ca(choices, context),
        eks_cluster=eks_cluster,
        region=region,
        # The profile that the person uses for this cluster, if the kubeconfig names one.
        env={name: value for name, value in variables.items() if name.startswith("AWS_")},
    )


def _context(choices: Choices) -> _Context:
    try:
        document = yaml.safe_load(choices.kubeconfig.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DevelopmentProblem(f"{choices.kubeconfig} cannot be read as a kubeconfig: {error}") from None
    document = document if isinstance(document, dict) else {}
    name = choices.context or str(document.get("current-context") or "")
    context = _named(document, "contexts", name).get("context")
    if not context:
        raise DevelopmentProblem(
            f"{choices.kubeconfig} has no context {name!r}: name one with --context"
            if name
            else f"{choices.kubeconfig} has no current context: name one with --context"
        )
    cluster = _named(document, "clusters", context.get("cluster", "")).get("cluster") or {}
    user = _named(document, "users", context.get("user", "")).get("user") or {}
    return _Context(name=name, cluster=cluster, user=user)


def _named(document: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    return next((each for each in document.get(kind) or [] if each.get("name") == name), {})


def _flag(arguments: Sequence[str], names: Sequence[str]) -> str:
    """The value of a flag, written as `--flag value` or `--flag=value`."""
    for argument, following in pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else following
    return ""


def _region(variables: Mapping[str, str], host: str | None) -> str:
    named = next((variables[name] for name in _REGION_VARIABLES if variables.get(name)), "")
    parts = (host or "").split(".")
    # ID.gr7.REGION.eks.amazonaws.com
    return named or (parts[parts.index("eks") - 1] if "eks" in parts[1:] and "amazonaws" in parts else "")


def _require_all(choices: Choices, context: str, eks_cluster: str, region: str) -> None:
    wanted = {"--role-arn": choices.role_arn, "--eks-cluster": eks_cluster, "--region": region}
    missing = [flag for flag, value in wanted.items() if not value]
    if missing == ["--role-arn"]:
        raise DevelopmentProblem("name the IAM role that agents get in this cluster with --role-arn ARN (see --help)")
    if missing:
        raise DevelopmentProblem(
            f"context {context} of {choices.kubeconfig} does not sign in by `aws eks get-token` with a cluster name and"
            f" region; if the cluster accepts EKS tokens, add {', '.join(missing)}, and if it does not, leave all of"
            " these out: the agent then gets a service account"
        )


def _server(choices: Choices, context: str, server: SplitResult, cluster: Mapping[str, Any]) -> tuple[str, int]:
    where = f"the server of context {context} in {choices.kubeconfig}"
    if server.scheme != "https" or not server.hostname:
        raise DevelopmentProblem(f"{where} is no https:// URL: {server.geturl() or 'none is named'}")
    if server.path.strip("/"):
        raise DevelopmentProblem(f"{where} is below a path ({server.path}), which the gateway cannot stand in front of")
    if cluster.get("proxy-url"):
        raise DevelopmentProblem(f"{where} is reached through another proxy (proxy-url), which the gateway cannot use")
    return server.hostname, server.port or 443


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ca(choices: Choices, context: _Context) -> bytes:
    data, file = context.cluster.get("certificate-authority-data"), context.cluster.get("certificate-authority")
    where = f"the certificate authority of context {context.name} in {choices.kubeconfig}"
    if not data and not file:
        raise DevelopmentProblem(f"{where} is not named, and the gateway verifies every cluster")
    try:
        # "Relative paths are resolved relative to the location of the kubeconfig file."
        return base64.b64decode(data) if data else (choices.kubeconfig.parent / str(file)).read_bytes()
    except (OSError, ValueError) as error:
        raise DevelopmentProblem(f"{where} cannot be read: {error}") from None


def _name(text: str) -> str:
    """A connection's name: like a DNS label."""
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in text.lower())[:63].strip("-")
