"""Aggregated discovery, read into the APIResourceList documents of classic discovery.

Source: APIGroupDiscoveryList in k8s.io/api/apidiscovery/v2 (https://kubernetes.io/docs/concepts/overview/kubernetes-api/).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from addons.core.resources import UnreadableDiscovery

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
"""Aggregated discovery where the server has it, classic discovery otherwise."""


def group_versions(document: Mapping[str, Any]) -> list[str]:
    """The paths that classic discovery (`/api` or `/apis`) points to. Raises UnreadableDiscovery."""
    try:
        match document["kind"]:
            case "APIVersions":
                return [f"/api/{version}" for version in document["versions"]]
            case "APIGroupList":
                found = [version["groupVersion"] for group in document["groups"] for version in group["versions"]]
                return [f"/apis/{group_version}" for group_version in found]
    except (KeyError, TypeError):
        pass
    raise UnreadableDiscovery("neither APIVersions nor APIGroupList")


def resource_lists(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The APIResourceList documents that an APIGroupDiscoveryList amounts to. Raises UnreadableDiscovery."""
    try:
        return [
            {"groupVersion": _group_version(group, version), "resources": list(_resources(version))}
            for group in document["items"]
            for version in group["versions"]
        ]
    except (KeyError, TypeError, AttributeError):
        raise UnreadableDiscovery("not an APIGroupDiscoveryList") from None


def _group_version(group: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    name = group["metadata"].get("name", "")  # absent for the core group
    return f"{name}/{version['version']}" if name else str(version["version"])


def _resources(version: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Absent lists are empty ones: an aggregated API that is down is listed without its resources."""
    for resource in version.get("resources", ()):
        name, namespaced = resource["resource"], resource["scope"] == "Namespaced"
        yield _entry(name, namespaced, resource)
        for subresource in resource.get("subresources", ()):
            yield _entry(f"{name}/{subresource['subresource']}", namespaced, subresource)


def _entry(name: str, namespaced: bool, served: Mapping[str, Any]) -> dict[str, Any]:
    kind = (served.get("responseKind") or {}).get("kind", "")
    return {"name": name, "kind": kind, "namespaced": namespaced, "verbs": served["verbs"]}
