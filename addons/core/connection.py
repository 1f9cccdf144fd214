"""One cluster behind the gateway, and the `Connection` documents that register it.

The CA bundle is only named here; reading and checking it is `addons/edge/tls.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from addons.core.decision import Thresholds
from addons.core.documents import Document, SpecModel, validate
from addons.core.problem import Problem
from addons.core.profile import THRESHOLDS, Profile

KIND = "Connection"
EKS, SERVICE_ACCOUNT, IMPERSONATE = "eks", "serviceAccount", "impersonate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """`host` and `port` are what agents dial (the CONNECT target) and the only key policy uses to choose a cluster.

    `address` is where the gateway dials; `server_name` is the name verified in the cluster's certificate, against the
    CA bundle in the file `ca_file` (absolute path) and nothing else.
    """

    name: str
    host: str
    port: int
    address: tuple[str, int]
    server_name: str
    ca_file: str
    eks_cluster: str = ""
    region: str = ""
    sts_endpoint_url: str = ""
    """Empty: the region's public STS endpoint."""
    kubeconfig: str = ""
    """File (absolute path) with the gateway's own credential: it makes tokens of service accounts, or impersonates."""
    kubeconfig_context: str = ""
    audiences: tuple[str, ...] = ()
    """Of those tokens; empty: the API server's own."""
    impersonates: bool = False
    profile: Profile = Profile.STANDARD
    thresholds: Thresholds = THRESHOLDS[Profile.STANDARD]

    @property
    def kind(self) -> str:
        """What makes its credentials."""
        if self.eks_cluster:
            return EKS
        return IMPERSONATE if self.impersonates else SERVICE_ACCOUNT


_HOST = r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])"
HostPort = Annotated[
    str,
    StringConstraints(pattern=rf"^{_HOST}:[1-9][0-9]{{0,4}}$", max_length=259),
    Field(description="host:port, lower case, no scheme, no trailing dot"),
]


class EksSpec(SpecModel):
    """How the role's credential becomes a token this cluster accepts."""

    cluster: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$")] = Field(
        description="EKS cluster name, the `x-k8s-aws-id` of its tokens"
    )
    region: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")] = Field(
        description="AWS region of the cluster"
    )
    sts_endpoint: Annotated[str, StringConstraints(pattern=r"^(https://|http://(localhost|127\.0\.0\.1)[:/])\S+$")] = (
        Field(
            default="",
            validate_default=False,
            description="URL of another STS endpoint for AssumeRole, a VPC endpoint for one",
        )
    )


class ImpersonateSpec(SpecModel):
    """How a cluster hears in whose name it is asked: the gateway's own credential, with Impersonate-* headers."""

    kubeconfig: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="file with the gateway's own token, which may impersonate the users and groups of the access rules"
        " and nothing else; a relative path is taken from the folder of this file"
    )
    context: str = Field(default="", description="the context of that file; left out, its current one")


class ServiceAccountSpec(SpecModel):
    """How a cluster that is not EKS gets its tokens: short-lived ones of service accounts (TokenRequest)."""

    kubeconfig: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="file with the gateway's own credential, which may create serviceaccounts/token and nothing else;"
        " a relative path is taken from the folder of this file"
    )
    context: str = Field(default="", description="the context of that file; left out, its current one")
    audiences: list[Annotated[str, StringConstraints(min_length=1)]] = Field(
        default=[], description="of the tokens; left out, the API server's own"
    )


Risk = Annotated[int, Field(ge=0, le=101)]


class ThresholdsSpec(SpecModel):
    """Risk (0-100) from which this connection warns, asks a human, denies; left out, the profile's; 101 is never."""

    warn: Risk | None = Field(default=None, description="from here the agent is warned")
    approve: Risk | None = Field(default=None, description="from here a human is asked")
    deny: Risk | None = Field(default=None, description="from here it is denied")


