"""The `Access` documents: who may hold which role on which connections, for how long, within what, with what intent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from addons.core.access_spec import AccessSpec
from addons.core.connection import EKS, IMPERSONATE, SERVICE_ACCOUNT, Connection
from addons.core.documents import Document, validate
from addons.core.grant import Scope
from addons.core.guardrails.cel import CallerCondition, compile_caller_condition
from addons.core.problem import Problem
from addons.core.saml_provider import Voucher

KIND = "Access"
_ROLES = {
    EKS: ("arn:", "an IAM role"),
    SERVICE_ACCOUNT: ("system:", "a service account"),
    IMPERSONATE: ("user:", "a user to impersonate"),
}
"""By kind of connection: how its roles begin, and what they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """One `Access` document. `identity_provider` is empty where the only one is meant."""

    name: str
    identity_provider: str
    groups: frozenset[str]
    subjects: frozenset[str]
    condition: CallerCondition | None = None
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
        condition=compile_caller_condition(spec.condition) if spec.condition else None,
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
