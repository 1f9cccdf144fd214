"""Every PodSpec of an object, wherever it sits, and every container of those.

Built-in workloads have it at one known place. Anything else (custom resources) is searched for mappings that look like
a PodSpec, because operators put them anywhere: Argo, Knative, Tekton, KubeVirt, Strimzi. What is found there is brought
into the shape of a PodSpec, so that a custom field of the same name and another type does not stop a rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from addons.core import strict_yaml
from addons.core.guardrails.pod_shape import mapping, mappings, shape
from addons.core.strict_json import UnreadableBody

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
_PATCH = "podSpecPatch"


@dataclass(frozen=True, slots=True)
class Pod:
    """A PodSpec and the metadata beside it.

    `whole` is False for fragments: fields of a pod or container that something else completes, so that what is missing
    says nothing.
    """

    spec: Mapping[str, Any]
    metadata: Mapping[str, Any]
    whole: bool = True

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """Containers, init containers and ephemeral containers, in that order."""
        return [container for key in CONTAINER_LISTS for container in mappings(self.spec.get(key))]


def may_hold_pod_specs(group: str, resource: str) -> bool:
    """False only for built-in resources known to hold no PodSpec."""
    return (group, resource) in _PLACES or group not in _GROUPS_WITHOUT


def pods_of(group: str, resource: str, content: Mapping[str, Any]) -> list[Pod]:
    """The pods an object of this resource describes; empty when it describes none."""
    place = _PLACES.get((group, resource))
    if place is None:
        return list(_search(content, {})) if group not in _GROUPS_WITHOUT else []
    found: Any = content
    for key in place[:-1]:
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get(place[-1]), dict):
        return []
    return [Pod(found[place[-1]], mapping(found.get("metadata")))]


def _search(value: Any, metadata: Mapping[str, Any]) -> Iterator[Pod]:
    """Everything under `value` that has a PodSpec's or a container's fields. `metadata` is what stands beside it."""
    if isinstance(value, list):
        for item in value:
            yield from _search(item, {})
    elif isinstance(value, dict):
        yield from _pod(value, metadata)
        yield from _pod(_patch(value.get(_PATCH)), {})
        beside = mapping(value.get("metadata"))
        for key, item in value.items():
            yield from _search(item, beside if key == "spec" else {})


def _patch(text: Any) -> Mapping[str, Any]:
    """Argo's `podSpecPatch`, a PodSpec as text; empty for one with template variables, which nobody can read yet."""
    try:
        return mapping(strict_yaml.loads(text.encode())) if isinstance(text, str) else {}
    except UnreadableBody:
        return {}


def _pod(value: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Pod]:
    """What of a mapping is a pod's, with all its containers where a PodSpec has them; nothing if nothing is."""
    spec = shape(value, "PodSpec")
    whole = "containers" in spec
    others = [item for key in _CUSTOM_LISTS if isinstance(value.get(key), list) for item in value[key]]
    others += [value.get(key) for key in _CUSTOM_SINGLE]
    if not whole and isinstance(value.get("securityContext"), dict):
        others.append(value)  # operators put a container's fields under names of their own (Strimzi: kafkaContainer)
    if more := [container for container in (shape(item, "Container") for item in others) if container]:
        spec["containers"] = [*spec.get("containers", ()), *more]
    if spec:
        yield Pod(spec, metadata, whole)
