"""kubectl's own hint of what it runs, and the sub-command the request looks like.

Both are for people and records. The hint is caller-supplied; neither is ever a policy input.
Source: KEP-859 (kubectl headers); what kubectl 1.37 sends for each of its sub-commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from addons.core.argv import read_command_line
from addons.core.kube_request import KubeRequest

_MAX_HINT = 200
_LENGTHS = frozenset(map(len, ("kubectl-command", "kubectl-session", "user-agent")))
_DISCOVERY = "discovery"
_APPLY_MANAGERS = frozenset({"kubectl-client-side-apply", "kubectl-last-applied"})
_MANAGERS = {
    f"kubectl-{name}": f"kubectl {name}"
    for name in "annotate autoscale cordon create edit expose label patch replace rollout run set taint".split()
}
"""What kubectl names itself in `fieldManager`."""

_SUBRESOURCES = {
    ("pods", "attach"): "kubectl attach",
    ("pods", "portforward"): "kubectl port-forward",
    ("pods", "log"): "kubectl logs",
    ("pods", "ephemeralcontainers"): "kubectl debug",
    ("pods", "eviction"): "kubectl drain",
    ("pods", "resize"): "kubectl patch --subresource=resize",
    ("serviceaccounts", "token"): "kubectl create token",
    ("certificatesigningrequests", "approval"): "kubectl certificate",
}
_WHOAMI = frozenset({"selfsubjectreviews"})
_CAN_I = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews"})
_VERBS = {
    "get": "kubectl get",
    "list": "kubectl get",
    "watch": "kubectl get --watch",
    "create": "kubectl create",
    "update": "kubectl replace",
    "patch": "kubectl patch",
    "delete": "kubectl delete",
    "deletecollection": "kubectl delete --all",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """`claimed` is `Kubectl-Command`, `session` is `Kubectl-Session` (KEP-859); `inferred` is our own."""

    claimed: str = ""
    session: str = ""
    user_agent: str = ""
    inferred: str = ""


def command_of(headers: Iterable[tuple[str, str]], request: KubeRequest | None) -> Command:
    """The hints, made printable and short, and what the request looks like. `request` is None if it is unreadable."""
    hints = {"kubectl-command": "", "kubectl-session": "", "user-agent": ""}
    for name, value in headers:
        if len(name) in _LENGTHS and (lower := name.lower()) in hints and not hints[lower]:
            hints[lower] = printable(value)
    return Command(
        claimed=hints["kubectl-command"],
        session=hints["kubectl-session"],
        user_agent=hints["user-agent"],
        inferred="" if request is None else inferred_command(request),
    )


def printable(text: str, limit: int = _MAX_HINT) -> str:
    """Caller-supplied text on one line: at most `limit` characters, none of which moves a cursor or hides others."""
    if text.isascii() and text.isprintable():
        return text[:limit]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:limit])


def inferred_command(request: KubeRequest) -> str:
    """The kubectl sub-command that sends such a request: a best effort, "" where no sub-command comes to mind."""
    if not request.is_resource_request:
        return _DISCOVERY if request.path.startswith(("/api", "/openapi", "/version")) else ""
    if request.subresource:
        return _of_subresource(request)
    if request.resource in _WHOAMI:
        return "kubectl auth whoami"
    if request.resource in _CAN_I:
        return "kubectl auth can-i"
    manager = request.first("fieldManager")
    if manager in _APPLY_MANAGERS or (manager == "kubectl" and request.verb == "patch"):
        return "kubectl apply"
    return _MANAGERS.get(manager) or _VERBS.get(request.verb, "")


def _of_subresource(request: KubeRequest) -> str:
    if (request.resource, request.subresource) == ("pods", "exec"):
        transfers = read_command_line(request.argv).transfers
        is_copy = request.argv[:1] == ("tar",) and transfers
        return f"kubectl cp ({', '.join(transfers)})" if is_copy else "kubectl exec"
    if request.subresource == "scale" and request.verb in ("update", "patch"):
        return "kubectl scale"
    known = _SUBRESOURCES.get((request.resource, request.subresource))
    return known or (f"{verb} --subresource={request.subresource}" if (verb := _VERBS.get(request.verb)) else "")
