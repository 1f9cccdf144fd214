from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from addons.core.guardrails.cel import VARIABLES, Unevaluable
from addons.core.guardrails.facts import MAX_DEPTH, Facts, variables, without_nulls
from addons.core.guardrails.rate import Rate
from addons.core.guardrails.selftest import request_of
from tests.core.guardrails.support import facts

POD = "/api/v1/namespaces/a/pods/p"
ALL = frozenset(VARIABLES)


def test_only_what_is_read_is_built() -> None:
    assert variables(facts("GET /api/v1/pods"), frozenset()) == {}
    assert set(variables(facts("GET /api/v1/pods"), frozenset({"now"}))) == {"now"}


def test_every_variable_can_be_built() -> None:
    what = facts(f"PUT {POD}", object={}, old_object={}, frozen=("w",), rate=Rate(requests=2, denied=1))
    known = variables(what, ALL)
    assert set(known) == ALL
    assert (known["frozen"], known["affected"]) == (["w"], 1)
    assert known["rate"] == {"requests": 2, "writes": 0, "lists": 0, "denied": 1}


def test_only_a_deletecollection_affects_more_than_one() -> None:
    collection = "DELETE /api/v1/namespaces/a/pods"
    assert variables(facts(collection, affected=12), ALL)["affected"] == 12
    assert "affected" not in variables(facts(collection), ALL)
    assert variables(facts(f"DELETE {POD}", affected=12), ALL)["affected"] == 1


def test_request_has_the_names_of_an_admission_request() -> None:
    request = variables(facts(f"PATCH {POD}/status?dryRun=All&fieldManager=a&fieldManager=b"), ALL)["request"]
    assert request["operation"] == "UPDATE"
    assert request["resource"] == {"group": "", "version": "v1", "resource": "pods"}
    assert request["subResource"] == "status"
    assert (request["namespace"], request["name"]) == ("a", "p")
    assert request["userInfo"] == {"username": "https://issuer.test#agent", "groups": ["agents"]}
    assert (request["verb"], request["method"]) == ("patch", "PATCH")
    assert request["query"]["fieldManager"] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "operation"),
    [
        (f"POST {POD}/exec", "CONNECT"),
        (f"GET {POD}/exec", "CONNECT"),
        ("POST /api/v1/namespaces/a/pods", "CREATE"),
        (f"DELETE {POD}", "DELETE"),
        ("DELETE /api/v1/namespaces/a/pods", "DELETE"),
        (f"GET {POD}", ""),
    ],
)
def test_operations(text: str, operation: str) -> None:
    assert variables(facts(text), ALL)["request"]["operation"] == operation


def test_exec() -> None:
    known = variables(facts(f"GET {POD}/exec?command=sh&command=-c&command=tar+c&container=web&tty=true"), ALL)["exec"]
    assert known["argv"] == ["sh", "-c", "tar c"]
    assert known["line"] == "sh -c tar c"
    assert (known["programs"], known["transfers"]) == (["sh", "tar"], ["out"])
    assert (known["program"], known["shell"], known["script"], known["tty"]) == ("sh", True, "tar c", True)


def test_who_and_why() -> None:
    known = variables(facts("GET /api/v1/pods", now=1.5), ALL)
    assert known["identity"]["sub"] == "agent"
    assert known["identity"]["owner"] == "ann"
    assert known["grant"]["intent"] == "INC-42"
    assert known["grant"]["expires"] == "1970-01-01T00:01:00Z"
    assert known["connection"] == "prod"
    assert known["now"] == datetime.fromtimestamp(1.5, UTC)


def test_nobody_has_the_same_fields_and_nothing_in_them() -> None:
    known = variables(Facts(request=request_of("GET /api/v1/pods")), ALL)
    somebody = variables(facts("GET /api/v1/pods"), ALL)
    for name in ("identity", "grant"):
        assert known[name].keys() == somebody[name].keys()
    assert (known["identity"]["sub"], known["identity"]["username"], known["identity"]["groups"]) == ("", "", [])
    assert known["request"]["userInfo"] == {"username": "", "groups": []}


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
    known = variables(facts(text, object=content), frozenset({"object", "podSpecs", "containers"}))
    assert known == expected


def test_an_object_alone_is_not_searched() -> None:
    assert set(variables(facts(f"PUT {POD}", object={}), frozenset({"object"}))) == {"object"}


def test_old_object() -> None:
    assert variables(facts(f"PUT {POD}"), frozenset({"oldObject"})) == {"oldObject": None}
    assert variables(facts(f"PUT {POD}", old_object={"a": None, "b": 1}), frozenset({"oldObject"})) == {
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
