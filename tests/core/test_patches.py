"""The examples of RFC 7396 (appendix A) and RFC 6902 (appendix A)."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.patches import InapplicablePatch, json_patch, merge_patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a"], {"a": 1}, {"a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        (None, "x", "x"),
    ],
)
def test_merge_patch(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": "b"}], {"foo": ["a", "b"]}),
        ({"baz": 1, "foo": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 2}),
        ({"foo": ["a", "b"]}, [{"op": "remove", "path": "/foo/0"}], {"foo": ["b"]}),
        ({"baz": 1}, [{"op": "replace", "path": "/baz", "value": 2}], {"baz": 2}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": 2}], 2),
        ({"a": {"x": 1}, "b": {}}, [{"op": "move", "from": "/a/x", "path": "/b/y"}], {"a": {}, "b": {"y": 1}}),
        ({"a": {"x": 1}}, [{"op": "copy", "from": "/a", "path": "/c~1d"}], {"a": {"x": 1}, "c/d": {"x": 1}}),
        ({"a": [1]}, [{"op": "test", "path": "/a/0", "value": 1}], {"a": [1]}),
    ],
)
def test_json_patch(target: Any, operations: list[dict[str, Any]], result: Any) -> None:
    before = repr(target)
    assert json_patch(target, operations) == result
    assert repr(target) == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"op": "nonsense", "path": "/a"},
        {"op": "add"},
    ],
    ids=lambda operation: f"{operation['op']} {operation.get('path')}",
)
def test_what_does_not_fit_is_said(operation: dict[str, Any]) -> None:
    with pytest.raises(InapplicablePatch):
        json_patch({"a": 1}, [operation])
