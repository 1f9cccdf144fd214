from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from addons.core.guardrails.cel import (
    ALL_CONTAINERS,
    ONE_POD,
    VARIABLES,
    InvalidExpression,
    activation,
    compile_condition,
)
from addons.core.guardrails.facts import Facts, variables
from addons.core.guardrails.rate import Rate
from addons.core.guardrails.selftest import request_of
from addons.core.session_events import Copied, Event, Line, Reached
from tests.core.guardrails.support import facts

POD = "/api/v1/namespaces/a/pods/p"
ALL = frozenset(VARIABLES)


def test_only_what_is_read_is_built() -> None:
    assert variables(facts("GET /api/v1/pods"), frozenset()) == {}
    assert set(variables(facts("GET /api/v1/pods"), frozenset({"now"}))) == {"now"}


def test_every_variable_can_be_built() -> None:
    what = facts(f"PUT {POD}", object={}, old_object={}, frozen=("w",), rate=Rate(requests=2, denied=1))
    known = variables(what, ALL)
    assert set(known) == (ALL - {"line", "file", "port"}) | {ONE_POD, ALL_CONTAINERS}
    events: list[Event] = [Line("sudo ls | wc", "stdin"), Copied("a/b", "in", 3), Reached(22)]
    found = [
        variables(replace(what, event=event), frozenset({"line", "line.programs", "file", "port"})) for event in events
    ]
    assert found == [
        {"line": {"text": "sudo ls | wc", "source": "stdin", "programs": ["sudo", "ls", "wc"]}},
        {"file": {"name": "a/b", "direction": "in", "size": 3, "kind": "file", "link": ""}},
        {"port": 22},
    ]
    unread = variables(replace(what, event=events[0]), frozenset({"line"}))
    assert unread == {"line": {"text": "sudo ls | wc", "source": "stdin"}}, "nobody reads its programs"
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
    assert request["upgrade"] == ""


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


def test_proxy() -> None:
    known = variables(facts("GET /api/v1/nodes/https:n:10250/proxy/run/a"), ALL)["proxy"]
    assert known == {"scheme": "https", "name": "n", "port": "10250", "path": "/run/a", "kubelet": "command"}


@pytest.mark.parametrize(
    ("path", "content", "one", "names"),
    [
        ("/api/v1/namespaces/a/pods", {"spec": {"containers": [{"name": "a"}]}}, True, ["a"]),
        (
            "/api/v1/namespaces/a/pods",
            {"spec": {"ephemeralContainers": [{"name": "e"}], "initContainers": [{"name": "i"}], "containers": [{}]}},
            True,
            ["", "i", "e"],
        ),
        ("/api/v1/namespaces/a/pods", {"spec": {"containers": [{"name": "a"}, 5]}}, False, ["a"]),
        ("/api/v1/namespaces/a/pods", {"spec": {"containers": 5}}, False, []),
        ("/api/v1/namespaces/a/pods", {}, False, []),
        (
            "/apis/example.com/v1/namespaces/a/things",
            {"a": {"containers": [{"name": "a"}]}, "b": {"containers": [{"name": "b"}]}},
            False,
            ["a", "b"],
        ),
    ],
)
def test_containers_are_the_same_out_of_one_pod(path: str, content: Any, one: bool, names: list[str]) -> None:
    known = variables(facts(f"POST {path}", object=content), frozenset({"containers"}))
    assert known[ONE_POD] is one
    condition = compile_condition(f'containers.map(c, c.?name.orValue("")) == {names!r} // as they are')
    assert condition.holds(activation(known))


def test_what_carries_containers_inside_is_no_name_for_rules() -> None:
    for name in (ONE_POD, ALL_CONTAINERS):
        with pytest.raises(InvalidExpression, match="undeclared reference"):
            compile_condition(f"{name} == {name}")
