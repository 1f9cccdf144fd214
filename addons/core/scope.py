"""Whether a request lies within a grant's scope. Narrows what the role could do; never widens it.

Resources are written as kubectl takes them: `pods`, `pods/log`, `deployments.apps`, `deployments.apps/scale`; `pods/*`
is every subresource of pods, `*.apps` everything in a group. Without a group the core group is meant. Verbs are the API
server's, and `connect` for the subresources that open a stream, whatever the method: GET opens an exec as POST does.
Deliberately outside of scopes: non-resource paths (discovery, version), which every client needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from addons.core.grant import Scope
from addons.core.kube_request import KubeRequest

CONNECT = "connect"


def outside_scope(request: KubeRequest, scope: Scope) -> str:
    """What lies outside of the scope, as a sentence for the caller; `""` when the request is within it."""
    if not request.is_resource_request:
        return ""
    verb = CONNECT if request.is_connect else request.verb
    if scope.verbs and verb not in scope.verbs:
        return f"the verb {verb or request.method} is not among {_listed(scope.verbs)}"
    if scope.resources and not _covers(scope.resources, request):
        return f"the resource {resource_name(request)} is not among {_listed(scope.resources)}"
    if scope.namespaces and request.namespace not in scope.namespaces:
        where = f"the namespace {request.namespace}" if request.namespace else "cluster scope (or all namespaces)"
        return f"{where} is not among {_listed(scope.namespaces)}"
    return ""


def resource_name(request: KubeRequest) -> str:
    """The request's resource as scopes write it: `deployments.apps/scale`."""
    name = f"{request.resource}.{request.api_group}" if request.api_group else request.resource
    return f"{name}/{request.subresource}" if request.subresource else name


def spoken(request: KubeRequest) -> str:
    """The request in words, for refusals: `open pods/exec web in namespace shop`. What opens a stream is opened."""
    if not request.resource:
        return f"pass on {request.method} {request.path}"
    verb = "open" if request.is_connect else request.verb or request.method
    name = f" {request.name}" if request.name else ""
    where = f" in namespace {request.namespace}" if request.namespace else ""
    return f"{verb} {resource_name(request)}{name}{where}"


def _covers(resources: tuple[str, ...], request: KubeRequest) -> bool:
    name = resource_name(request)
    return (
        name in resources
        or (request.api_group != "" and f"*.{request.api_group}" in resources)
        or (request.subresource != "" and f"{name.partition('/')[0]}/*" in resources)
    )


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
