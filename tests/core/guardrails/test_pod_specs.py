from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.pod_specs import containers_of, may_hold_pod_specs, pod_specs_of

SPEC: dict[str, Any] = {
    "containers": [{"name": "a"}],
    "initContainers": [{"name": "b"}],
    "ephemeralContainers": [{"name": "c"}],
}


def nested(path: str) -> dict[str, Any]:
    content: dict[str, Any] = SPEC
    for key in reversed(path.split(".")):
        content = {key: content}
    return content


@pytest.mark.parametrize(
    ("group", "resource", "path"),
    [
        ("", "pods", "spec"),
        ("", "podtemplates", "template.spec"),
        ("", "replicationcontrollers", "spec.template.spec"),
        ("apps", "deployments", "spec.template.spec"),
        ("apps", "replicasets", "spec.template.spec"),
        ("apps", "statefulsets", "spec.template.spec"),
        ("apps", "daemonsets", "spec.template.spec"),
        ("apps", "controllerrevisions", "data.spec.template.spec"),
        ("batch", "jobs", "spec.template.spec"),
        ("batch", "cronjobs", "spec.jobTemplate.spec.template.spec"),
        ("argoproj.io", "rollouts", "spec.template.spec"),
        ("serving.knative.dev", "services", "spec.template.spec"),
        ("example.com", "anythings", "some.where.deep"),
    ],
)
def test_every_place(group: str, resource: str, path: str) -> None:
    assert may_hold_pod_specs(group, resource)
    found = pod_specs_of(group, resource, nested(path))
    assert found == [SPEC]
    assert [container["name"] for container in containers_of(found)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("group", "resource"), [("", "configmaps"), ("", "nodes"), ("rbac.authorization.k8s.io", "roles")]
)
def test_builtin_resources_without_pods(group: str, resource: str) -> None:
    assert not may_hold_pod_specs(group, resource)
    assert pod_specs_of(group, resource, nested("spec")) == []


@pytest.mark.parametrize("content", [{}, {"spec": None}, {"spec": []}, {"spec": {"template": {"spec": "x"}}}])
def test_objects_without_a_spec_have_none(content: dict[str, Any]) -> None:
    assert pod_specs_of("apps", "deployments", content) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            {"spec": {"templates": [{"container": {"image": "i"}}, {"script": {"image": "s"}}]}},
            [{"image": "i"}, {"image": "s"}],
            id="argo workflow",
        ),
        pytest.param(
            {"spec": {"steps": [{"name": "s"}], "sidecars": [{"name": "t"}], "stepTemplate": {"env": []}}},
            [{"env": []}, {"name": "t"}, {"name": "s"}],
            id="tekton task",
        ),
        pytest.param(
            {"template": {"kafkaContainer": {"securityContext": {"privileged": True}}}},
            [{"securityContext": {"privileged": True}}],
            id="strimzi",
        ),
        pytest.param({"spec": {"containers": ["x", {"image": 3, "ports": {}}]}}, [{}, {}], id="other types"),
        pytest.param({"spec": {"containers": "x", "container": []}}, [], id="not containers"),
    ],
)
def test_containers_of_custom_resources(content: dict[str, Any], expected: list[Any]) -> None:
    assert containers_of(pod_specs_of("example.com", "things", content)) == expected


def test_a_custom_field_of_another_type_is_no_pod_field() -> None:
    content = {"spec": {"hostNetwork": "bridge", "volumes": {"size": 1}, "tolerations": ["x", {"key": "k"}]}}
    assert pod_specs_of("example.com", "things", content) == [{"tolerations": [{"key": "k"}]}]


def test_pod_fields_without_containers_are_found() -> None:
    content = {"spec": {"podTemplate": {"hostNetwork": True, "securityContext": {"runAsUser": 0}}}}
    assert pod_specs_of("tekton.dev", "taskruns", content) == [
        {
            "hostNetwork": True,
            "securityContext": {"runAsUser": 0},
            "containers": [{"securityContext": {"runAsUser": 0}}],
        }
    ]
