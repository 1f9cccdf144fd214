"""The gateway's own questions, asked of a real API server with a real token of a real role session."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from addons.core.connection import EKS, Connection
from addons.core.grant import Grant
from addons.core.guardrails import Unanswered
from addons.core.guardrails.effective import ServerRefusal
from addons.core.identity import Identity
from addons.edge.api_server import UpstreamUnavailable
from addons.edge.credentials import Credentials
from addons.edge.sts import EksTokens
from addons.edge.upstream import MISS_INTERVAL, Upstream
from scripts.devenv.cluster import Cluster
from tests.support.kubernetes import Kubectl
from tests.support.proxy import upstream as capture_server

SCALE = {"spec": {"replicas": 3}}
CONTAINER = {"name": "main", "image": "registry.test/web:1"}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}},
    },
}


class World:
    """One cluster as the gateway sees it."""

    def __init__(self, cluster: Cluster, **changes: Any) -> None:
        url = urlsplit(cluster.api_url)
        host, port = str(url.hostname), int(url.port or 443)
        values: dict[str, Any] = {
            "name": "dev", "host": host, "port": port, "address": (host, port), "server_name": host,
            "ca_file": cluster.api_ca, "eks_cluster": cluster.eks_cluster_name, "region": cluster.sts_region,
            "sts_endpoint_url": cluster.sts_endpoint_url, **changes,
        }  # fmt: skip
        self.cluster, self.connection, self.ahead = cluster, Connection(**values), 0.0
        connections = {"dev": self.connection}
        self.credentials = Credentials(connections, {EKS: EksTokens().mint}, time.time)
        self.upstream = Upstream(connections, self.credentials, lambda: time.monotonic() + self.ahead)

    def grant(self, role: str = "admin") -> Grant:
        now = time.time()
        who = Identity(iss="https://idp", sub="agent-7", aud=("c",), exp=now + 3600)
        return Grant(
            id=f"grant-{role}", identity=who, connection="dev", role=self.cluster.role_arns[role],
            not_before_at=now, expires_at=now + 3600,
        )  # fmt: skip

    async def ask(self, method: str, target: str, content_type: str, body: object) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.upstream.effective(self.grant(), method, target, {"content-type": content_type}, content)


@pytest.fixture
async def world(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for name, value in cluster.aws_env.items():
        monkeypatch.setenv(name, value)
    found = World(cluster)
    yield found
    await found.upstream.close()
    found.credentials.close()


def sent_by_kubectl(cluster: Cluster, folder: Path, *arguments: str) -> tuple[str, str, str, bytes]:
    """Method, target, content type and body of the first write that kubectl sends for a command."""
    with capture_server(folder) as server:
        flags = [f"--server=https://127.0.0.1:{server.port}", "--insecure-skip-tls-verify=true", "--token=x"]
        (folder / "empty").write_text("")
        Kubectl(path=cluster.kubectl, kubeconfig=str(folder / "empty")).run(*flags, *arguments)
        writes = [request for request in server.requests if request[0] != "GET"]
    method, target, headers, body = writes[0]
    return method, target, headers["Content-Type"], body


async def test_a_protobuf_body_is_read_by_the_server(
    world: World, cluster: Cluster, kubectl: Kubectl, tmp_path: Path
) -> None:
    arguments = ("create", "clusterrolebinding", "sneaky", "--clusterrole=cluster-admin", "--user=agent-7")
    method, target, content_type, body = sent_by_kubectl(cluster, tmp_path, *arguments)
    assert content_type == "application/vnd.kubernetes.protobuf" and body.startswith(b"k8s\x00")
    found = await world.ask(method, target, content_type, body)
    assert found["roleRef"]["name"] == "cluster-admin" and found["subjects"][0]["name"] == "agent-7"
    assert "NotFound" in kubectl.run("get", "clusterrolebinding", "sneaky").stderr, "nothing was stored"


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        pytest.param("application/strategic-merge-patch+json", SCALE, id="strategic merge"),
        pytest.param("application/merge-patch+json", SCALE, id="merge"),
        pytest.param(
            "application/json-patch+json", [{"op": "replace", "path": "/spec/replicas", "value": 3}], id="json"
        ),
    ],
)
async def test_a_patch_is_judged_by_its_result(
    world: World, namespace: Kubectl, content_type: str, patch: object
) -> None:
    namespace.apply(DEPLOYMENT)
    target = f"/apis/apps/v1/namespaces/{namespace.namespace}/deployments/web"
    found = await world.ask("PATCH", target, content_type, patch)
    assert (found["kind"], found["spec"]["replicas"]) == ("Deployment", 3)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.test/web:1"
    before = await world.upstream.current(world.grant(), target)
    assert isinstance(before, dict) and before["spec"]["replicas"] == 0


async def test_server_side_apply_of_a_new_object(world: World, namespace: Kubectl) -> None:
    target = f"/api/v1/namespaces/{namespace.namespace}/configmaps/settings"
    manifest = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"
    found = await world.ask("PATCH", f"{target}?fieldManager=me&force=true", "application/apply-patch+yaml", manifest)
    assert found["data"] == {"a": "b"}
    assert await world.upstream.current(world.grant(), target) is None, "nothing was stored"


async def test_defaults_are_part_of_the_result(world: World, namespace: Kubectl) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}}
    found = await world.ask("POST", f"/api/v1/namespaces/{namespace.namespace}/pods", "application/json", pod)
    assert found["spec"]["serviceAccountName"] == "default"


async def test_the_servers_refusal_comes_back_as_it_is(world: World, namespace: Kubectl) -> None:
    target = f"/api/v1/namespaces/{namespace.namespace}/configmaps"
    refused = await world.ask("POST", target, "application/json", {"kind": "ConfigMap", "apiVersion": "v1"})
    assert isinstance(refused, ServerRefusal)
    assert (refused.status, json.loads(refused.body)["reason"]) == (422, "Invalid")
    viewer = await world.upstream.effective(world.grant("view"), "POST", target, {}, json.dumps(DEPLOYMENT).encode())
    assert isinstance(viewer, ServerRefusal) and viewer.status == 403, "the caller's role asks, not the gateway"


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "configmaps/kube-root-ca.crt"), ("POST", "serviceaccounts/default/token")]
)
async def test_what_has_no_safe_dry_run_is_not_asked(world: World, namespace: Kubectl, method: str, path: str) -> None:
    with pytest.raises(Unanswered):
        await world.ask(method, f"/api/v1/namespaces/{namespace.namespace}/{path}", "application/json", {})


async def test_a_token_for_another_cluster_is_not_accepted(cluster: Cluster, world: World) -> None:
    other = World(cluster, eks_cluster="another")
    with pytest.raises(UpstreamUnavailable, match="did not accept"):
        await other.upstream.current(other.grant(), "/apis/authentication.k8s.io/v1/selfsubjectreviews")
    await other.upstream.close()
    other.credentials.close()


async def test_discovery_knows_a_new_kind_after_a_refresh(world: World, kubectl: Kubectl) -> None:
    resources = await world.upstream.refresh(world.connection, world.grant("view"))
    execs = resources.get("", "v1", "pods", "exec")
    assert execs is not None and execs.namespaced and {"create", "get"} <= execs.verbs
    assert len(resources) > 100
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "upstream.test", "names": names, "scope": "Namespaced", "versions": [version]}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    kubectl.apply({**crd, "metadata": {"name": "widgets.upstream.test"}})
    kubectl("wait", "--for=condition=Established", "crd/widgets.upstream.test", "--timeout=30s")
    try:
        assert resources.get("upstream.test", "v1", "widgets") is None
        deadline = time.monotonic() + 20
        while resources.get("upstream.test", "v1", "widgets") is None and time.monotonic() < deadline:
            world.ahead += MISS_INTERVAL  # discovery follows the condition by a moment
            resources = await world.upstream.refresh(world.connection)
        assert resources.get("upstream.test", "v1", "widgets") is not None
        widget = {"apiVersion": "upstream.test/v1", "kind": "Widget", "metadata": {"name": "w"}, "size": 3}
        target = "/apis/upstream.test/v1/namespaces/default/widgets"
        found = None
        while found is None and time.monotonic() < deadline:  # and the OpenAPI document by another
            world.ahead += MISS_INTERVAL
            with suppress(Unanswered):
                found = await world.ask("POST", target, "application/json", widget)
        assert found is not None and found["size"] == 3
        assert await world.upstream.current(world.grant(), f"{target}/w") is None, "nothing was stored"
    finally:
        kubectl("delete", "crd", "widgets.upstream.test", "--wait=false")
