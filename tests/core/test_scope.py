from __future__ import annotations

from typing import Any

import pytest

from addons.core.grant import Scope
from addons.core.kube_request import KubeRequest
from addons.core.scope import outside_scope, resource_name, spoken

GET = {"verb": "get", "resource": "pods", "namespace": "web"}
SCALE = {"verb": "update", "resource": "deployments", "api_group": "apps", "subresource": "scale", "namespace": "web"}
EXEC = {"verb": "get", "resource": "pods", "subresource": "exec", "namespace": "web"}


def request(**fields: Any) -> KubeRequest:
    return KubeRequest(**{"method": "GET", "path": "/x", "is_resource_request": True, **fields})


@pytest.mark.parametrize(
    ("fields", "scope", "outside"),
    [
        pytest.param(GET, {}, "", id="an empty scope leaves all to RBAC"),
        pytest.param(GET, {"verbs": ("get",), "resources": ("pods",), "namespaces": ("web",)}, "", id="inside"),
        pytest.param(GET, {"verbs": ("list",)}, "the verb get is not among list", id="verb"),
        pytest.param({**GET, "verb": ""}, {"verbs": ("list",)}, "the verb GET is not among list", id="unknown method"),
        pytest.param(GET, {"resources": ("services",)}, "the resource pods is not among services", id="resource"),
        pytest.param(GET, {"namespaces": ("a", "b")}, "the namespace web is not among a, b", id="namespace"),
        pytest.param({**GET, "namespace": ""}, {"namespaces": ("web",)}, "cluster scope", id="all namespaces"),
        pytest.param({"is_resource_request": False, "verb": "get"}, {"verbs": ("list",)}, "", id="discovery"),
        pytest.param(SCALE, {"resources": ("deployments.apps/scale",)}, "", id="subresource of a group"),
        pytest.param(SCALE, {"resources": ("deployments.apps/*",)}, "", id="every subresource"),
        pytest.param(SCALE, {"resources": ("*.apps",)}, "", id="a whole group"),
        pytest.param(
            SCALE, {"resources": ("deployments.apps",)}, "the resource deployments.apps/scale", id="parent only"
        ),
        pytest.param(SCALE, {"resources": ("deployments/*",)}, "the resource deployments.apps/scale", id="core group"),
        pytest.param(GET, {"resources": ("pods/*",)}, "the resource pods", id="subresources without the parent"),
        pytest.param(GET, {"resources": ("*.",)}, "the resource pods", id="no wildcard for the core group"),
        pytest.param(EXEC, {"verbs": ("get",)}, "the verb connect is not among get", id="exec by GET is no get"),
        pytest.param({**EXEC, "verb": "create"}, {"verbs": ("create",)}, "the verb connect", id="exec by POST"),
        pytest.param(EXEC, {"verbs": ("connect",), "resources": ("pods/exec",)}, "", id="exec allowed"),
    ],
)
def test_scope(fields: dict[str, Any], scope: dict[str, Any], outside: str) -> None:
    found = outside_scope(request(**fields), Scope(**scope))
    assert found.startswith(outside) and bool(found) is bool(outside)


def test_resource_names_are_written_as_kubectl_takes_them() -> None:
    assert resource_name(request(**GET)) == "pods"
    assert resource_name(request(**SCALE)) == "deployments.apps/scale"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (SCALE, "update deployments.apps/scale in namespace web"),
        ({**GET, "namespace": "", "verb": "list"}, "list pods"),
        ({**EXEC, "name": "p"}, "open pods/exec p in namespace web"),
        ({**EXEC, "verb": "create", "name": "p"}, "open pods/exec p in namespace web"),
        ({**GET, "verb": "", "method": "TRACE"}, "TRACE pods in namespace web"),
        ({"is_resource_request": False, "verb": "get"}, "pass on GET /x"),
    ],
)
def test_requests_in_words(fields: dict[str, Any], words: str) -> None:
    assert spoken(request(**fields)) == words
