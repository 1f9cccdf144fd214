"""What a rule asks an external policy service: OPA, Kyverno, any admission webhook. Who sends it is
`edge/policy_service.py`, what comes back `answer.py`.

Source: `AdmissionReview` in k8s.io/api/admission/v1/types.go.
"""

from __future__ import annotations

from typing import Any

from addons.core.guardrails.answer import API_VERSION
from addons.core.guardrails.cel import Unevaluable
from addons.core.guardrails.facts import OPERATIONS, Facts
from addons.core.guardrails.matching import carries_object
from addons.core.kube_request import KubeRequest
from addons.core.resources import BUILTIN_AND_OPTIONAL

_CONNECT_KINDS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}


def review(uid: str, facts: Facts, after: Any, before: Any) -> dict[str, Any]:
    """The AdmissionReview of a request; `after` and `before` are its objects as they may leave the gateway.

    Raises Unevaluable when the object is not known.
    """
    request = facts.request
    if carries_object(request) and after is None:
        raise Unevaluable("the object this request results in is not known")
    return {
        "apiVersion": API_VERSION,
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": _kind(request, after or before),
            "resource": {"group": request.api_group, "version": request.api_version, "resource": request.resource},
            "subResource": request.subresource,
            "name": request.name,
            "namespace": request.namespace,
            "operation": "CONNECT" if request.is_connect else OPERATIONS.get(request.verb, ""),
            "userInfo": _user_info(facts),
            "object": _connect_options(request) if request.is_connect else after,
            "oldObject": before,
            "dryRun": request.dry_run,
        },
    }


def _kind(request: KubeRequest, content: Any) -> dict[str, str]:
    if request.is_connect:
        return {"group": "", "version": "v1", "kind": _CONNECT_KINDS.get(request.subresource, "")}
    match content:
        case {"apiVersion": str(group_version), "kind": str(kind)}:
            group, _, version = group_version.rpartition("/")
            return {"group": group, "version": version, "kind": kind}
    known = BUILTIN_AND_OPTIONAL.of(request)
    kind = known.kind if known is not None else ""
    return {"group": request.api_group, "version": request.api_version, "kind": kind}


def _connect_options(request: KubeRequest) -> dict[str, Any]:
    """As the API server gives them to admission: PodExecOptions and its kin."""
    options = {
        "command": list(request.argv),
        "container": request.container,
        "stdin": request.stdin,
        "stdout": request.stdout,
        "stderr": request.stderr,
        "tty": request.tty,
        "ports": list(request.ports),
    }
    kind = _CONNECT_KINDS.get(request.subresource, "")
    return {"apiVersion": "v1", "kind": kind, **{name: value for name, value in options.items() if value}}


def _user_info(facts: Facts) -> dict[str, Any]:
    identity = facts.identity
    if identity is None:
        return {"username": "", "groups": []}
    extra = {"act": identity.act, "owner": identity.owner, "intent": facts.grant.intent if facts.grant else ""}
    return {
        "username": identity.username,
        "groups": list(identity.groups),
        "extra": {f"chaperone.dev/{name}": [value] for name, value in extra.items() if value},
    }
