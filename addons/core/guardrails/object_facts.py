"""What a condition may know of the object of a write: what it results in, what is there now, the pods of both.

A JSON null is left out, because the API server reads null as "not set". `metadata` holds what is an ObjectMeta's and
nothing else, for every kind of object; everything else is as it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from addons.core.guardrails.cel import ALL_CONTAINERS, ONE_POD, Unevaluable
from addons.core.guardrails.changes import changed_labels, container_changes
from addons.core.guardrails.matching import carries_object, replaces_object
from addons.core.guardrails.pod_security import violations
from addons.core.guardrails.pod_shape import mappings, shape
from addons.core.guardrails.pod_specs import CONTAINER_LISTS, Pod, may_hold_pod_specs, pods_of
from addons.core.guardrails.secret_references import new_secrets
from addons.core.kube_request import KubeRequest

MAX_DEPTH = 254
"""As many levels as orjson writes. The CEL engine recurses in C++ and takes the process down at some ten thousand."""
_NESTED = (dict, list)


@dataclass(frozen=True)
class Written:
    """One write. `content` is what it results in: None when the request carries no object."""

    group: str
    resource: str
    content: Mapping[str, Any] | None
    old: Mapping[str, Any] | None

    @cached_property
    def pods(self) -> list[Pod]:
        """The pods of what it results in."""
        return self._pods(self.content)

    @cached_property
    def old_pods(self) -> list[Pod]:
        """The pods of what is there now."""
        return self._pods(self.old)

    def _pods(self, content: Mapping[str, Any] | None) -> list[Pod]:
        return [] if content is None else pods_of(self.group, self.resource, content)


_OF_PODS: Mapping[str, Callable[[Written], Any]] = {
    "podSpecs": lambda written: [pod.spec for pod in written.pods],
    "containers": lambda written: [container for pod in written.pods for container in pod.containers],
    "podSecurity": lambda written: violations(written.pods),
    "oldPodSpecs": lambda written: [pod.spec for pod in written.old_pods],
    "containerChanges": lambda written: (
        [] if written.old is None else container_changes(written.pods, written.old_pods)
    ),
    "newSecrets": lambda written: new_secrets(written.pods, written.old_pods),
}
_OF_OBJECTS: Mapping[str, Callable[[Written], Any]] = {
    "object": lambda written: written.content,
    "oldObject": lambda written: written.old,
    "changedLabels": lambda written: {} if written.content is None else changed_labels(written.content, written.old),
    **_OF_PODS,
}
OBJECT_VARIABLES = frozenset(_OF_OBJECTS)
_READ_OLD = frozenset({"oldObject", "changedLabels", "oldPodSpecs", "containerChanges", "newSecrets"})
_READ_NEW = OBJECT_VARIABLES - {"oldObject", "oldPodSpecs"}


def reads_object(references: frozenset[str], request: KubeRequest) -> bool:
    """True if a condition with these references cannot be evaluated for this request without its object."""
    return carries_object(request) and not _READ_NEW.isdisjoint(_read(references, request))


def reads_old_object(references: frozenset[str], request: KubeRequest) -> bool:
    """The same for what is there now."""
    return replaces_object(request) and not _READ_OLD.isdisjoint(_read(references, request))


def object_variables(
    references: frozenset[str], request: KubeRequest, content: Mapping[str, Any] | None, old: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Values for those of `references` that are about objects. What needs an object that should be there is left out.

    Raises Unevaluable for an object nested too deep to be handed to the engine.
    """
    named = references & OBJECT_VARIABLES
    if not carries_object(request):
        content = None
    elif content is None:
        named -= _READ_NEW & _read(references, request)
    written = Written(request.api_group, request.resource, _clean(content), _clean(old))
    known = {name: _OF_OBJECTS[name](written) for name in named}
    if "containers" in known:
        known |= _containers(written, known["containers"])
    return known


def _containers(written: Written, containers: list[Any]) -> dict[str, Any]:
    """What conditions on `containers` read in its place: see `cel`."""
    specs = [pod.spec for pod in written.pods]
    lists = [spec[key] for spec in specs for key in CONTAINER_LISTS if key in spec]
    one_pod = len(specs) == 1 and all(mappings(each) == each for each in lists)
    return {ONE_POD: one_pod, ALL_CONTAINERS: containers, "podSpecs": specs}


def without_nulls(value: Any) -> Any:
    """The value without keys that are null. Nulls in lists stay: there they are values. Raises Unevaluable."""
    return _copied(value, MAX_DEPTH) if _may_hold_nulls(value) else value


def _may_hold_nulls(value: Any) -> bool:
    """False for most objects, which need no copy then. Writing one as JSON takes a tenth of the time of walking it."""
    try:
        return b":null" in orjson.dumps(value)
    except orjson.JSONEncodeError:  # it is too deep, or holds what is no JSON
        return True


def _copied(value: Any, levels: int) -> Any:
    if not isinstance(value, _NESTED):
        return value
    if not levels:
        raise Unevaluable(f"the object is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {key: _copied(item, levels - 1) for key, item in value.items() if item is not None}
    return [_copied(item, levels - 1) for item in value]


def _read(references: frozenset[str], request: KubeRequest) -> frozenset[str]:
    """A resource that cannot hold a PodSpec has none, whatever its object: those variables are known without it."""
    return references if may_hold_pod_specs(request.api_group, request.resource) else references - _OF_PODS.keys()


def _clean(content: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if content is None:
        return None
    cleaned: dict[str, Any] = without_nulls(content)
    return cleaned | {"metadata": shape(cleaned["metadata"], "ObjectMeta")} if "metadata" in cleaned else cleaned
