"""The `Access` documents: who may hold which role on which connections, for how long, within what, with what intent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import re2
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from addons.core.connection import EKS, IMPERSONATE, SERVICE_ACCOUNT, Connection
from addons.core.documents import Document, SpecModel, validate
from addons.core.grant import Scope
from addons.core.impersonation import ROLE, reserved
from addons.core.problem import Problem
from addons.core.saml_provider import Voucher

KIND = "Access"

_QUIET = re2.Options()
_QUIET.log_errors = False


def _pattern(text: str) -> str:
    try:
        re2.compile(text, _QUIET)
    except re2.error as error:
        raise ValueError(f"not a pattern: {error}") from error
    return text


Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ROLE_ARN = r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}"
_SERVICE_ACCOUNT = r"system:serviceaccount:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?:[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def _not_reserved(role: str) -> str:
    if not role.startswith("system:") and reserved(role):
        raise ValueError("names that begin with system: are not impersonated")
    return role


Role = Annotated[
    str, StringConstraints(pattern=rf"^({ROLE_ARN}|{_SERVICE_ACCOUNT}|{ROLE})$"), AfterValidator(_not_reserved)
]
_ROLES = {
    EKS: ("arn:", "an IAM role"),
    SERVICE_ACCOUNT: ("system:", "a service account"),
    IMPERSONATE: ("user:", "a user to impersonate"),
}
"""By kind of connection: how its roles begin, and what they are."""
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Resource = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]+(\.[a-z0-9.-]+)?(/(\*|[a-z]+))?|\*\.[a-z0-9][a-z0-9.-]*)$")
]
Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "connect"]


class ScopeSpec(SpecModel):
    """Narrows what the role could do. What is left out is left to the cluster's RBAC."""

    namespaces: list[Namespace] = Field(default=[], description="with these, cluster-scoped requests are outside")
    resources: list[Resource] = Field(
        default=[],
        description="`pods`, `pods/log`, `pods/*`, `deployments.apps/scale`, `*.apps`; no group: the core group",
    )
    verbs: list[Verb] = Field(
        default=[], description="`connect` is exec, attach, portforward, proxy, whatever the method"
    )


class IntentSpec(SpecModel):
    """What the caller must say it is doing."""

    pattern: Annotated[str, AfterValidator(_pattern)] = Field(description="RE2 expression the whole intent must match")
    example: Text = Field(description="an intent that matches, shown to agents whose intent does not")

    @model_validator(mode="after")
    def _example_matches(self) -> IntentSpec:
        if re2.fullmatch(self.pattern, self.example) is None:
            raise ValueError("the example does not match the pattern")
        return self


class OnRequestSpec(SpecModel):
    """Makes it a right that callers ask for (`chaperone request`), for at most `durationSeconds`."""

    approvers: list[Text] = Field(default=[], description="members of one of these groups decide, never the requester")
    approvals: Annotated[int, Field(ge=1, le=9)] = Field(default=1, description="how many of them have to agree")
    automatic: bool = Field(default=False, description="granted as soon as it is asked for: nobody is asked")

    @model_validator(mode="after")
    def _somebody_decides(self) -> OnRequestSpec:
        if self.automatic == bool(self.approvers):
            raise ValueError("name approvers, or say automatic: true")
        return self


class AccessSpec(SpecModel):
    """A right that callers hold as long as their token is valid, in windows of `durationSeconds`; or on request."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["groups"]}, {"required": ["subjects"]}]})

    description: Text | None = Field(default=None, description="what the right is for")
    identity_provider: Text | None = Field(
        default=None, description="name of the provider who vouches for the callers; may be left out where there is one"
    )
    groups: list[Text] = Field(default=[], description="callers in one of these groups")
    subjects: list[Text] = Field(default=[], description="callers with one of these `sub`")
    connections: Annotated[list[Text], Field(min_length=1)] = Field(description="names of the clusters it is about")
    role: Role = Field(
        description="the IAM role assumed for the caller (`eks` connections), the service account whose token is used,"
        " `system:serviceaccount:NAMESPACE:NAME` (`serviceAccount` connections), or who is impersonated,"
        " `user:NAME group:NAME …`, where `{sub}` in the user is the caller's subject (`impersonate` connections)"
    )
    duration_seconds: Annotated[int, Field(ge=900, le=43200)] = Field(
        default=3600,
        description="longest window of one grant; the role's own sessions never exceed 3600 (role chaining)",
    )
    scope: ScopeSpec = ScopeSpec()
    unmask: list[Text] = Field(
        default=[],
        description="masking rules that do not hold for what these callers are shown (records stay masked); `secrets`"
        " shows the values of Secrets",
    )
    intent: IntentSpec | None = None
    on_request: OnRequestSpec | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        default=0, description="the highest wins; among equals there must be one role"
    )

    @model_validator(mode="after")
    def _somebody(self) -> AccessSpec:
        if not self.groups and not self.subjects:
            raise ValueError("groups or subjects must name somebody")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One `Access` document. `identity_provider` is empty where the only one is meant."""

    name: str
    identity_provider: str
    groups: frozenset[str]
    subjects: frozenset[str]
    connections: frozenset[str]
    role: str
    duration_seconds: int
    scope: Scope
    unmask: tuple[str, ...] = ()
    intent_pattern: str = ""
    intent_example: str = ""
    priority: int = 0
    on_request: bool = False
    approvers: tuple[str, ...] = ()
    """None where it grants automatically."""
    approvals: int = 1
    document: Document = field(compare=False, repr=False)


