"""Roles that allow what was done and no more; what would give more is named and not granted."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.access_spec import AccessSpec
from addons.core.calls import Call, Done
from addons.core.least_privilege import access_spec, role_rules


def rules(*calls: Call) -> dict[str, list[dict[str, Any]]]:
    return {place: [rule.document() for rule in found if not rule.why] for place, found in role_rules(calls).items()}


def why(call: Call) -> str:
    [[rule]] = role_rules([call]).values()
    return rule.why


def pods(verb: str, name: str = "", resource: str = "pods") -> Call:
    return Call("a", "", resource, verb, name)


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        pytest.param([pods("list"), pods("watch"), pods("create")],
                     [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "list", "watch"]}], id="verbs"),
        pytest.param([pods("get", "p"), pods("get", "q"), pods("delete", "p"), pods("delete", "q")],
                     [{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["p", "q"],
                       "verbs": ["delete", "get"]}], id="names with the same verbs"),
        pytest.param([pods("get", "p"), pods("delete", "q")],
                     [{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["q"], "verbs": ["delete"]},
                      {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"], "verbs": ["get"]}],
                     id="names with different verbs stay apart"),
        pytest.param([pods("watch", "p"), pods("watch")],
                     [{"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]}], id="all names include one"),
        pytest.param([pods("list"), Call("a", "", "services", "list"), Call("a", "apps", "deployments", "list")],
                     [{"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list"]},
                      {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}],
                     id="resources of a group"),
        pytest.param([pods("get", "p"), pods("get", "p", "pods/log")],
                     [{"apiGroups": [""], "resources": ["pods", "pods/log"], "resourceNames": ["p"], "verbs": ["get"]}],
                     id="subresources"),
    ],
)  # fmt: skip
def test_rules_are_merged_where_that_grants_no_more(calls: list[Call], found: list[dict[str, Any]]) -> None:
    assert rules(*calls) == {"a": found}


def test_namespaces_and_the_cluster_have_roles_of_their_own() -> None:
    found = rules(Call("a", "", "pods", "list"), Call("b", "", "pods", "list"), Call("", "", "nodes", "get", "n"))
    assert list(found) == ["", "a", "b"]
    assert found[""] == [{"apiGroups": [""], "resources": ["nodes"], "resourceNames": ["n"], "verbs": ["get"]}]


def test_paths() -> None:
    paths = ("/api", "/api/v1", "/apis/apps/v1", "/version", "/openapi/v3")
    [rule] = rules(*(Call("", "", "", "get", path=path) for path in paths))[""]
    assert rule == {
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version"],
        "verbs": ["get"],
    }


@pytest.mark.parametrize(
    "call",
    [
        Call("a", "", "secrets", "list"),
        Call("a", "", "serviceaccounts/token", "create"),
        Call("a", "", "pods/exec", "create"),
        Call("a", "", "pods/ephemeralcontainers", "patch", "p"),
        Call("", "", "nodes/proxy", "get", "n"),
        Call("", "", "users", "impersonate", "u"),
        Call("", "rbac.authorization.k8s.io", "clusterroles", "escalate", "r"),
        Call("", "rbac.authorization.k8s.io", "clusterroles", "bind", "r"),
        Call("a", "rbac.authorization.k8s.io", "rolebindings", "create"),
        Call("", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "patch", "w"),
        Call("", "certificates.k8s.io", "certificatesigningrequests/approval", "update", "c"),
        Call("a", "", "*", "get"),
        Call("a", "*", "pods", "get"),
        Call("a", "", "pods", "*"),
    ],
)
def test_what_gives_more_than_one_has_is_flagged(call: Call) -> None:
    assert why(call)
    assert rules(call) == {call.namespace: []}


def test_reading_of_roles_is_ordinary() -> None:
    assert why(Call("a", "rbac.authorization.k8s.io", "roles", "list")) == ""


def session(*calls: Call, roles: tuple[str, ...] = ("arn:aws:iam::123456789012:role/r",)) -> dict[str, Any]:
    return access_spec(Done(
        calls=frozenset(calls), total=1, refused=0, users=("https://idp#agent#7",), connections=("prod",), roles=roles,
        intents=(),
    ))  # fmt: skip


def test_the_access_document_narrows_to_what_was_done() -> None:
    spec = session(
        pods("get", "p"), pods("get", "p", "services/status"), Call("a", "apps", "deployments/scale", "patch", "d"),
        pods("create", resource="pods/exec"), Call("", "", "", "get", path="/version"),
    )  # fmt: skip
    assert AccessSpec.model_validate(spec).scope.namespaces == ["a"]
    assert spec["scope"] == {
        "namespaces": ["a"],
        "resources": ["deployments.apps/scale", "pods", "services/status"],
        "verbs": ["get", "patch"],
    }
    assert spec["subjects"] == ["7"]


def test_a_scope_with_the_cluster_in_it_names_no_namespaces() -> None:
    assert "namespaces" not in session(pods("list"), Call("", "", "nodes", "list"))["scope"]
    assert session(pods("list"), roles=("one", "two"))["role"] == ""
