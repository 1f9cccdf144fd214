from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.guardrails.pod_shape import mapping, mappings, shape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["spec", "containers", "env", "name"]), inner),
)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ({"name": "a", "image": "i", "tty": True}, "Container", {"name": "a", "image": "i", "tty": True}),
        ({"name": 1, "tty": "true", "other": "x"}, "Container", {}),
        ({"hostPort": 80}, "ContainerPort", {"hostPort": 80}),
        ({"hostPort": 80.0}, "ContainerPort", {"hostPort": 80}),
        ({"hostPort": 80.5}, "ContainerPort", {}),
        ({"hostPort": True}, "ContainerPort", {}),
        ({"name": 80.0}, "Container", {}),
        ({"containers": [{"env": [{"name": "a"}, 1]}, "x"]}, "PodSpec", {"containers": [{"env": [{"name": "a"}]}]}),
        ({"containers": {"name": "a"}, "affinity": []}, "PodSpec", {}),
        ({"nodeSelector": {"a": "b", "c": 1}}, "PodSpec", {"nodeSelector": {"a": "b"}}),
        ({"nodeSelector": ["a"]}, "PodSpec", {}),
        ({"securityContext": {"runAsUser": 0, "x": 1}}, "PodSpec", {"securityContext": {"runAsUser": 0}}),
        ({"requests": {"cpu": [1]}}, "ResourceRequirements", {"requests": {"cpu": [1]}}),
        ({"labels": {"a": "b"}, "name": None}, "ObjectMeta", {"labels": {"a": "b"}}),
        (["x"], "PodSpec", {}),
        (None, "PodSpec", {}),
    ],
)
def test_shape(value: Any, kind: str, expected: dict[str, Any]) -> None:
    assert shape(value, kind) == expected


@given(JSON)
def test_a_shape_has_that_shape(value: Any) -> None:
    once = shape(value, "PodSpec")
    assert shape(once, "PodSpec") == once


def test_mappings() -> None:
    assert mapping({"a": 1}) == {"a": 1}
    assert mapping([1]) == {}
    assert mappings([{"a": 1}, 2]) == [{"a": 1}]
    assert mappings({"a": 1}) == []
