"""Section B, resources: what the cluster does not serve is refused, and the same data is the same by every name."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from addons.edge.upstream import MISS_INTERVAL
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import eventually
from tests.e2e.bypasses.caller import Caller
from tests.e2e.custom_resources import GROUP, WIDGETS, WORLDS, install
from tests.e2e.raw import ask, request
from tests.support.kubernetes import Kubectl

SOON_AFTER_A_MISS = MISS_INTERVAL + 50
PASSWORD = "correct-horse-battery"
RELEASE = base64.b64encode(gzip.compress(json.dumps({"config": {"password": PASSWORD}}).encode()))
"""As Helm stores one, which the API server then encodes once more."""


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Kubectl, gateway: GatewayEnv, token: str) -> None:
    """A namespaced and a cluster-scoped custom resource that the gateway knows, and objects that hold credentials."""
    install(admin, WIDGETS, WORLDS)
    for path in (f"namespaces/{admin.namespace}/widgets/w1", "worlds/earth"):
        asked = request(gateway, f"/apis/{GROUP}/v1/{path}", token=token)
        eventually(path, lambda asked=asked: ask(gateway, asked).status == 200, SOON_AFTER_A_MISS)
    admin("create", "configmap", "settings", f"--from-literal=dsn=postgres://shop:{PASSWORD}@db/shop")
    admin.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "helm.sh/release.v1",
            "metadata": {"name": "sh.helm.release.v1.web.v1"},
            "stringData": {"release": RELEASE.decode()},
        },
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "told"},
            "involvedObject": {"kind": "Pod", "name": "p1", "namespace": admin.namespace},
            "message": f"login with password={PASSWORD} failed",
            "reason": "Told",
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}},
        {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"}, "subsets": []},
    )


@pytest.mark.parametrize(
    ("method", "target", "rule"),
    [
        ("GET", "/api/v1/namespaces/NS/things", "unknown-resource"),
        ("GET", "/api/v1/namespaces/NS/Secrets", "unknown-resource"),
        ("GET", "/api/v1/namespaces/NS/secret", "unknown-resource"),
        ("GET", "/api/v1/things/x", "unknown-resource"),
        ("GET", "/api/v2/namespaces/NS/secrets", "unknown-resource"),
        ("GET", "/api/V1/namespaces/NS/secrets", "unknown-resource"),
        ("GET", "/apis/v1/namespaces/NS/secrets", "unknown-resource"),
        ("GET", "/apis/core/v1/namespaces/NS/secrets", "unknown-resource"),
        ("GET", "/apis/apps/v1beta1/namespaces/NS/deployments", "unknown-resource"),
        ("GET", "/apis/extensions/v1beta1/namespaces/NS/deployments", "unknown-resource"),
        ("GET", "/apis/unknown.example/v1/things", "unknown-resource"),
        ("POST", "/apis/unknown.example/v1/namespaces/NS/things", "unknown-resource"),
        ("GET", "/apis/x/v1/proxy/namespaces/NS/pods/p1", "unknown-resource"),
        ("GET", f"/apis/{GROUP}/v2/namespaces/NS/widgets", "unknown-resource"),
        ("GET", f"/apis/{GROUP}/v1/namespaces/NS/gadgets", "unknown-resource"),
        ("GET", f"/apis/{GROUP}/v1/proxy/namespaces/NS/widgets/x", "unknown-verb"),
        ("GET", f"/apis/{GROUP}/v1/namespaces/NS/widgets/x/scale", "unknown-subresource"),
        ("GET", "/api/v1/proxy/namespaces/NS/pods/p1", "unknown-verb"),
        ("GET", "/api/v1/proxy/nodes/node-1", "unknown-verb"),
        ("GET", "/api/v1/namespaces/NS/pods/p1/shell", "unknown-subresource"),
        ("GET", "/api/v1/namespaces/NS/pods/p1/exec/more", "unknown-subresource"),
        ("GET", "/api/v1/namespaces/NS/pods/p1/log/more", "unknown-subresource"),
        ("GET", "/api/v1/namespaces/NS/secrets/s1/status", "unknown-subresource"),
        ("DELETE", "/api/v1/namespaces/NS/pods/p1/log", "unknown-verb"),
        ("GET", "/api/v1/namespaces/NS/bindings", "unknown-verb"),
    ],
)
def test_b17_what_the_cluster_does_not_serve_is_refused(method: str, target: str, rule: str, caller: Caller) -> None:
    caller.is_refused(403, rule, target, method=method)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        # a cluster-scoped object through a namespace (CVE-2019-11247), and in every form of writing it
        ("GET", f"/apis/{GROUP}/v1/namespaces/NS/worlds/earth"),
        ("GET", f"/apis/{GROUP}/v1/namespaces/NS/worlds"),
        ("POST", f"/apis/{GROUP}/v1/namespaces/NS/worlds"),
        ("PUT", f"/apis/{GROUP}/v1/namespaces/NS/worlds/earth"),
        ("PATCH", f"/apis/{GROUP}/v1/namespaces/NS/worlds/earth"),
        ("DELETE", f"/apis/{GROUP}/v1/namespaces/NS/worlds/earth"),
        ("DELETE", f"/apis/{GROUP}/v1/namespaces/NS/worlds"),
        ("GET", f"/apis/{GROUP}/v1/namespaces/NS/worlds/earth/status"),
        ("GET", f"/apis/{GROUP}/v1/watch/namespaces/NS/worlds/earth"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/clusterroles/cluster-admin"),
        ("GET", "/api/v1/namespaces/NS/nodes/node-1"),
        ("GET", "/api/v1/namespaces/NS/nodes/node-1/proxy"),
        ("GET", "/api/v1/namespaces/NS/namespaces/kube-system"),
        # and a namespaced one without
        ("GET", f"/apis/{GROUP}/v1/widgets/w1"),
        ("POST", f"/apis/{GROUP}/v1/widgets"),
        ("DELETE", f"/apis/{GROUP}/v1/widgets"),
        ("PATCH", f"/apis/{GROUP}/v1/widgets/w1/status"),
        ("GET", "/api/v1/secrets/s1"),
        ("GET", "/api/v1/pods/p1/exec"),
        ("DELETE", "/api/v1/secrets"),
        ("POST", "/api/v1/pods"),
    ],
)
def test_b19_an_object_in_the_wrong_scope_is_refused(method: str, target: str, caller: Caller) -> None:
    caller.is_refused(403, "wrong-scope", target, method=method)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"/apis/{GROUP}/v1/worlds/earth", f"get {GROUP}/worlds - earth"),
        (f"/apis/{GROUP}/v1/worlds/earth/status", f"get {GROUP}/worlds/status - earth"),
        (f"/apis/{GROUP}/v1/worlds", f"list {GROUP}/worlds - -"),
        (f"/apis/{GROUP}/v1/namespaces/NS/widgets/w1", f"get {GROUP}/widgets NS w1"),
        (f"/apis/{GROUP}/v1/namespaces/NS/widgets", f"list {GROUP}/widgets NS -"),
        (f"/apis/{GROUP}/v1/widgets", f"list {GROUP}/widgets - -"),
    ],
)
def test_b19_in_its_own_scope_it_is_read(target: str, expected: str, caller: Caller) -> None:
    assert caller.is_read(expected, target).status == 200


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/namespaces/NS/events", "list events NS -"),
        ("/apis/events.k8s.io/v1/namespaces/NS/events", "list events.k8s.io/events NS -"),
        ("/api/v1/namespaces/NS/events/told", "get events NS told"),
        ("/apis/events.k8s.io/v1/namespaces/NS/events/told", "get events.k8s.io/events NS told"),
        ("/api/v1/namespaces/NS/configmaps", "list configmaps NS -"),
        ("/api/v1/namespaces/NS/configmaps/settings", "get configmaps NS settings"),
        ("/api/v1/namespaces/NS/secrets/sh.helm.release.v1.web.v1", "get secrets NS sh.helm.release.v1.web.v1"),
        ("/api/v1/namespaces/NS/secrets?fieldSelector=type=helm.sh/release.v1", "list secrets NS -"),
    ],
)
def test_b18_the_same_data_is_masked_by_every_name(target: str, expected: str, caller: Caller) -> None:
    answer = caller.is_read(expected, target)
    assert answer.status == 200
    assert b"masked:v1:" in answer.raw or base64.b64encode(b"masked:v1:")[:12] in answer.raw
    assert PASSWORD.encode() not in answer.raw
    assert base64.b64encode(RELEASE)[:20] not in answer.raw


@pytest.mark.parametrize(
    ("rule", "targets"),
    [
        (
            "no-deletion-of-everything",
            (
                "/apis/autoscaling/v1/namespaces/NS/horizontalpodautoscalers",
                "/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers",
            ),
        ),
        ("no-deleted-events", ("/api/v1/namespaces/NS/events", "/apis/events.k8s.io/v1/namespaces/NS/events")),
        (
            "no-deletion-of-everything",
            ("/api/v1/namespaces/NS/endpoints", "/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices"),
        ),
    ],
)
def test_b18_a_rule_knows_no_version(rule: str, targets: tuple[str, str], caller: Caller) -> None:
    for target in targets:
        caller.is_refused(403, rule, target, method="DELETE")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/namespaces/NS/endpoints/web", "get endpoints NS web"),
        ("/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices/web", "get discovery.k8s.io/endpointslices NS web"),
    ],
)
def test_b18_other_names_of_one_thing_are_read(target: str, expected: str, caller: Caller) -> None:
    caller.is_read(expected, target)


@pytest.mark.parametrize("target", ["/api/v1/namespaces/NS/bindings", "/api/v1/namespaces/NS/pods/p1/binding"])
def test_b18_a_binding_is_one_by_both_names(target: str, caller: Caller) -> None:
    body = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p1"}, "target": {"kind": "Node", "name": "n"}}
    caller.is_refused(
        403,
        "no-bindings-to-nodes",
        target,
        "Content-Type: application/json",
        method="POST",
        body=json.dumps(body).encode(),
    )
