"""Every PodSpec of an object, wherever it sits, and every container of those.

Built-in workloads have it at one known place. Anything else (custom resources) is searched for mappings that look like
a PodSpec, because operators put them anywhere: Argo, Knative, Tekton, KubeVirt, Strimzi. What is found there is cut to
the fields whose type is a PodSpec's, so that a custom field of the same name and another type does not stop a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_TEMPLATE = ("spec", "template", "spec")
_PLACES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec",),
    ("", "podtemplates"): ("template", "spec"),
    ("", "replicationcontrollers"): _TEMPLATE,
    ("apps", "deployments"): _TEMPLATE,
    ("apps", "replicasets"): _TEMPLATE,
    ("apps", "statefulsets"): _TEMPLATE,
    ("apps", "daemonsets"): _TEMPLATE,
    ("batch", "jobs"): _TEMPLATE,
    ("batch", "cronjobs"): ("spec", "jobTemplate", *_TEMPLATE),
}
_GROUPS_WITHOUT = frozenset(
    {
        "",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "internal.apiserver.k8s.io",
        "lifecycle.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)
"""Built-in groups of Kubernetes 1.37 whose objects hold no PodSpec, but for the places above."""

CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")
_CUSTOM_LISTS = ("sidecars", "steps")  # Argo Workflows, Tekton
_CUSTOM_SINGLE = ("container", "script", "stepTemplate")
_POD_FIELDS: Mapping[str, type] = {
    **dict.fromkeys((*CONTAINER_LISTS, *_CUSTOM_LISTS, "volumes", "tolerations", "imagePullSecrets"), list),
    **dict.fromkeys((*_CUSTOM_SINGLE, "nodeSelector"), dict),
    **dict.fromkeys(("hostPID", "hostIPC", "hostNetwork", "hostUsers", "shareProcessNamespace"), bool),
    **dict.fromkeys(("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"), str),
    "automountServiceAccountToken": bool,
}
_CONTAINER_FIELDS: Mapping[str, type] = {
    **dict.fromkeys(("ports", "env", "envFrom", "volumeMounts", "volumeDevices", "command", "args"), list),
    **dict.fromkeys(("securityContext", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"), dict),
    **dict.fromkeys(("name", "image", "imagePullPolicy"), str),
}
_SECURITY = "securityContext"


def may_hold_pod_specs(group: str, resource: str) -> bool:
    """False only for built-in resources known to hold no PodSpec."""
    return (group, resource) in _PLACES or group not in _GROUPS_WITHOUT


def pod_specs_of(group: str, resource: str, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The PodSpecs of an object of this resource; empty when it has none."""
    place = _PLACES.get((group, resource))
    if place is None:
        return list(_search(content)) if group not in _GROUPS_WITHOUT else []
    found: Any = content
    for key in place:
        found = found.get(key) if isinstance(found, dict) else None
    return [found] if isinstance(found, dict) else []


def containers_of(pod_specs: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Containers, init containers and ephemeral containers of all the PodSpecs, in that order."""
    return [
        container
        for spec in pod_specs
        for key in (*CONTAINER_LISTS, *_CUSTOM_LISTS)
        for container in spec.get(key) or ()
    ]


def _search(value: Any) -> Iterator[dict[str, Any]]:
    """Everything under `value` that has a PodSpec's or a container's fields, shaped as PodSpecs."""
    if isinstance(value, list):
        for item in value:
            yield from _search(item)
    elif isinstance(value, dict):
        if found := _shaped(value):
            yield found
        for item in value.values():
            yield from _search(item)


def _shaped(value: Mapping[str, Any]) -> dict[str, Any]:
    spec = _typed(value, _POD_FIELDS)
    for key in (*CONTAINER_LISTS, *_CUSTOM_LISTS):
        if key in spec:
            spec[key] = [_typed(item, _CONTAINER_FIELDS) for item in spec[key]]
    for key in ("volumes", "tolerations", "imagePullSecrets"):
        if key in spec:
            spec[key] = [item for item in spec[key] if isinstance(item, dict)]
    single = [_typed(spec.pop(key), _CONTAINER_FIELDS) for key in _CUSTOM_SINGLE if key in spec]
    if isinstance(value.get(_SECURITY), dict):
        # Operators put a container's fields under names of their own (Strimzi: template.kafkaContainer).
        single.append(_typed(value, _CONTAINER_FIELDS))
        spec[_SECURITY] = value[_SECURITY]
    if single:
        spec["containers"] = [*spec.get("containers", ()), *single]
    return spec


def _typed(value: Any, fields: Mapping[str, type]) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {key: value[key] for key in value.keys() & fields.keys() if isinstance(value[key], fields[key])}
