"""How far a request reaches, in words for the human who is asked: objects, namespaces, replicas, owners.

From what is known already: the request, the objects that rules read, the count of a deletecollection. What is not known
is said to be unknown; nothing is asked of the cluster for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addons.core.guardrails.blast_radius import PAGE
from addons.core.kube_request import KubeRequest

UNKNOWN = "unknown"
_SCALED = frozenset({"deployments", "statefulsets", "replicasets", "replicationcontrollers"})
_OWNING = _SCALED | {"daemonsets", "jobs", "cronjobs"}
_WRITES = frozenset({"create", "update", "patch", "delete"})

Object = Mapping[str, Any] | None
Blast = tuple[tuple[str, str], ...]


def blast(request: KubeRequest, after: Object, before: Object, affected: int | None) -> Blast:
    """Names and values; empty for what is no request for resources."""
    if not request.is_resource_request:
        return ()
    found = [
        ("objects", _objects(request, affected)),
        ("namespaces", _namespaces(request)),
        ("replicas", _replicas(request, after, before)),
        ("owned by", _owner(request, before)),
        ("owns", _owned(request)),
        ("dry run", "nothing is stored" if request.dry_run else ""),
    ]
    return tuple((name, value) for name, value in found if value)


def _objects(request: KubeRequest, affected: int | None) -> str:
    if request.resource == "namespaces" and request.verb == "delete" and not request.subresource:
        return f"{UNKNOWN}: the namespace, with everything in it"
    if request.verb == "deletecollection":
        if affected is None:
            return f"{UNKNOWN}: all that it selects"
        return f"more than {PAGE}" if affected > PAGE else str(affected)
    if not request.name and request.verb in ("list", "watch"):
        return f"{UNKNOWN}: all that it selects"
    return "1"


def _namespaces(request: KubeRequest) -> str:
    if request.namespace:
        return request.namespace
    if request.name or request.verb == "create":
        return "none: it belongs to the whole cluster"
    return "all, if there are any of it"


def _replicas(request: KubeRequest, after: Object, before: Object) -> str:
    """Those that are wanted, before and after."""
    if request.resource not in _SCALED or request.verb not in _WRITES or request.subresource not in ("", "scale"):
        return ""
    gone, new = request.verb == "delete", request.verb == "create" and not request.subresource
    return f"{'0' if new else _wanted(before)} → {'0' if gone else _wanted(after)}"


def _wanted(content: Object) -> str:
    spec = content.get("spec") if content is not None else None
    if not isinstance(spec, Mapping):
        return UNKNOWN
    replicas = spec.get("replicas", 1)  # source: the default of apps/v1
    return str(replicas) if isinstance(replicas, int) else UNKNOWN


def _owner(request: KubeRequest, before: Object) -> str:
    """Whoever makes another one of what is deleted."""
    if request.verb != "delete" or request.subresource:
        return ""
    if before is None:
        return UNKNOWN
    metadata = before.get("metadata")
    references = metadata.get("ownerReferences") if isinstance(metadata, Mapping) else None
    owners = [each for each in references or () if isinstance(each, Mapping) and each.get("controller")]
    names = ", ".join(f"{each.get('kind')} {each.get('name')}" for each in owners)
    return f"{names}, which may make another one" if names else "nobody"


def _owned(request: KubeRequest) -> str:
    if request.verb != "delete" or request.subresource or request.resource not in _OWNING:
        return ""
    options = request.delete_options
    if options.orphan_dependents or options.propagation_policy == "Orphan":
        return "pods and whatever else it has made stay"
    return "pods and whatever else it has made are deleted, too"