AccessRules = tuple[AccessRule, ...]


def compile_access(documents: Iterable[Document]) -> tuple[AccessRules, list[Problem]]:
    """The access rules by falling priority, then name, and every mistake in the documents themselves."""
    rules: dict[str, AccessRule] = {}
    problems: list[Problem] = []
    for document in documents:
        if document.kind != KIND:
            continue
        spec, mistakes = validate(document, AccessSpec)
        problems.extend(mistakes)
        if document.name in rules:
            problems.append(document.problem(("metadata", "name"), f"two access rules are named {document.name}"))
        if spec is not None:
            rules.setdefault(document.name, _rule(document, spec))
    return tuple(sorted(rules.values(), key=lambda rule: (-rule.priority, rule.name))), problems


def cross_check(
    connections: Mapping[str, Connection], providers: Iterable[Voucher], rules: Iterable[AccessRule]
) -> list[Problem]:
    """Every reference that leads nowhere: unknown connections or providers, roles of another kind of connection."""
    clusters, issuers = frozenset(connections), frozenset(provider.name for provider in providers)
    dangling = [problem for rule in rules for problem in _dangling(rule, clusters, issuers)]
    return dangling + [problem for rule in rules for problem in _misplaced(rule, connections)]


def check_unmask(rules: Iterable[AccessRule], masking: frozenset[str]) -> list[Problem]:
    """Every `unmask` that names none of the masking rules."""
    return [
        rule.document.problem(("spec", "unmask", index), f"there is no masking rule {name}; {_known(masking)}")
        for rule in rules
        for index, name in enumerate(rule.document.spec.get("unmask", ()))
        if name not in masking
    ]


def _misplaced(rule: AccessRule, connections: Mapping[str, Connection]) -> Iterator[Problem]:
    for name in sorted(rule.connections & connections.keys()):
        begins, wanted = _ROLES[connections[name].kind]
        if not rule.role.startswith(begins):
            text = f"connection {name} is of kind {connections[name].kind}, whose role is {wanted}"
            yield rule.document.problem(("spec", "role"), text)


def _dangling(rule: AccessRule, clusters: frozenset[str], issuers: frozenset[str]) -> Iterator[Problem]:
    problem = rule.document.problem
    for index, name in enumerate(rule.document.spec["connections"]):
        if name not in clusters:
            yield problem(("spec", "connections", index), f"there is no connection {name}; {_known(clusters)}")
    if rule.identity_provider and rule.identity_provider not in issuers:
        text = f"there is no identity provider {rule.identity_provider}; {_known(issuers)}"
        yield problem(("spec", "identityProvider"), text)
    if not rule.identity_provider and len(issuers) != 1:
        yield problem(("spec",), f"identityProvider must be given unless there is exactly one; {_known(issuers)}")


def _known(names: frozenset[str]) -> str:
    return f"known: {', '.join(sorted(names)) or 'none'}"


def _rule(document: Document, spec: AccessSpec) -> AccessRule:
    return AccessRule(
        name=document.name,
        identity_provider=spec.identity_provider or "",
        groups=frozenset(spec.groups),
        subjects=frozenset(spec.subjects),
        connections=frozenset(spec.connections),
        role=spec.role,
        duration_seconds=spec.duration_seconds,
        scope=Scope(
            namespaces=tuple(spec.scope.namespaces),
            resources=tuple(spec.scope.resources),
            verbs=tuple(spec.scope.verbs),
        ),
        unmask=tuple(sorted(set(spec.unmask))),
        intent_pattern=spec.intent.pattern if spec.intent else "",
        intent_example=spec.intent.example if spec.intent else "",
        priority=spec.priority,
        on_request=spec.on_request is not None,
        approvers=tuple(spec.on_request.approvers) if spec.on_request else (),
        approvals=spec.on_request.approvals if spec.on_request else 1,
        document=document,
    )
