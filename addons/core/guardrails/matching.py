"""The structural half of a rule: which requests it is about, before any condition is evaluated.

Resources are written as in ValidatingAdmissionPolicy's `resourceRules`: `pods`, `pods/exec`, `pods/*`, `*/scale`, `*`
(every resource, no subresource), `*/*` (everything). Source: `Matcher` in
k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules/rules.go. `pods/*` includes `pods`, as there.

What is deliberately stricter than RBAC's `resourceNames`: a request that reaches several objects (list, watch,
deletecollection) or all namespaces matches a rule about one of them, because that one is among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from addons.core.guardrails.models import MatchSpec
from addons.core.kube_request import CONNECT_SUBRESOURCES, KubeRequest

CONNECT = "connect"
COLLECTION_VERBS = frozenset({"list", "watch", "deletecollection"})
OBJECT_VERBS = frozenset({"create", "update", "patch"})
REPLACING_VERBS = frozenset({"update", "patch", "delete"})

Patterns = tuple[re.Pattern[str], ...]


def effective_verb(request: KubeRequest) -> str:
    """The verb rules see: `connect` for connect subresources whatever the method (exec is GET *and* POST)."""
    return CONNECT if request.is_connect else request.verb


def carries_object(request: KubeRequest) -> bool:
    """True for requests whose body results in an object; for all others `object` is null."""
    return request.verb in OBJECT_VERBS and not request.is_connect


def replaces_object(request: KubeRequest) -> bool:
    """True for requests that change or remove what is there; for all others `oldObject` is null."""
    return request.verb in REPLACING_VERBS and not request.is_connect


def reaches_many(request: KubeRequest) -> bool:
    """True for requests that change any number of objects at once; for all others `affected` is 1."""
    return request.verb == "deletecollection"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One rule's `match`, compiled. Empty patterns leave that dimension open."""

    groups: Patterns
    resources: frozenset[tuple[str, str]]
    excluded: frozenset[tuple[str, str]]
    verbs: frozenset[str]
    namespaces: Patterns
    names: Patterns
    connections: Patterns
    spec: MatchSpec
    each: str = "request"
    """What is judged: the request, or what happens in the session it opens."""

    def about(self, group: str, resource: str, subresource: str, verb: str, connection: str) -> bool:
        """True if requests of this shape can match. Depends on nothing else, so the answer can be cached.

        A non-resource request (`/version`) has no resource and is never meant.
        """
        return (
            bool(resource)
            and fits(self.groups, group)
            and ("*" in self.verbs or verb in self.verbs)
            and _named(self.resources, resource, subresource)
            and not _named(self.excluded, resource, subresource)
            and (not self.connections or fits(self.connections, connection))
        )

    @property
    def narrow(self) -> bool:
        """True if the namespace or name of each request must be looked at too."""
        return bool(self.namespaces or self.names)

    def within(self, request: KubeRequest) -> bool:
        """True if the request's namespace and name can be meant. A create's name is only in its object: `named`."""
        several = request.verb in COLLECTION_VERBS
        return (
            not self.namespaces or (several and not request.namespace) or fits(self.namespaces, request.namespace)
        ) and (not self.names or not request.name or fits(self.names, request.name))

    def misses(self, request: KubeRequest, connection: str) -> tuple[str, ...]:
        """The fields of `match` that keep the rule from being about the request; none for a candidate."""
        several = request.verb in COLLECTION_VERBS
        met = {
            "apiGroups": fits(self.groups, request.api_group),
            "resources": bool(request.resource) and _named(self.resources, request.resource, request.subresource),
            "excludeResources": not _named(self.excluded, request.resource, request.subresource),
            "verbs": not self.verbs.isdisjoint({"*", effective_verb(request)}),
            "namespaces": not self.namespaces
            or (several and not request.namespace)
            or fits(self.namespaces, request.namespace),
            "names": not self.names or not request.name or fits(self.names, request.name),
            "connections": not self.connections or fits(self.connections, connection),
        }
        return tuple(field for field, holds in met.items() if not holds)

    def named(self, name: str) -> bool:
        """True if an object of this name is meant."""
        return not self.names or fits(self.names, name)


def compile_match(spec: MatchSpec) -> Matcher:
    """The compiled `match` of a valid rule."""
    return Matcher(
        groups=compile_patterns(spec.api_groups),
        resources=frozenset(split_resource(resource) for resource in spec.resources),
        excluded=frozenset(split_resource(resource) for resource in spec.exclude_resources),
        verbs=frozenset(spec.verbs),
        namespaces=compile_patterns(spec.namespaces),
        names=compile_patterns(spec.names),
        connections=compile_patterns(spec.connections),
        spec=spec,
        each=spec.each,
    )


def split_resource(text: str) -> tuple[str, str]:
    """`pods/exec` as (`pods`, `exec`); a plain resource has subresource `""`."""
    resource, _, subresource = text.partition("/")
    return resource, subresource


def _named(wanted: frozenset[tuple[str, str]], resource: str, subresource: str) -> bool:
    return (
        (resource, subresource) in wanted
        or ("*", subresource) in wanted
        or (resource, "*") in wanted
        or ("*", "*") in wanted
    )


def names_connect(groups: Iterable[str], resource: str) -> bool:
    """True if a rule's resource entry names a connect subresource outright, wildcards aside."""
    return split_resource(resource) in CONNECT_SUBRESOURCES and not {"", "*"}.isdisjoint(groups)


def compile_patterns(globs: Iterable[str]) -> Patterns:
    """Names with `*` as wildcard, compiled."""
    return tuple(re.compile(".*".join(map(re.escape, glob.split("*")))) for glob in globs)


def fits(patterns: Patterns, text: str) -> bool:
    """True if one of the patterns is the whole text."""
    return any(pattern.fullmatch(text) for pattern in patterns)
