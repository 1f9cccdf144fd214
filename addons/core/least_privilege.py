"""The least that RBAC, and an `Access` document of the gateway, must allow for a session's calls to pass again.

Rights by which somebody gets more than they have are not granted but named, with the reason, for a person to decide.
Sources: k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac; https://kubernetes.io/docs/concepts/security/rbac-good-practices/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from addons.core.calls import Call, Done

_RBAC = "rbac.authorization.k8s.io"
_READS = frozenset({"get", "list", "watch"})
_ESCALATING: Mapping[tuple[str, str], str] = {
    ("", "secrets"): "Secrets hold the credentials of others",
    ("", "serviceaccounts/token"): "it makes credentials of other identities",
    ("", "pods/exec"): "it runs anything with the identity of the pod",
    ("", "pods/attach"): "it speaks with a process that has the identity of the pod",
    ("", "pods/portforward"): "it reaches what the pod's network policies protect",
    ("", "pods/proxy"): "it reaches the pod past its network policies, by the API server",
    ("", "services/proxy"): "it reaches the service past its network policies, by the API server",
    ("", "nodes/proxy"): "it runs commands in every pod of a node, past the API server's audit log",
    ("", "pods/ephemeralcontainers"): "it puts a container of one's choice into a running pod",
    ("certificates.k8s.io", "certificatesigningrequests/approval"): "it makes client certificates for any identity",
    ("certificates.k8s.io", "signers"): "it makes client certificates for any identity",
}
_ESCALATING_VERBS = {
    "impersonate": "it acts as somebody else",
    "escalate": "it grants rights one does not have",
    "bind": "it grants rights one does not have",
    "*": "it means every verb there will ever be",
}
_ESCALATING_WRITES = {
    _RBAC: "it grants rights to others",
    "admissionregistration.k8s.io": "it reads and changes what everybody writes",
    "apiregistration.k8s.io": "it takes over a part of the API",
}
_STREAMS = frozenset({"exec", "attach", "portforward", "proxy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """As in RBAC; `why` not to grant it is empty for what is granted."""

    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    verbs: tuple[str, ...]
    why: str = ""

    def document(self) -> dict[str, list[str]]:
        """The rule as in a Role."""
        if self.paths:
            return {"nonResourceURLs": list(self.paths), "verbs": list(self.verbs)}
        rule = {"apiGroups": list(self.groups), "resources": list(self.resources)}
        return rule | ({"resourceNames": list(self.names)} if self.names else {}) | {"verbs": list(self.verbs)}


def role_rules(calls: Iterable[Call]) -> dict[str, list[PolicyRule]]:
    """The rules by namespace, "" for a ClusterRole. Verbs, names and resources are merged where that grants no more."""
    scopes: dict[str, list[Call]] = defaultdict(list)
    for call in sorted(calls):
        scopes[call.namespace].append(call)
    return {namespace: [*_resource_rules(found), *_path_rules(found)] for namespace, found in sorted(scopes.items())}


def access_spec(done: Done) -> dict[str, Any]:
    """The `spec` of an Access document that allows the granted calls and no others. `role` is "" if it had several."""
    granted = [call for call in done.calls if call.resource and not _why(call)]
    scope: dict[str, Any] = {
        "resources": sorted({_scoped(call) for call in granted}),
        "verbs": sorted({_verb(call) for call in granted}),
    }
    if granted and all(call.namespace for call in granted):
        scope = {"namespaces": sorted({call.namespace for call in granted}), **scope}
    return {
        "description": "What one session needed, and no more.",
        "subjects": [user.rpartition("#")[2] for user in done.users],
        "connections": list(done.connections),
        "role": done.roles[0] if len(done.roles) == 1 else "",
        "scope": scope,
    }


def _resource_rules(calls: list[Call]) -> list[PolicyRule]:
    verbs: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)  # of group, resource, name and why not
    for call in calls:
        if call.resource:
            verbs[call.group, call.resource, call.name, _why(call)].add(call.verb)
    names: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, name, why), used in verbs.items():
        rest = used - verbs.get((group, resource, "", why), set()) if name else used
        if rest:
            names[group, resource, why, tuple(sorted(rest))].append(name)
    resources: dict[tuple[str, str, tuple[str, ...], tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource, why, used_verbs), found in names.items():
        resources[group, why, used_verbs, tuple(filter(None, sorted(found)))].append(resource)
    return [
        PolicyRule(groups=(group,), resources=tuple(sorted(found)), names=named, verbs=used_verbs, why=why)
        for (group, why, used_verbs, named), found in sorted(resources.items())
    ]


def _path_rules(calls: list[Call]) -> list[PolicyRule]:
    paths: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        if call.path:
            paths[call.verb].update(_pattern(call.path))
    return [PolicyRule(paths=tuple(sorted(found)), verbs=(verb,)) for verb, found in sorted(paths.items())]


def _pattern(path: str) -> tuple[str, ...]:
    """Discovery is one right, however much of it was looked at; other paths stand for themselves."""
    root = "/" + path.strip("/").partition("/")[0]
    return (root, f"{root}/*") if root in ("/api", "/apis", "/openapi") else (path,)


def _why(call: Call) -> str:
    """Why a person should decide about this right; "" for an ordinary one."""
    if why := _ESCALATING.get((call.group, call.resource)) or _ESCALATING_VERBS.get(call.verb):
        return why
    if "*" in call.resource or "*" in call.group:
        return "it means every resource there will ever be"
    return _ESCALATING_WRITES.get(call.group, "") if call.verb not in _READS else ""


def _scoped(call: Call) -> str:
    """As access scopes write it: `deployments.apps/scale`."""
    resource, slash, subresource = call.resource.partition("/")
    return f"{resource}.{call.group}{slash}{subresource}" if call.group else call.resource


def _verb(call: Call) -> str:
    return "connect" if call.resource.partition("/")[2] in _STREAMS else call.verb
