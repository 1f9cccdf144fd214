"""Which requests a cluster's API has, one row per fact."""

from __future__ import annotations

from typing import Any

import pytest

from addons.core.builtin_resources import KUBERNETES
from addons.core.request_info import request_info
from addons.core.request_line import parse_target
from addons.core.resources import BUILTIN, BUILTIN_AND_OPTIONAL, Resources, UnreadableDiscovery, refusal_of

NS = "/api/v1/namespaces/team-a"
DISCOVERY: list[dict[str, Any]] = [
    {
        "kind": "APIResourceList",
        "groupVersion": "example.com/v1",
        "resources": [
            {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["get", "list", "patch"]},
            {"name": "widgets/console", "kind": "Console", "namespaced": True, "verbs": ["get"]},
            {"name": "worlds", "kind": "World", "namespaced": False, "verbs": ["get"]},
            {"name": "pods/cpu", "kind": "MetricValueList", "namespaced": True, "verbs": ["get"]},
        ],
    },
    {
        "groupVersion": "v1",
        "resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get"], "shortNames": ["po"]}],
    },
]


def rule(method: str, target: str, resources: Resources = BUILTIN) -> str:
    refusal = refusal_of(request_info(method, *parse_target(target)), resources)
    assert refusal is None or (refusal.code == 403 and refusal.why and refusal.hint)
    return refusal.rule if refusal else ""


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", f"{NS}/pods/web", ""),
        ("HEAD", f"{NS}/pods/web", ""),
        ("GET", "/api/v1/pods", ""),
        ("GET", "/api/v1/pods?watch=1", ""),
        ("GET", "/api/v1/watch/pods", ""),
        ("GET", NS, ""),
        ("PUT", f"{NS}/finalize", ""),
        ("GET", "/api/v1/namespaces/namespaces", ""),
        ("GET", "/api/v1/nodes/n1", ""),
        ("GET", f"{NS}/pods/web/exec", ""),
        ("POST", f"{NS}/pods/web/exec", ""),
        ("GET", f"{NS}/pods/web/log", ""),
        ("POST", f"{NS}/serviceaccounts/a/token", ""),
        ("GET", "/api/v1/nodes/n1/proxy/a/b", ""),
        ("DELETE", f"{NS}/services/https:web:443/proxy", ""),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/web/scale", ""),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", ""),
        # B-17 what does not exist
        ("GET", f"{NS}/widgets", "unknown-resource"),
        ("GET", "/api/v2/pods", "unknown-resource"),
        ("GET", "/apis/extensions/v1beta1/namespaces/a/deployments", "unknown-resource"),
        ("GET", "/apis/example.com/v1/namespaces/a", "unknown-resource"),
        ("GET", f"{NS}/Pods", "unknown-resource"),
        ("GET", "/apis/example.com/v1/proxy/namespaces/a/widgets/x", "unknown-resource"),
        ("GET", f"{NS}/pods/web/shell", "unknown-subresource"),
        ("GET", f"{NS}/pods/web/exec/more", "unknown-subresource"),
        ("GET", f"{NS}/secrets/s/status", "unknown-subresource"),
        # B-16 methods, and verbs nobody serves
        ("LIST", f"{NS}/pods", "unknown-verb"),
        ("get", f"{NS}/pods", "unknown-verb"),
        ("TRACE", f"{NS}/pods", "unknown-verb"),
        ("GET", "/api/v1/proxy/namespaces/a/pods/web", "unknown-verb"),
        ("GET", "/api/v1/proxy/namespaces/a/pods/web/below/it", "unknown-verb"),
        ("DELETE", "/api/v1/watch/pods", "unknown-verb"),
        ("DELETE", f"{NS}/pods/web/log", "unknown-verb"),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "unknown-verb"),
        # B-19 scope
        ("GET", f"{NS}/nodes", "wrong-scope"),
        ("GET", f"{NS}/nodes/n1/proxy", "wrong-scope"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/a/clusterroles/x", "wrong-scope"),
        ("GET", f"{NS}/namespaces/b", "wrong-scope"),
        ("GET", f"{NS}/namespaces/team-a", "wrong-scope"),
        ("GET", f"{NS}/namespaces", "wrong-scope"),
        ("GET", "/api/v1/pods/web", "wrong-scope"),
        ("GET", "/api/v1/watch/pods/web", "wrong-scope"),
        ("GET", "/api/v1/pods/web/exec", "wrong-scope"),
        ("POST", "/api/v1/pods", "wrong-scope"),
        ("DELETE", "/api/v1/secrets", "wrong-scope"),
        # B-1A paths that are no resources
        ("GET", "/api", ""),
        ("GET", "/api/", ""),
        ("GET", "/api/v1", ""),
        ("GET", "/apis", ""),
        ("GET", "/apis/apps", ""),
        ("GET", "/apis/apps/v1", ""),
        ("GET", "/version", ""),
        ("HEAD", "/version", ""),
        ("GET", "/openapi/v2", ""),
        ("GET", "/openapi/v3/apis/apps/v1", ""),
        ("GET", "/healthz", ""),
        ("GET", "/livez/ping", ""),
        ("GET", "/readyz?verbose", ""),
        ("POST", "/version", "unknown-verb"),
        ("get", "/version", "unknown-verb"),
        ("GET", "/", "non-resource-path"),
        ("GET", "/metrics", "non-resource-path"),
        ("GET", "/debug/pprof/heap", "non-resource-path"),
        ("GET", "/logs", "non-resource-path"),
        ("GET", "/configz", "non-resource-path"),
        ("GET", "/.well-known/openid-configuration", "non-resource-path"),
        ("GET", "/healthzz", "non-resource-path"),
        ("GET", "/version/x", "non-resource-path"),
        ("GET", "/API/v1/pods", "non-resource-path"),
        ("GET", "/openapi", ""),
    ],
)
def test_builtin(method: str, target: str, expected: str) -> None:
    assert rule(method, target) == expected


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/apis/example.com/v1/namespaces/a/widgets/x", ""),
        ("GET", "/apis/example.com/v1/namespaces/a/widgets/x/console/deep/er", ""),
        ("GET", "/apis/example.com/v1/namespaces/a/pods/x/cpu", ""),
        ("GET", "/apis/example.com/v1/namespaces/a/pods", "unknown-resource"),
        ("GET", "/apis/example.com/v1/namespaces/a/widgets/x/status", "unknown-subresource"),
        ("DELETE", "/apis/example.com/v1/namespaces/a/widgets/x", "unknown-verb"),
        ("GET", "/apis/example.com/v1/namespaces/a/worlds/x", "wrong-scope"),
        ("GET", "/apis/example.com/v1/widgets/x", "wrong-scope"),
        ("GET", f"{NS}/pods/x", ""),
        ("GET", f"{NS}/secrets/x", "unknown-resource"),
    ],
)
def test_discovered(method: str, target: str, expected: str) -> None:
    assert rule(method, target, Resources.from_discovery(DISCOVERY)) == expected


