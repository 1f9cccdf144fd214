"""An API that another server answers: known by discovery, judged as any other, and when it is away, it alone."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from addons.edge.upstream import MISS_INTERVAL
from scripts.devenv.certificates import Authority
from tests.e2e.agent import Agent, eventually
from tests.e2e.custom_resources import DISCOVERY, definition, install
from tests.support.kubernetes import Kubectl

GROUP = "samples.test"
VERSION = f"{GROUP}/v1"
NAME = "aggregated"
SOON_AFTER_A_MISS = MISS_INTERVAL + 50
CLUSTER_SECONDS = 90
VERBS = ["create", "delete", "get", "list", "patch"]
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": VERSION,
    "resources": [
        {"name": "samples", "singularName": "sample", "kind": "Sample", "namespaced": True, "verbs": VERBS},
    ],
}


@dataclass
class Backend:
    """A server behind the API server, and what it was asked: method, path and in whose name."""

    server: http.server.ThreadingHTTPServer
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.server.server_address[1]
        return port

    def by_agents(self) -> list[str]:
        """`METHOD path` of what came in the name of a role; the cluster's own controllers ask, too."""
        return [f"{method} {path}" for method, path, user in self.asked if ":assumed-role/" in user]

    def writes(self) -> list[str]:
        """Their methods, of whatever could have changed something."""
        methods = [asked.partition(" ")[0] for asked in self.by_agents()]
        return [method for method in methods if method != "GET"]

    def stop(self) -> None:
        """It is away from now on."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def sample(name: str) -> dict[str, Any]:
    return {"apiVersion": VERSION, "kind": "Sample", "metadata": {"name": name}}


def content(method: str, path: str) -> dict[str, Any] | None:
    """What the backend answers; None for what it has not."""
    if path == f"/apis/{VERSION}":
        return RESOURCES
    if method == "GET" and path.endswith("/samples"):
        return {"apiVersion": VERSION, "kind": "SampleList", "metadata": {}, "items": [sample("one")]}
    return sample(path.rpartition("/")[2]) if "/samples" in path else None


@pytest.fixture(scope="module")
def backend(admin: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """It runs, and the cluster does not know of it yet."""
    pair = Authority(tmp_path_factory.mktemp("backend")).issue("backend", NAME, hosts=[f"{NAME}.{admin.namespace}.svc"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    running: Backend

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            running.connections.append(self.request)
            super().setup()

        def any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            running.asked.append((self.command, path, self.headers.get("X-Remote-User", "")))
            found = content(self.command, path)
            answer = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = any

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    running = Backend(server)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    admin("delete", "apiservice", f"v1.{GROUP}", "--ignore-not-found")
    running.stop()


@pytest.fixture(scope="module")
def http_agent(hasty: Agent) -> Iterator[httpx.Client]:
    with hasty.http() as client:
        yield client


def register(admin: Kubectl, backend: Backend) -> None:
    """The cluster passes requests for the group on to it. Nothing here routes a cluster's addresses; names it does."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"v1.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": "v1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": NAME, "namespace": admin.namespace, "port": backend.port},
        },
    }
    admin.apply(service, api_service)


def refused(reply: httpx.Response, code: int, rule: str) -> bool:
    return reply.status_code == code and f"rule: {rule}\n" in reply.json()["message"]


def test_b17_an_aggregated_api_is_known_judged_and_forwarded(
    http_agent: httpx.Client, hasty: Agent, admin: Kubectl, backend: Backend
) -> None:
    path = f"/apis/{VERSION}/namespaces/{hasty.namespace}/samples"
    assert refused(http_agent.get(path), 403, "unknown-resource")
    register(admin, backend)
    admin("wait", "--for=condition=Available", f"apiservice/v1.{GROUP}", "--timeout=60s")
    listed = eventually("the new API", lambda: found(http_agent.get(path)), SOON_AFTER_A_MISS)
    assert [each["metadata"]["name"] for each in listed["items"]] == ["one"]
    assert f"GET {path}" in backend.by_agents(), "in the role's name"

    assert refused(http_agent.get(f"{path}/one/status"), 403, "unknown-subresource")
    assert refused(http_agent.get(f"/apis/{VERSION}/samples/one"), 403, "wrong-scope")
    assert refused(http_agent.put(f"{path}/one", json=sample("one")), 403, "unknown-verb")
    assert refused(http_agent.delete(f"{path}/one?gracePeriodSeconds=0"), 429, "forced-deletion-needs-approval")
    assert backend.writes() == []

    assert http_agent.post(path, json=sample("two")).status_code == 200
    assert http_agent.delete(f"{path}/one").status_code == 200
    assert backend.writes() == ["POST", "DELETE"]


def found(reply: httpx.Response) -> dict[str, Any] | None:
    decoded: dict[str, Any] = reply.json()
    return decoded if reply.status_code == 200 else None


def test_b66_what_cannot_be_tried_without_effect_is_not_sent(
    http_agent: httpx.Client, hasty: Agent, backend: Backend
) -> None:
    """A patch is judged by what it results in; this server does not say that it takes dry runs."""
    before = len(backend.writes())
    reply = http_agent.patch(
        f"/apis/{VERSION}/namespaces/{hasty.namespace}/samples/one",
        content=b'{"spec":{"a":1}}',
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert reply.status_code == 503, reply.text
    assert len(backend.writes()) == before


def test_b17_one_that_is_away_takes_nothing_else_with_it(
    http_agent: httpx.Client, hasty: Agent, admin: Kubectl, admin_http: httpx.Client, backend: Backend
) -> None:
    path = f"/apis/{VERSION}/namespaces/{hasty.namespace}/samples"
    backend.stop()
    assert http_agent.get(path).status_code == 503
    admin("wait", "--for=condition=Available=False", f"apiservice/v1.{GROUP}", "--timeout=60s")
    install(admin, definition("latecomers", "Latecomer", "Namespaced"))
    other = f"/apis/things.test/v1/namespaces/{hasty.namespace}/latecomers"
    # After kinds of a group came and went, the cluster is late to tell of a new one: that is not the gateway's.
    told = partial(admin_http.get, "/apis", headers={"Accept": DISCOVERY})
    eventually("the cluster's discovery of it", lambda: "latecomers" in told().text, CLUSTER_SECONDS)
    eventually("a new kind", lambda: http_agent.get(other).status_code == 200, SOON_AFTER_A_MISS)
    assert hasty("get", "configmaps", "-o", "name")
    assert http_agent.get(path).status_code in (403, 503)
    admin("delete", "crd", "latecomers.things.test")
