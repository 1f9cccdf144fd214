"""Calls that the API server let through, as RBAC sees them; refused ones do not count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from addons.core.calls import Call, Done, done

TARGET = ("resource", "subresource", "namespace", "name", "apiGroup")


def event(
    id: str = "1",
    code: int = 200,
    *,
    stage: str = "ResponseComplete",
    notes: Mapping[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """An audit event as the gateway writes it."""
    target = {key: fields.pop(key) for key in TARGET if key in fields}
    found: dict[str, Any] = {
        "auditID": id, "stage": stage, "verb": "get", "user": {"username": "https://idp#agent"},
        "annotations": {f"chaperone.dev/{key}": value for key, value in (notes or {}).items()}, **fields,
    }  # fmt: skip
    return found | ({"objectRef": target} if target else {}) | ({"responseStatus": {"code": code}} if code else {})


def calls(*events: dict[str, Any], **read_before: tuple[str, ...]) -> list[Call]:
    return sorted(done(events, read_before).calls)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        pytest.param({"resource": "pods", "namespace": "a", "name": "p"}, [Call("a", "", "pods", "get", "p")],
                     id="get"),
        pytest.param({"resource": "pods", "namespace": "a", "verb": "list"}, [Call("a", "", "pods", "list")],
                     id="list"),
        pytest.param({"resource": "pods", "namespace": "a", "verb": "watch", "name": "p"},
                     [Call("a", "", "pods", "watch", "p")], id="watch of one name"),
        pytest.param({"resource": "pods", "namespace": "a", "verb": "create", "name": "p"},
                     [Call("a", "", "pods", "create")], id="create has no name"),
        pytest.param({"resource": "pods", "namespace": "a", "verb": "deletecollection"},
                     [Call("a", "", "pods", "deletecollection")], id="deletecollection"),
        pytest.param({"resource": "pods", "subresource": "log", "namespace": "a", "name": "p"},
                     [Call("a", "", "pods/log", "get", "p")], id="log"),
        pytest.param({"resource": "pods", "subresource": "exec", "namespace": "a", "name": "p", "code": 101},
                     [Call("a", "", "pods/exec", "create"), Call("a", "", "pods/exec", "get")], id="exec"),
        pytest.param({"resource": "services", "subresource": "proxy", "namespace": "a", "name": "s", "verb": "update"},
                     [Call("a", "", "services/proxy", "update")], id="proxy by its method"),
        pytest.param({"resource": "deployments", "apiGroup": "apps", "namespace": "a", "name": "d", "verb": "patch"},
                     [Call("a", "apps", "deployments", "patch", "d")], id="patch"),
        pytest.param({"resource": "deployments", "apiGroup": "apps", "namespace": "a", "name": "d", "verb": "patch",
                      "code": 201},
                     [Call("a", "apps", "deployments", "create"), Call("a", "apps", "deployments", "patch", "d")],
                     id="apply that created"),
        pytest.param({"resource": "nodes", "name": "n"}, [Call("", "", "nodes", "get", "n")], id="cluster scope"),
        pytest.param({"resource": "namespaces", "namespace": "a", "name": "a"},
                     [Call("", "", "namespaces", "get", "a")], id="a namespace is no part of itself"),
        pytest.param({"requestURI": "/version?x=1"}, [Call("", "", "", "get", path="/version")], id="no resource"),
        pytest.param({"resource": "pods", "namespace": "a", "name": "p", "code": 404},
                     [Call("a", "", "pods", "get", "p")], id="not found, but allowed"),
        pytest.param({"resource": "pods", "code": 403}, [], id="refused by the API server"),
        pytest.param({"resource": "pods", "code": 401}, [], id="not known to the API server"),
        pytest.param({"resource": "pods", "code": 403, "notes": {"decision": "deny"}}, [], id="denied"),
        pytest.param({"resource": "pods", "code": 429, "notes": {"decision": "refuse"}}, [], id="waits"),
        pytest.param({"resource": "pods", "code": 0}, [], id="nobody answered"),
    ],
)  # fmt: skip
def test_one_event(fields: dict[str, Any], found: list[Call]) -> None:
    assert calls(event(**fields)) == found


def test_a_stream_that_was_broken_off_was_let_through() -> None:
    pods: dict[str, Any] = {"resource": "pods", "namespace": "a", "verb": "watch"}
    assert calls(event(stage="ResponseStarted", **pods), event(code=0, **pods)) == [Call("a", "", "pods", "watch")]


def test_what_the_gateway_read_before_counts() -> None:
    patched = event(id="x", resource="pods", namespace="a", name="p", verb="patch")
    assert calls(patched, x=("get",)) == [Call("a", "", "pods", "get", "p"), Call("a", "", "pods", "patch", "p")]


def test_who_did_it_and_how_much_was_refused() -> None:
    notes = {"connection": "prod", "role": "arn", "intent": "INC-1"}
    found = done([event("1", resource="pods", notes=notes), event("2", 403, resource="pods", notes=notes)], {})
    assert found == Done(
        calls=frozenset({Call("", "", "pods", "get")}), total=2, refused=1, users=("https://idp#agent",),
        connections=("prod",), roles=("arn",), intents=("INC-1",),
    )  # fmt: skip
