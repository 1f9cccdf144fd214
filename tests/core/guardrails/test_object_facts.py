from __future__ import annotations

from typing import Any

import pytest

from addons.core.guardrails.cel import VARIABLES, Unevaluable
from addons.core.guardrails.facts import variables
from addons.core.guardrails.object_facts import (
    MAX_DEPTH,
    OBJECT_VARIABLES,
    reads_object,
    reads_old_object,
    without_nulls,
)
from tests.core.guardrails.support import facts

POD = "/api/v1/namespaces/a/pods/p"
SECRET = "/api/v1/namespaces/a/secrets/s"


def visible(*arguments: Any) -> dict[str, Any]:
    """What rules may name."""
    return {name: value for name, value in variables(*arguments).items() if name in VARIABLES}


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        pytest.param(f"GET {POD}", None, {"object": None, "podSpecs": [], "containers": []}, id="reads have none"),
        pytest.param(f"DELETE {POD}", None, {"object": None, "podSpecs": [], "containers": []}, id="deletes have none"),
        pytest.param(f"PATCH {POD}", None, {}, id="unknown stays unbound"),
        pytest.param(
            "PATCH /api/v1/namespaces/a/secrets/s", None, {"podSpecs": [], "containers": []}, id="a Secret has no pods"
        ),
        pytest.param(
            f"PUT {POD}",
            {"spec": {"containers": [{"name": "a", "securityContext": None}]}},
            {
                "object": {"spec": {"containers": [{"name": "a"}]}},
                "podSpecs": [{"containers": [{"name": "a"}]}],
                "containers": [{"name": "a"}],
            },
            id="an update",
        ),
    ],
)
def test_objects(text: str, content: Any, expected: dict[str, Any]) -> None:
    known = visible(facts(text, object=content), frozenset({"object", "podSpecs", "containers"}))
    assert known == expected


def test_an_object_alone_is_not_searched() -> None:
    assert set(visible(facts(f"PUT {POD}", object={}), frozenset({"object"}))) == {"object"}


def test_old_object() -> None:
    assert visible(facts(f"PUT {POD}"), frozenset({"oldObject"})) == {"oldObject": None}
    assert visible(facts(f"PUT {POD}", old_object={"a": None, "b": 1}), frozenset({"oldObject"})) == {
        "oldObject": {"b": 1}
    }


def test_null_is_not_set() -> None:
    assert without_nulls({"a": None, "b": [None, {"c": None}], "d": {"e": None, "f": False}}) == {
        "b": [None, {}],
        "d": {"f": False},
    }


@pytest.mark.parametrize("content", [{"a": "null"}, {"a": [None]}, {"a": {"b": []}}, {}])
def test_without_a_null_nothing_is_copied(content: Any) -> None:
    assert without_nulls(content) is content


def test_what_only_looks_like_null_stays() -> None:
    for content in ({"a": '":null', "b": None}, {"a": "\ud800", "b": None}, {"a": 2**70, "b": None}):
        assert without_nulls(content) == {"a": content["a"]}


@pytest.mark.parametrize("innermost", [1, None])
def test_objects_too_deep_for_the_engine_are_unevaluable(innermost: Any) -> None:
    content: Any = {"b": innermost}
    for _ in range(MAX_DEPTH - 1):
        content = {"a": content} if isinstance(content, list) else [content]
    without_nulls(content)
    with pytest.raises(Unevaluable, match="nested more than 254 levels"):
        without_nulls({"a": [content]})


def test_every_variable_about_objects_is_a_variable() -> None:
    assert VARIABLES.keys() >= OBJECT_VARIABLES


@pytest.mark.parametrize(
    ("text", "name", "new", "old"),
    [
        (f"PUT {POD}", "object", True, False),
        (f"PUT {POD}", "oldObject", False, True),
        (f"PUT {POD}", "oldPodSpecs", False, True),
        (f"PUT {POD}", "podSecurity", True, False),
        (f"PUT {POD}", "changedLabels", True, True),
        (f"PATCH {POD}", "containerChanges", True, True),
        (f"PATCH {POD}", "newSecrets", True, True),
        ("POST /api/v1/namespaces/a/pods", "newSecrets", True, False),
        (f"DELETE {POD}", "oldPodSpecs", False, True),
        (f"DELETE {POD}", "newSecrets", False, True),
        (f"GET {POD}", "newSecrets", False, False),
        (f"GET {POD}", "oldObject", False, False),
        (f"PATCH {SECRET}", "newSecrets", False, False),
        (f"PATCH {SECRET}", "podSecurity", False, False),
        (f"PATCH {SECRET}", "changedLabels", True, True),
        (f"POST {POD}/exec", "object", False, False),
    ],
)
def test_what_must_be_fetched(text: str, name: str, new: bool, old: bool) -> None:
    request = facts(text).request
    assert reads_object(frozenset({name}), request) is new
    assert reads_old_object(frozenset({name}), request) is old


def test_what_a_delete_carries_is_no_object() -> None:
    known = visible(facts(f"DELETE {POD}", object={"kind": "DeleteOptions"}, old_object={"spec": {}}), OBJECT_VARIABLES)
    assert known == {
        "object": None,
        "oldObject": {"spec": {}},
        "podSpecs": [],
        "oldPodSpecs": [{}],
        "containers": [],
        "podSecurity": {"baseline": [], "restricted": []},
        "changedLabels": {},
        "containerChanges": [],
        "newSecrets": [],
    }


def test_an_update_is_compared_with_what_is_there() -> None:
    old = {"metadata": {"labels": {"a": "1"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    new = {
        "metadata": {"labels": {"a": "2"}},
        "spec": {"containers": [{"name": "c", "image": "i:2", "envFrom": [{"secretRef": {"name": "s"}}]}]},
    }
    known = visible(facts(f"PUT {POD}", object=new, old_object=old), OBJECT_VARIABLES)
    assert known["changedLabels"] == {"a": "2"}
    assert known["containerChanges"] == [{"container": "c", "field": "tag"}]
    assert known["newSecrets"] == [{"name": "s", "through": "envFrom"}]
    assert known["oldPodSpecs"] == [old["spec"]]
    assert known["podSecurity"]["restricted"][:2] == ["allowPrivilegeEscalation", "runAsNonRoot"]


def test_without_the_object_only_what_does_not_need_it_is_known() -> None:
    known = visible(facts(f"PATCH {POD}", old_object={"spec": {}}), OBJECT_VARIABLES)
    assert known == {"oldObject": {"spec": {}}, "oldPodSpecs": [{}]}


def test_metadata_is_an_object_meta_whatever_was_sent() -> None:
    content = {"metadata": {"labels": {"a": 1, "b": "c"}, "annotations": [], "finalizers": "x", "more": 1}}
    known = visible(facts("POST /apis/example.com/v1/namespaces/a/widgets", object=content), frozenset({"object"}))
    assert known["object"] == {"metadata": {"labels": {"b": "c"}}}
