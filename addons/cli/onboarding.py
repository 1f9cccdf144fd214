"""`chaperone connections add`: a cluster becomes a connection, and its administrator learns what to apply."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from cyclopts import App, Parameter

from addons.cli.ruleset import Output
from addons.core.connection import compile_connections
from addons.core.documents import parse_documents
from addons.core.onboarding import (
    access_entries,
    certificates,
    eks_connection,
    gateway_permissions,
    group_of,
    kubeconfig_connection,
    role_of,
    role_trust,
)
from addons.core.problem import InvalidConfiguration
from addons.edge.eks import caller_arn, describe_cluster
from addons.edge.kubeconfigs import read_kubeconfig
from addons.settings import load_settings

app = App(
    name="add", help="Put a cluster behind the gateway: eks, kubeconfig. Nothing outside of the rules is changed."
)

_CONF = Path("mitm.conf")
_HEADER = "# yaml-language-server: $schema=../schema/rules.json\n"

Folder = Annotated[
    Path | None, Parameter(help="Folder for the files; left out, `connections` in the first of `rules`.")
]
Force = Annotated[bool, Parameter(help="Replace files that exist.")]


@app.command
def eks(
    name: str,
    *,
    region: str,
    cluster: str = "",
    role_arn: list[str] | None = None,
    gateway_role: str = "",
    endpoint_url: str = "",
    folder: Folder = None,
    force: Force = False,
    output: Output = "text",
    conf: Path = _CONF,
) -> None:
    """Register an EKS cluster, with the endpoint and the CA that AWS names (eks:DescribeCluster).

    Prints what its administrator has to apply so that agents may use the roles: trust policies and access entries.

    Parameters
    ----------
    name
        What rules and people call the connection.
    region
        AWS region of the cluster.
    cluster
        The cluster's name in EKS, if it is another.
    role_arn
        IAM roles that access rules will give to agents; may be repeated.
    gateway_role
        ARN of the gateway's own role; left out, that of whoever runs this.
    endpoint_url
        Another endpoint of AWS, for EKS and STS.
    conf
        The gateway's configuration file.
    """
    described = describe_cluster(cluster or name, region, endpoint_url)
    entries = access_entries(described, region, role_arn or [])
    document, ca = eks_connection(name, described, region, f"{name}-ca.pem")
    written = _write(document, ca, folder or _folder(conf), force)
    roles = role_arn or []
    gateway = gateway_role or (role_of(caller_arn(region, endpoint_url)) if roles else "")
    steps: list[tuple[str, Any]] = []
    if roles:
        steps = [
            (f"let the gateway ({gateway}) assume the roles: its permission policy", gateway_permissions(roles)),
            ("let nobody else: the trust policy of each role", role_trust(gateway)),
            ("map each role to a Kubernetes group, and nothing else", entries),
            ("bind RBAC in the cluster to these groups", [group_of(role) for role in roles]),
        ]
    _tell(written, [*steps, *_last(name)], output)


@app.command
def kubeconfig(
    name: str,
    *,
    kubeconfig: Path,
    context: str = "",
    credentials: Literal["serviceAccount", "impersonate"] = "serviceAccount",
    folder: Folder = None,
    force: Force = False,
    output: Output = "text",
    conf: Path = _CONF,
) -> None:
    """Register the cluster of a kubeconfig, whose user is the gateway's own: it makes the credentials of agents.

    Parameters
    ----------
    name
        What rules and people call the connection.
    kubeconfig
        The file, which stays where it is.
    context
        Its context; left out, the current one.
    credentials
        What agents get: short-lived tokens of service accounts, or the gateway's own with Impersonate headers.
    conf
        The gateway's configuration file.
    """
    file = kubeconfig.resolve()
    ca_file = f"{name}-ca.pem"
    document, data, beside = kubeconfig_connection(
        name, read_kubeconfig(file), context, ca_file, credentials, str(file)
    )
    ca = certificates(data or base64.b64encode((file.parent / beside).read_bytes()).decode())
    rights = "what the user of the kubeconfig may, and nothing else, is in rules/connections/prod.yaml.example"
    _tell(_write(document, ca, folder or _folder(conf), force), [(rights, None), *_last(name)], output)


def _folder(conf: Path) -> Path:
    return Path(load_settings(conf).rules[0]) / "connections"


def _write(document: dict[str, Any], ca: bytes, folder: Path, force: bool) -> list[str]:
    """The files, once the document is known to be right. Raises InvalidConfiguration or FileExistsError."""
    name = document["metadata"]["name"]
    files = {folder / f"{name}.yaml": (_HEADER + yaml.safe_dump(document, sort_keys=False)).encode()}
    ((path, text),) = files.items()
    documents, problems = parse_documents(text.decode(), str(path))
    if problems := problems + compile_connections(documents)[1]:
        raise InvalidConfiguration(problems)
    files[folder / f"{name}-ca.pem"] = ca
    if there := [str(path) for path in files if path.exists() and not force]:
        raise FileExistsError(f"{', '.join(there)} exists: give --force to replace it")
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        path.write_bytes(content)
    return [str(path) for path in files]


def _last(name: str) -> list[tuple[str, Any]]:
    return [
        ("say in rules/access who may use which role on it", None),
        ("check it, and start the gateway anew or send it SIGHUP", [f"chaperone connections check {name}"]),
    ]


def _tell(written: list[str], steps: list[tuple[str, Any]], output: str) -> None:
    if output == "json":
        print(json.dumps({"written": written, "next": [{"do": do, "with": what} for do, what in steps]}, indent=2))
        return
    for path in written:
        print(f"wrote {path}")
    for number, (do, what) in enumerate(steps, 1):
        print(f"\n{number}. {do}{':' if what else ''}")
        for line in what if isinstance(what, list) else json.dumps(what, indent=2).splitlines() if what else ():
            print(f"   {line}")
