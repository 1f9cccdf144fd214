from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.pod_specs import Pod, may_hold_pod_specs, pods_of

SPEC: dict[str, Any] = {
    "containers": [{"name": "a"}],
    "initContainers": [{"name": "b"}],
    "ephemeralContainers": [{"name": "c"}],
}


def specs(group: str, resource: str, content: dict[str, Any]) -> list[Any]:
    return [pod.spec for pod in pods_of(group, resource, content)]


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
    (found,) = pods_of(group, resource, nested(path))
    assert (found.spec, found.whole) == (SPEC, True)
    assert [container["name"] for container in found.containers] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("group", "resource"), [("", "configmaps"), ("", "nodes"), ("rbac.authorization.k8s.io", "roles")]
)
def test_builtin_resources_without_pods(group: str, resource: str) -> None:
    assert not may_hold_pod_specs(group, resource)
    assert specs(group, resource, nested("spec")) == []


@pytest.mark.parametrize("content", [{}, {"spec": None}, {"spec": []}, {"spec": {"template": {"spec": "x"}}}])
def test_objects_without_a_spec_have_none(content: dict[str, Any]) -> None:
    assert specs("apps", "deployments", content) == []


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
            [{"name": "t"}, {"name": "s"}, {"env": []}],
            id="tekton task",
        ),
        pytest.param(
            {"template": {"kafkaContainer": {"securityContext": {"privileged": True}}}},
            [{"securityContext": {"privileged": True}}],
            id="strimzi",
        ),
        pytest.param({"spec": {"containers": ["x", {"image": 3, "ports": {}}]}}, [{}], id="other types"),
        pytest.param({"spec": {"containers": "x", "container": []}}, [], id="not containers"),
    ],
)
def test_containers_of_custom_resources(content: dict[str, Any], expected: list[Any]) -> None:
    found = pods_of("example.com", "things", content)
    assert [container for pod in found for container in pod.containers] == expected


def test_a_custom_field_of_another_type_is_no_pod_field() -> None:
    content = {"spec": {"hostNetwork": "bridge", "volumes": {"size": 1}, "tolerations": ["x", {"key": "k"}]}}
    assert specs("example.com", "things", content) == [{"tolerations": [{"key": "k"}]}]


def test_pod_fields_without_containers_are_found() -> None:
    content = {"spec": {"podTemplate": {"hostNetwork": True, "securityContext": {"runAsUser": 0}}}}
    spec = {
        "hostNetwork": True,
        "securityContext": {"runAsUser": 0},
        "containers": [{"securityContext": {"runAsUser": 0}}],
    }
    assert pods_of("tekton.dev", "taskruns", content) == [Pod(spec, {}, whole=False)]


def test_a_whole_pod_spec_has_no_container_of_its_own() -> None:
    spec = {"containers": [{"name": "a"}], "securityContext": {"runAsUser": 0}}
    assert pods_of("argoproj.io", "rollouts", {"spec": {"template": {"spec": spec}}}) == [Pod(spec, {})]


@pytest.mark.parametrize(
    ("group", "resource", "content"),
    [
        ("", "pods", {"metadata": {"annotations": {"a": "b"}}, "spec": {}}),
        ("apps", "deployments", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}, "spec": {}}}}),
        ("", "podtemplates", {"template": {"metadata": {"annotations": {"a": "b"}}, "spec": {}}}),
        (
            "serving.knative.dev",
            "services",
            {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": []}}}},
        ),
    ],
)
def test_the_metadata_of_a_template_is_known(group: str, resource: str, content: dict[str, Any]) -> None:
    (pod,) = pods_of(group, resource, content)
    assert pod.metadata == {"annotations": {"a": "b"}}


def test_a_pod_spec_written_as_text_is_read() -> None:
    patch = """containers:
- name: main
  securityContext: {privileged: true}
"""
    expected = {"containers": [{"name": "main", "securityContext": {"privileged": True}}]}
    content = {"spec": {"templates": [{"podSpecPatch": patch}]}}
    assert specs("argoproj.io", "workflows", content) == [expected]


@pytest.mark.parametrize("text", ["", "{{inputs.parameters.patch}}", "[1]", "a: [", 3, None, {"hostPID": 1}])
def test_other_text_is_no_pod_spec(text: Any) -> None:
    assert specs("argoproj.io", "workflows", {"spec": {"podSpecPatch": text}}) == []