class ConnectionSpec(SpecModel):
    """A cluster that agents may reach through the gateway."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in (EKS, SERVICE_ACCOUNT, IMPERSONATE)]}
    )

    host: HostPort = Field(description="host:port agents dial, as in their kubeconfig's server address")
    address: HostPort | None = Field(default=None, description="host:port the gateway dials; left out, the same")
    server_name: Annotated[str, StringConstraints(pattern=rf"^{_HOST}$")] | None = Field(
        default=None, description="name in the cluster's certificate; left out, that of `host`"
    )
    ca_file: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="the cluster's CA bundle (PEM); a relative path is taken from the folder of this file"
    )
    eks: EksSpec | None = Field(default=None, description="an EKS cluster; else one of the next two")
    service_account: ServiceAccountSpec | None = Field(
        default=None, description="any other cluster: agents get tokens of service accounts"
    )
    impersonate: ImpersonateSpec | None = Field(
        default=None, description="any cluster: the gateway impersonates users, whom the cluster's audit log then names"
    )
    profile: Literal["observe", "standard", "strict"] = Field(
        default="standard",
        description="how strictly it is judged: `observe` reports and stops nothing, `strict` asks a human earlier",
    )
    thresholds: ThresholdsSpec = ThresholdsSpec()

    @model_validator(mode="after")
    def _one_kind(self) -> ConnectionSpec:
        if [self.eks, self.service_account, self.impersonate].count(None) != 2:
            raise ValueError(
                "give one of eks, serviceAccount, impersonate: what makes the credentials for this cluster"
            )
        return self


def compile_connections(documents: Iterable[Document]) -> tuple[dict[str, Connection], list[Problem]]:
    """The connections by name, and every mistake: unknown keys, bad addresses, a name or host:port used twice."""
    connections: dict[str, Connection] = {}
    problems: list[Problem] = []
    targets: dict[tuple[str, int], str] = {}
    for document in documents:
        if document.kind != KIND:
            continue
        spec, mistakes = validate(document, ConnectionSpec)
        if spec is not None:
            connection, mistakes = _connection(document, spec)
            if document.name in connections:
                mistakes.append(document.problem(("metadata", "name"), f"two connections are named {document.name}"))
            other = targets.setdefault((connection.host, connection.port), document.name)
            if other != document.name:
                mistakes.append(
                    document.problem(("spec", "host"), f"{spec.host} is already the host of connection {other}")
                )
            connections.setdefault(document.name, connection)
        problems.extend(mistakes)
    return connections, problems


def moved(
    documents: Iterable[Document], connections: Mapping[str, Connection], known: Mapping[str, Connection]
) -> list[Problem]:
    """A problem for each connection that is another cluster, or another way to one, than it was by that name before."""
    return [
        document.problem(
            ("spec",),
            f"{document.name}: all but profile and thresholds of a connection in use can only change with a restart",
        )
        for document in documents
        if document.kind == KIND
        and document.name in connections
        and document.name in known
        and _place(connections[document.name]) != _place(known[document.name])
    ]


def _place(connection: Connection) -> Connection:
    return replace(connection, profile=Profile.STANDARD, thresholds=THRESHOLDS[Profile.STANDARD])


def by_target(connections: Mapping[str, Connection]) -> dict[tuple[str, int], Connection]:
    """The same connections by what agents dial: the CONNECT target."""
    return {(connection.host, connection.port): connection for connection in connections.values()}


def resolve_path(file: str, path: str) -> str:
    """`path`, taken from the folder of the rule file `file` unless it is absolute."""
    folder, slash, _ = file.rpartition("/")
    return path if path.startswith("/") else f"{folder}{slash}{path}"


def _connection(document: Document, spec: ConnectionSpec) -> tuple[Connection, list[Problem]]:
    problems = [
        document.problem(("spec", key), f"{key}: the port must be below 65536")
        for key, value in (("host", spec.host), ("address", spec.address))
        if value is not None and _split(value)[1] > 65535
    ]
    profile = Profile(spec.profile)
    thresholds = replace(THRESHOLDS[profile], **spec.thresholds.model_dump(exclude_none=True))
    if not thresholds.warn <= thresholds.approve <= thresholds.deny:
        problems.append(document.problem(("spec", "thresholds"), f"thresholds: must be ordered, and are {thresholds}"))
    host, port = _split(spec.host)
    connection = Connection(
        name=document.name,
        host=host,
        port=port,
        address=_split(spec.address or spec.host),
        server_name=(spec.server_name or host).strip("[]"),
        ca_file=resolve_path(document.file, spec.ca_file),
        profile=profile,
        thresholds=thresholds,
        **_credentials(document, spec),
    )
    return connection, problems


def _credentials(document: Document, spec: ConnectionSpec) -> dict[str, Any]:
    if spec.eks is not None:
        eks = spec.eks
        return {"eks_cluster": eks.cluster, "region": eks.region, "sts_endpoint_url": eks.sts_endpoint}
    own = spec.service_account or spec.impersonate
    assert own is not None, "the model has one of the three"
    found = {"kubeconfig": resolve_path(document.file, own.kubeconfig), "kubeconfig_context": own.context}
    if isinstance(own, ServiceAccountSpec):
        return {**found, "audiences": tuple(own.audiences)}
    return {**found, "impersonates": True}


def _split(host_port: str) -> tuple[str, int]:
    host, _, port = host_port.rpartition(":")
    return host.strip("[]"), int(port)
