"""The Secrets and other credentials that a pod comes to hold by naming them: environment, volumes, image pull Secrets.

Who may make a pod may so read every Secret of its namespace; the cluster's permissions on Secrets have no say in it.
A token for the API server's own audience is not counted: every pod has one.
Source: https://kubernetes.io/docs/concepts/security/rbac-good-practices/#workload-creation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from addons.core.guardrails.pod_shape import mapping, mappings
from addons.core.guardrails.pod_specs import Pod

Reference = tuple[str, str]


def new_secrets(pods: Iterable[Pod], old: Iterable[Pod]) -> list[dict[str, str]]:
    """What pods refer to and did not before: `name`, and `through` which field.

    `name` is the Secret's; for a projected token its audience, for a pod certificate its signer.
    """
    known = {name for pod in old for name, _ in _references(pod)}
    found = dict.fromkeys(item for pod in pods for item in _references(pod) if item[0] and item[0] not in known)
    return [{"name": name, "through": through} for name, through in found]


def _references(pod: Pod) -> Iterator[Reference]:
    """Every place where a Secret may be named; the name is empty where none is."""
    for secret in mappings(pod.spec.get("imagePullSecrets")):
        yield _text(secret, "name"), "imagePullSecrets"
    for container in pod.containers:
        for variable in mappings(container.get("env")):
            if "valueFrom" in variable:  # most have a value, and there are many
                yield _text(mapping(variable["valueFrom"]).get("secretKeyRef"), "name"), "env"
        for source in mappings(container.get("envFrom")):
            yield _text(source.get("secretRef"), "name"), "envFrom"
    for volume in mappings(pod.spec.get("volumes")):
        for projection in mappings(mapping(volume.get("projected")).get("sources")):
            yield from _of_projection(projection)
        yield from _of_volume(volume)


def _of_projection(projection: Mapping[str, Any]) -> Iterator[Reference]:
    yield _text(projection.get("secret"), "name"), "volumes"
    yield _text(projection.get("serviceAccountToken"), "audience"), "serviceAccountToken"
    yield _text(projection.get("podCertificate"), "signerName"), "podCertificate"


def _of_volume(volume: Mapping[str, Any]) -> Iterator[Reference]:
    """A volume has one source; drivers take a Secret as `secretRef`, `nodePublishSecretRef` or `secretName`."""
    for source in volume.values():
        yield _text(source, "secretName"), "volumes"
        for field in ("secretRef", "nodePublishSecretRef"):
            yield _text(mapping(source).get(field), "name"), "volumes"


def _text(value: Any, field: str) -> str:
    found = mapping(value).get(field)
    return found if isinstance(found, str) else ""