def test_hints_say_where_a_resource_is() -> None:
    refusal = refusal_of(request_info("GET", "/apis/extensions/v1beta1/deployments"), BUILTIN)
    assert refusal and refusal.hint == "it is served by apps/v1" and "/apis/extensions/v1beta1" in refusal.why
    refusal = refusal_of(request_info("GET", "/apis/apps/v1/pods"), BUILTIN)
    assert refusal and refusal.hint == "it is served by v1"
    refusal = refusal_of(request_info("GET", "/api/v1/wigdets"), BUILTIN)
    assert refusal and "kubectl api-resources" in refusal.hint


def test_a_subresource_without_verbs_says_so() -> None:
    nothing = Resources.from_discovery(
        [{"groupVersion": "v1", "resources": [{"name": "x", "kind": "X", "namespaced": False, "verbs": []}]}]
    )
    refusal = refusal_of(request_info("GET", "/api/v1/x"), nothing)
    assert refusal and refusal.hint == "it takes: none"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"groupVersion": "v1"},
        {"groupVersion": 1, "resources": []},
        {"groupVersion": "v1", "resources": [{}]},
        {"groupVersion": "v1", "resources": ["pods"]},
        {"groupVersion": "v1", "resources": [{"name": "x", "kind": "X", "namespaced": "yes", "verbs": []}]},
    ],
)
def test_discovery_that_is_not_what_was_promised(document: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDiscovery):
        Resources.from_discovery([document])


def test_the_builtin_tables() -> None:
    assert KUBERNETES.startswith("1.37.")
    names = {key[0:1] + key[2:] for key in BUILTIN_AND_OPTIONAL}
    assert sum("/" not in name for _, name in names) == 79
    assert sum("/" in name for _, name in names) == 54
    assert len(BUILTIN) < len(BUILTIN_AND_OPTIONAL)
    pods, execs = BUILTIN.get("", "v1", "pods"), BUILTIN.get("", "v1", "pods", "exec")
    assert pods and (pods.kind, pods.namespaced) == ("Pod", True) and "deletecollection" in pods.verbs
    assert execs and (execs.kind, sorted(execs.verbs)) == ("PodExecOptions", ["create", "get"])
    assert BUILTIN.get("lifecycle.k8s.io", "v1alpha1", "evictionrequests") is None
    assert BUILTIN_AND_OPTIONAL.get("lifecycle.k8s.io", "v1alpha1", "evictionrequests")
