from __future__ import annotations

import pytest

from addons.core.guardrails.matching import Matcher, carries_object, compile_match, effective_verb, replaces_object
from addons.core.guardrails.models import MatchSpec
from addons.core.guardrails.selftest import request_of

POD = "/api/v1/namespaces/a/pods/p"


def matcher(groups: str = "*", resources: str = "*", verbs: str = "*", **rest: list[str]) -> Matcher:
    spec = {"apiGroups": groups.split(" "), "resources": resources.split(" "), "verbs": verbs.split(" "), **rest}
    return compile_match(MatchSpec.model_validate(spec))


def matches(compiled: Matcher, text: str, connection: str = "prod") -> bool:
    request = request_of(text)
    verb = effective_verb(request)
    shape = compiled.about(request.api_group, request.resource, request.subresource, verb, connection)
    matched = shape and compiled.within(request)
    assert (compiled.misses(request, connection) == ()) == matched
    return matched


@pytest.mark.parametrize(
    ("groups", "resources", "verbs", "request_text", "expected"),
    [
        pytest.param("", "pods", "get", f"GET {POD}", True, id="exact"),
        pytest.param("apps", "pods", "get", f"GET {POD}", False, id="other group"),
        pytest.param("apps ", "pods", "get", f"GET {POD}", True, id="one of the groups"),
        pytest.param("*", "pods", "get", f"GET {POD}", True, id="any group"),
        pytest.param("*.x.io", "a", "get", "GET /apis/b.x.io/v1/a/n", True, id="one of a family of groups"),
        pytest.param("*.x.io", "a", "get", "GET /apis/x.io/v1/a/n", False, id="a family has one name more"),
        pytest.param("*.x.io", "pods", "get", f"GET {POD}", False, id="the core group is of no family"),
        pytest.param("", "pods", "get", f"GET {POD}/log", False, id="a resource is not its subresource"),
        pytest.param("", "pods/log", "get", f"GET {POD}/log", True, id="subresource"),
        pytest.param("", "pods/*", "get", f"GET {POD}/log", True, id="any subresource"),
        pytest.param("", "pods/*", "get", f"GET {POD}", True, id="any subresource includes none"),
        pytest.param("", "*/log", "get", f"GET {POD}/log", True, id="subresource of any resource"),
        pytest.param("", "*", "get", f"GET {POD}", True, id="any resource"),
        pytest.param("", "*", "get", f"GET {POD}/log", False, id="any resource is no subresource"),
        pytest.param("", "*/*", "get", f"GET {POD}/log", True, id="everything"),
        pytest.param("*", "*/*", "*", "GET /version", False, id="non-resource requests are never meant"),
        pytest.param("", "pods", "list", f"GET {POD}", False, id="other verb"),
        pytest.param("", "pods", "delete", "DELETE /api/v1/namespaces/a/pods", False, id="a collection is not one"),
        pytest.param("", "pods/exec", "connect", f"GET {POD}/exec?command=ls", True, id="exec by GET"),
        pytest.param("", "pods/exec", "connect", f"POST {POD}/exec?command=ls", True, id="exec by POST"),
        pytest.param("", "pods/exec", "connect", f"PUT {POD}/exec?command=ls", True, id="exec by PUT"),
        pytest.param("", "pods/*", "connect", f"GET {POD}/exec", True, id="wildcard with connect"),
        pytest.param("", "*/*", "create", f"POST {POD}/exec", False, id="connect is not create"),
        pytest.param("", "*/*", "*", f"POST {POD}/exec", True, id="any verb includes connect"),
        pytest.param("", "nodes/proxy", "connect", "GET /api/v1/nodes/n/proxy/pods", True, id="node proxy"),
    ],
)
def test_structure(groups: str, resources: str, verbs: str, request_text: str, expected: bool) -> None:
    assert matches(matcher(groups, resources, verbs), request_text) is expected


@pytest.mark.parametrize(
    ("excluded", "request_text", "expected"),
    [
        (["pods"], f"GET {POD}", False),
        (["pods"], f"GET {POD}/log", True),
        (["pods/*"], f"GET {POD}/log", False),
        (["*/log"], f"GET {POD}/log", False),
        (["secrets", "*/log"], f"GET {POD}", True),
    ],
)
def test_exclusion(excluded: list[str], request_text: str, expected: bool) -> None:
    assert matches(matcher(resources="*/*", excludeResources=excluded), request_text) is expected


@pytest.mark.parametrize(
    ("namespaces", "names", "request_text", "expected"),
    [
        (["a"], [], f"GET {POD}", True),
        (["b"], [], f"GET {POD}", False),
        (["b", "a*"], [], f"GET {POD}", True),
        (["*"], [], f"GET {POD}", True),
        (["."], [], f"GET {POD}", False),
        (["b"], [], "GET /api/v1/pods", True),  # all namespaces reach b as well
        (["b"], [], "GET /api/v1/pods?watch=true", True),
        ([""], [], "GET /api/v1/pods", True),
        ([""], [], "GET /api/v1/namespaces/a/pods", False),
        (["b"], [], "POST /api/v1/nodes", False),
        ([], ["p"], f"GET {POD}", True),
        ([], ["q*"], f"GET {POD}", False),
        ([], ["*q", "*p"], f"DELETE {POD}", True),
        ([], ["q"], "GET /api/v1/namespaces/a/pods", True),  # the list contains q
        ([], ["q"], "DELETE /api/v1/namespaces/a/pods", True),
        ([], ["q"], "POST /api/v1/namespaces/a/pods", True),  # its object tells: Matcher.named
    ],
)
def test_namespaces_and_names(namespaces: list[str], names: list[str], request_text: str, expected: bool) -> None:
    assert matches(matcher(resources="*", namespaces=namespaces, names=names), request_text) is expected


def test_connections() -> None:
    compiled = matcher(connections=["prod-*"])
    assert matches(compiled, f"GET {POD}", connection="prod-eu")
    assert not matches(compiled, f"GET {POD}", connection="dev")


def test_named() -> None:
    assert matcher().named("anything")
    assert matcher(names=["a*"]).named("abc")
    assert not matcher(names=["a*"]).named("b")


@pytest.mark.parametrize(
    ("request_text", "carries", "replaces"),
    [
        ("GET /api/v1/pods", False, False),
        ("POST /api/v1/namespaces/a/pods", True, False),
        (f"PUT {POD}", True, True),
        (f"PATCH {POD}", True, True),
        (f"DELETE {POD}", False, True),
        ("DELETE /api/v1/namespaces/a/pods", False, False),
        (f"POST {POD}/exec", False, False),
        ("PATCH /api/v1/namespaces/a/services/s/proxy/x", False, False),
    ],
)
def test_which_requests_have_objects(request_text: str, carries: bool, replaces: bool) -> None:
    assert carries_object(request_of(request_text)) is carries
    assert replaces_object(request_of(request_text)) is replaces
