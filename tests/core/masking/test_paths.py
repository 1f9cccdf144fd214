"""JSONPath walkers select exactly what jsonpath-ng selects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse

from addons.core.masking.paths import UnsupportedPath, compile_path, spell, visit_leaves

NAMES = ["a", "b", "data", "x.y", "env"]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "secret"]))
OBJECTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=25,
)
STEPS = [
    ".a",
    ".b",
    ".data",
    "['x.y']",
    "['a','b']",
    ".*",
    "[*]",
    "[0]",
    "[-1]",
    "[0,1]",
    "[1:]",
    "[::2]",
    "[:-1]",
    "..a",
    "..*",
    "..env[*]",
    "[?(@.a == 'x')]",
    "[?(@.b =~ 'sec')]",
    "[?(@.a > 0)]",
    ".`this`",
]


def found_by_jsonpath_ng(path: str, value: Any) -> list[str]:
    return [_place(match) for match in parse(path).find(value)]


def _place(match: Any) -> str:
    return str(id(match.context.value)) + repr(
        match.path.fields[0] if hasattr(match.path, "fields") else match.path.indices[0]
    )


def found_by_walker(path: str, value: Any) -> list[str]:
    found: list[str] = []

    def visit(container: Any, keys: Any, trail: Any) -> None:
        for key in keys:
            index = key - len(container) if path.endswith("[-1]") and isinstance(container, list) else key
            found.append(str(id(container)) + repr(index))

    compile_path(path)(value, visit)
    return found


@given(OBJECTS, st.lists(st.sampled_from(STEPS[:-1]), min_size=1, max_size=4))
def test_walkers_find_what_jsonpath_ng_finds(value: Any, steps: list[str]) -> None:
    path = "$" + "".join(steps)
    assert found_by_walker(path, value) == found_by_jsonpath_ng(path, value)


SOME: dict[str, Any] = {"a": "1", "b": {"a": "2"}, "c": "3", "list": ["a", "y", {"a": "4"}], "none": []}


@pytest.mark.parametrize(
    ("path", "trails"),
    [
        ("$['a','c']", ["$.a", "$.c"]),
        ("$['a','no']", ["$.a"]),
        ("$.b['a','c']", ["$.b.a"]),
        ("$.list['a','c']", []),  # of a list no field, not even what is in it
        ("$['b','no'].a", ["$.b.a"]),
        ("$.list[0]", ["$.list.0"]),
        ("$.list[-1]", ["$.list.2"]),
        ("$.list[-3]", ["$.list.0"]),
        ("$.list[0,2]", ["$.list.0", "$.list.2"]),
        ("$.list[3]", []),
        ("$.list[-4]", []),
        ("$.none[0]", []),
        ("$.a[0]", []),  # of a text, no item
        ("$.b[0]", []),  # nor of an object
        ("$.list[2].a", ["$.list.2.a"]),
        ("$.list[1:]", ["$.list.1", "$.list.2"]),
        ("$.list[:-1]", ["$.list.0", "$.list.1"]),
        ("$.list[::2]", ["$.list.0", "$.list.2"]),
        ("$.list[5:]", []),
        ("$.none[1:]", []),
        ("$.a[0:]", []),
        ("$.b[0:]", []),
        ("$.list[1:].a", ["$.list.2.a"]),
    ],
)
def test_what_a_path_selects(path: str, trails: list[str]) -> None:
    found: list[str] = []
    compile_path(path)(SOME, lambda _, keys, trail: found.extend(spell((trail, key)) for key in keys))
    assert found == trails


def test_scalars_have_nothing_below_them() -> None:
    assert found_by_walker("$.a..b", {"a": 1}) == []


def test_lists_hold_scalars_and_objects() -> None:
    value = {"x": [1, {"a": 2}, [3, {"a": 4}]]}
    assert found_by_walker("$..a", value) == found_by_jsonpath_ng("$..a", value)


def test_this_is_the_object_itself() -> None:
    assert found_by_walker("$.`this`.a", value := {"a": 1}) == [f"{id(value)}'a'"]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("$", "whole object"),
        ("$..`this`", "whole object"),
        ("$.a.`parent`", "not supported"),
        ("$.a where $.b", "not supported"),
        ("$.a[?(@.b == $.c)]", "not supported"),
        ("$.a.`len`", "not supported"),
        ("$.a + $.b", "not supported"),
        ("$.a[0:3:0]", "step 0"),
        ("$.a[", "not JSONPath"),
        ("$.a['x", "not JSONPath"),
    ],
)
def test_what_walkers_do_not_cover_is_said_at_load(path: str, what: str) -> None:
    with pytest.raises(UnsupportedPath, match=what):
        compile_path(path)


def test_visited_values_may_be_replaced() -> None:
    value = {"data": {"a": "1", "b": ["2", {"c": "3"}]}, "other": "4"}
    before = copy.deepcopy(value)
    seen: list[str] = []

    def leaf(container: Any, keys: Any, trail: Any) -> None:
        for key in keys:
            seen.append(spell((trail, key)))
            container[key] = "masked"

    compile_path("$.data.*")(value, lambda container, keys, trail: visit_leaves(container, keys, trail, leaf))
    assert value == {"data": {"a": "masked", "b": ["masked", {"c": "masked"}]}, "other": "4"}
    assert sorted(seen) == ["$.data.a", "$.data.b.0", "$.data.b.1.c"]
    assert before != value
