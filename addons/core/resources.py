"""Which resources a cluster serves, whether they live in a namespace, and which verbs they take.

Comes from the cluster's own discovery; `BUILTIN` is for where there is no cluster. What is not listed is refused: a
request nobody can name, or that names a resource in the wrong scope (CVE-2019-11247), is never forwarded.
Source: APIResourceList in k8s.io/apimachinery/pkg/apis/meta/v1, `registerResourceHandlers` in
k8s.io/apiserver/pkg/endpoints/installer.go for which paths exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from addons.core.builtin_resources import OFF_BY_DEFAULT, SERVED_BY_DEFAULT, STANDARD_VERBS
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal

UNKNOWN_RESOURCE = "unknown-resource"
UNKNOWN_SUBRESOURCE = "unknown-subresource"
WRONG_SCOPE = "wrong-scope"
UNKNOWN_VERB = "unknown-verb"
NON_RESOURCE_PATH = "non-resource-path"

STALE_RULES = frozenset({UNKNOWN_RESOURCE, UNKNOWN_SUBRESOURCE, WRONG_SCOPE, UNKNOWN_VERB})
"""Refusals that newer discovery may lift: a CRD was installed since."""

_READ_METHODS = ("GET", "HEAD")
_NON_RESOURCE = re.compile(
    r"/api(/[^/]+)?|/apis(/[^/]+){0,2}|/version|/openapi(/.*)?|/(healthz|livez|readyz)(/.*)?", re.DOTALL
)
_ALLOWED_PATHS = "/api, /apis, /version, /openapi, /healthz, /livez and /readyz"
_ACROSS_NAMESPACES = ("list", "watch")


class UnreadableDiscovery(ValueError):
    """A discovery document is not what the API promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource or subresource (`pods/exec`) of one group and version."""

    kind: str
    namespaced: bool
    verbs: frozenset[str]


class Resources:
    """An immutable index of what one cluster serves."""

    __slots__ = ("_index", "_versions")

    def __init__(self, index: Mapping[tuple[str, str, str], Resource]) -> None:
        """`index` maps (group, version, name) to a resource, subresources as `name/subresource`."""
        self._index = dict(index)
        self._versions: dict[str, list[str]] = {}
        for group, version, name in self._index:
            if "/" not in name:
                self._versions.setdefault(name, []).append(f"{group}/{version}".lstrip("/"))

    def get(self, group: str, version: str, resource: str, subresource: str = "") -> Resource | None:
        """The resource, None when the cluster does not serve it."""
        return self._index.get((group, version, f"{resource}/{subresource}" if subresource else resource))

    def of(self, request: KubeRequest) -> Resource | None:
        """The resource or subresource a request is about."""
        return self.get(request.api_group, request.api_version, request.resource, request.subresource)

    def versions_of(self, resource: str) -> tuple[str, ...]:
        """Every `group/version` that serves a resource of this name, for hints."""
        return tuple(self._versions.get(resource, ()))

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Every (group, version, name), subresources as `name/subresource`."""
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    @classmethod
    def from_discovery(cls, lists: Iterable[Mapping[str, Any]]) -> Resources:
        """Built from APIResourceList documents. Raises UnreadableDiscovery rather than dropping an entry."""
        index: dict[tuple[str, str, str], Resource] = {}
        for document in lists:
            match document:
                case {"groupVersion": str(group_version), "resources": list(items)}:
                    group, _, version = group_version.rpartition("/")
                    index.update({(group, version, name): item for name, item in map(_from_item, items)})
                case _:
                    raise UnreadableDiscovery("not an APIResourceList")
        return cls(index)


def refusal_of(request: KubeRequest, resources: Resources) -> Refusal | None:
    """Why the cluster's API has no such request (403, with the rule that says so); None when it has."""
    if not request.is_resource_request:
        return _non_resource(request)
    if not request.verb:
        return _refusal(
            UNKNOWN_VERB, "this HTTP method stands for no Kubernetes verb", "use GET, POST, PUT, PATCH, DELETE"
        )
    resource = resources.get(request.api_group, request.api_version, request.resource)
    served = resources.of(request) if request.subresource else resource
    if resource is None and served is None:
        return _unknown_resource(request, resources)
    if served is None or not _path_is_served(request):
        return _refusal(
            UNKNOWN_SUBRESOURCE,
            f"{request.resource} have no subresource {request.subresource} on this cluster",
            f"kubectl get --raw {_discovery_path(request)} lists what there is",
        )
    if not _scope_fits(request, served.namespaced):
        return _wrong_scope(request, served.namespaced)
    if request.verb not in served.verbs or not _method_fits(request):
        return _refusal(
            UNKNOWN_VERB,
            f"{_what(request)} do not take the verb {request.verb}",
            f"it takes: {', '.join(sorted(served.verbs)) or 'none'}",
        )
    return None


