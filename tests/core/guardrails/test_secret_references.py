from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.pod_specs import Pod
from addons.core.guardrails.secret_references import new_secrets


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", **fields}]}


def volume(source: str, **fields: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", source: fields}]}


def projected(**source: Any) -> dict[str, Any]:
    return volume("projected", sources=[source])


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]), ("s", "env")),
        (container(envFrom=[{"secretRef": {"name": "s"}}]), ("s", "envFrom")),
        ({"initContainers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]}, ("s", "envFrom")),
        ({"imagePullSecrets": [{"name": "s"}]}, ("s", "imagePullSecrets")),
        (volume("secret", secretName="s"), ("s", "volumes")),
        (volume("azureFile", secretName="s"), ("s", "volumes")),
        (volume("csi", driver="d", nodePublishSecretRef={"name": "s"}), ("s", "volumes")),
        (volume("cephfs", secretRef={"name": "s"}), ("s", "volumes")),
        (projected(secret={"name": "s"}), ("s", "volumes")),
        (projected(serviceAccountToken={"audience": "vault"}), ("vault", "serviceAccountToken")),
        (projected(podCertificate={"signerName": "a/b"}), ("a/b", "podCertificate")),
    ],
)
def test_every_way_to_a_secret(spec: dict[str, Any], found: tuple[str, str]) -> None:
    assert new_secrets([Pod(spec, {})], []) == [{"name": found[0], "through": found[1]}]


@pytest.mark.parametrize(
    "spec",
    [
        container(env=[{"name": "A", "value": "b"}, {"valueFrom": {"configMapKeyRef": {"name": "c"}}}]),
        container(envFrom=[{"configMapRef": {"name": "c"}}]),
        volume("configMap", name="c"),
        projected(serviceAccountToken={"path": "token"}),
        projected(configMap={"name": "kube-root-ca.crt"}),
        {"volumes": [{"secret": {"secretName": 3}}, "x", {"csi": {"nodePublishSecretRef": []}}]},
    ],
)
def test_what_is_no_secret(spec: dict[str, Any]) -> None:
    assert new_secrets([Pod(spec, {})], []) == []


def test_what_was_there_before_is_not_new() -> None:
    """Whatever the way: the pod held it already."""
    old = Pod(volume("secret", secretName="s"), {})
    new = Pod(container(envFrom=[{"secretRef": {"name": "s"}}, {"secretRef": {"name": "t"}}]), {})
    assert new_secrets([new], [old]) == [{"name": "t", "through": "envFrom"}]
