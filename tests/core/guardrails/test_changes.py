from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.changes import changed_labels, container_changes
from addons.core.guardrails.pod_specs import Pod


def labelled(**labels: Any) -> dict[str, Any]:
    return {"metadata": {"labels": labels}}


@pytest.mark.parametrize(
    ("new", "old", "changed"),
    [
        (labelled(a="1", b="2"), None, {"a": "1", "b": "2"}),
        (labelled(a="1", b="2"), labelled(a="1", b="1"), {"b": "2"}),
        (labelled(a="1"), labelled(a="1", b="1"), {"b": ""}),
        (labelled(a="1"), labelled(a="1"), {}),
        ({}, labelled(a="1"), {"a": ""}),
        ({}, None, {}),
        (labelled(a=1), {"metadata": None}, {}),
    ],
)
def test_changed_labels(new: dict[str, Any], old: dict[str, Any] | None, changed: dict[str, str]) -> None:
    assert changed_labels(new, old) == changed


def probe(*command: str) -> dict[str, Any]:
    return {"livenessProbe": {"exec": {"command": list(command)}}}


def hook(*command: str) -> dict[str, Any]:
    return {"lifecycle": {"preStop": {"exec": {"command": list(command)}}}}


@pytest.mark.parametrize(
    ("new", "old", "fields"),
    [
        ({"image": "nginx:1"}, {"image": "nginx:1"}, []),
        ({"image": "nginx:2"}, {"image": "nginx:1"}, ["tag"]),
        ({"image": "nginx@sha256:b"}, {"image": "nginx:1@sha256:a"}, ["tag"]),
        ({"image": "nginx"}, {"image": "nginx:1"}, ["tag"]),
        ({"image": "other:1"}, {"image": "nginx:1"}, ["image"]),
        ({"image": "reg.test:5000/nginx:1"}, {"image": "reg.test:5001/nginx:1"}, ["image"]),
        ({"image": "reg.test:5000/nginx"}, {"image": "reg.test:5000/nginx:1"}, ["tag"]),
        ({"image": "evil/nginx:1"}, {"image": "nginx:1"}, ["image"]),
        ({"command": ["sh"]}, {}, ["command"]),
        ({}, {"command": ["sh"]}, ["command"]),
        ({"args": ["-v"]}, {"args": []}, ["args"]),
        ({"command": ["sh", "-c"], "args": ["a"]}, {"command": ["sh", "-c"], "args": ["b"]}, ["command"]),
        ({"args": ["sh", "-c", "a"]}, {}, ["command"]),
        ({"command": ["web"], "args": ["a"]}, {"command": ["web"], "args": "b"}, ["args"]),
        (probe("a"), {}, ["probe"]),
        (probe("a"), probe("b"), ["probe"]),
        ({}, probe("b"), []),
        ({"livenessProbe": {"httpGet": {"port": 1}}}, {}, []),
        (hook("a"), hook("a"), []),
        (hook("a"), {"lifecycle": "x"}, ["lifecycle"]),
    ],
)
def test_what_a_container_runs_instead(new: dict[str, Any], old: dict[str, Any], fields: list[str]) -> None:
    before, after = ([Pod({"containers": [{"name": "c", **container}]}, {})] for container in (old, new))
    assert container_changes(after, before) == [{"container": "c", "field": field} for field in fields]


def test_added_containers() -> None:
    old = Pod({"containers": [{"name": "a"}]}, {})
    new = Pod({"containers": [{"name": "a"}], "initContainers": [{"name": "b"}], "ephemeralContainers": [{}]}, {})
    added = [{"container": name, "field": "added"} for name in ("b", "#2")]
    assert container_changes([new], [old]) == added
    assert container_changes([old], [new]) == []