def _from_item(item: Any) -> tuple[str, Resource]:
    match item:
        case {"name": str(name), "kind": str(kind), "namespaced": bool(namespaced), "verbs": list(verbs)}:
            return name, Resource(kind=kind, namespaced=namespaced, verbs=frozenset(map(str, verbs)))
    raise UnreadableDiscovery("an APIResource needs name, kind, namespaced and verbs")


def _from_table(*tables: str) -> Resources:
    index = {}
    for line in "".join(tables).split("\n"):
        if not line:
            continue
        group_version, name, kind, scope, verbs = line.split(" ")
        group, _, version = group_version.rpartition("/")
        taken = (STANDARD_VERBS if verbs == "*" else verbs).split(",")
        index[group, version, name] = Resource(kind=kind, namespaced=scope == "namespaced", verbs=frozenset(taken))
    return Resources(index)


def _non_resource(request: KubeRequest) -> Refusal | None:
    if not _NON_RESOURCE.fullmatch(request.path):
        return _refusal(
            NON_RESOURCE_PATH, "this path is no Kubernetes resource", f"the gateway passes on {_ALLOWED_PATHS}"
        )
    if request.method not in _READ_METHODS:
        return _refusal(UNKNOWN_VERB, "such paths are only read", "use GET")
    return None


def _path_is_served(request: KubeRequest) -> bool:
    """Only proxies, and what other API servers add, have anything below a subresource."""
    if len(request.parts) <= 3 or request.subresource == "proxy" or request.verb == "proxy":
        return True
    return BUILTIN.get(request.api_group, request.api_version, request.resource) is None


def _scope_fits(request: KubeRequest, namespaced: bool) -> bool:
    if namespaced:
        return bool(request.namespace) or (request.verb in _ACROSS_NAMESPACES and len(request.parts) == 1)
    if request.resource == "namespaces" and not request.api_group:
        return f"/namespaces/{request.namespace}/namespaces" not in request.path
    return not request.namespace


def _method_fits(request: KubeRequest) -> bool:
    """A verb that came from the path (`/api/v1/watch/pods`) is still served by GET alone."""
    return request.verb != "watch" or request.method in _READ_METHODS


def _unknown_resource(request: KubeRequest, resources: Resources) -> Refusal:
    elsewhere = resources.versions_of(request.resource)
    hint = f"it is served by {', '.join(elsewhere)}" if elsewhere else "kubectl api-resources lists what there is"
    return _refusal(UNKNOWN_RESOURCE, f"this cluster does not serve {_what(request)}", hint)


def _wrong_scope(request: KubeRequest, namespaced: bool) -> Refusal:
    if namespaced:
        return _refusal(WRONG_SCOPE, f"{_what(request)} live in a namespace and the path names none", "name one: -n")
    return _refusal(WRONG_SCOPE, f"{_what(request)} belong to the cluster, not to a namespace", "leave -n out")


def _refusal(rule: str, why: str, hint: str) -> Refusal:
    return Refusal(code=403, rule=rule, why=why, hint=hint)


def _what(request: KubeRequest) -> str:
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    return f"{resource} in {_discovery_path(request)}"


def _discovery_path(request: KubeRequest) -> str:
    group = f"/{request.api_group}" if request.api_group else ""
    return f"/{request.api_prefix}{group}/{request.api_version}"


BUILTIN = _from_table(SERVED_BY_DEFAULT)
"""What a kube-apiserver 1.37 serves with default flags."""
BUILTIN_AND_OPTIONAL = _from_table(SERVED_BY_DEFAULT, OFF_BY_DEFAULT)
"""And with every alpha and beta version switched on."""
