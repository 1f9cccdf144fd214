"""Whatever the gateway needs and cannot have, requests end in a Status that says so, and nothing is forwarded."""

from __future__ import annotations

import json
import re
import resource
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from tests.e2e.agent import Agent, client, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, pending
from tests.e2e.wiretap import Wiretap, wiretap
from tests.support.kubernetes import Kubectl

ANSWER_SECONDS = 20
REQUESTS = [
    ("GET", "/api/v1/namespaces/default/pods", None),
    ("GET", "/api/v1/namespaces/default/secrets/any", None),
    ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "never"}}),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "never"}}),
    ("PATCH", "/api/v1/namespaces/default/configmaps/any", {"data": {"a": "b"}}),
    ("DELETE", "/api/v1/namespaces/default/configmaps/any", None),
]


@pytest.fixture(scope="module")
def wire(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretap]:
    """What the gateways of this module send upstream."""
    with wiretap(cluster, tmp_path_factory.mktemp("wire")) as tap:
        yield tap


def ask(http: httpx.Client, method: str, path: str, body: object) -> httpx.Response:
    kind = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
    return http.request(method, path, content=None if body is None else json.dumps(body), headers=kind)


def check_refusals(gateway: GatewayEnv, token: str, codes: set[int], rule: str) -> None:
    """Every kind of request ends in a Status, soon; the gateway lives on."""
    for method, path, body in REQUESTS:
        began = time.monotonic()
        with client(gateway, token) as http:
            reply = ask(http, method, path, body)
        assert time.monotonic() - began < ANSWER_SECONDS, (method, path)
        status = reply.json()
        assert reply.status_code in codes, (method, path, status)
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", reply.status_code)
        assert rule in status["message"], (method, path, status)


def request_lines(wire: Wiretap, mark: int) -> list[bytes]:
    """Of every request sent since."""
    return re.findall(rb"(?m)^[A-Z]+ /\S* HTTP/1\.1\r$", wire.since(mark))


def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module", autouse=True)
def stranded(gateways: Gateways, cluster: Cluster) -> GatewayEnv:
    """A gateway whose cluster is away."""
    upstream = replace(Upstream.of(cluster), address=f"127.0.0.1:{dead_port()}")
    return gateways.start("without-cluster", upstream)


@pytest.fixture(scope="module", autouse=True)
def patient(stranded: GatewayEnv, as_user: Callable[..., Agent], executor: Executor) -> Future[str]:
    """What kubectl says there after all its tries, for which it takes its time."""
    return executor.submit(as_user(stranded, "alone-too", "agents").refused, "get", "--raw", "/healthz")


def test_b80_without_sts_nothing_is_forwarded(gateways: Gateways, mint: Callable[..., str], wire: Wiretap) -> None:
    endpoint = f"http://127.0.0.1:{dead_port()}"
    gateway = gateways.start("without-sts", replace(wire.upstream, sts_endpoint=endpoint))
    mark, connections = wire.mark(), wire.connections
    check_refusals(gateway, mint("unlucky", groups=["agents"]), {503}, "rule: ")
    assert (wire.since(mark), wire.connections) == (b"", connections)


def test_b80_a_role_that_may_not_be_assumed(gateways: Gateways, mint: Callable[..., str], wire: Wiretap) -> None:
    roles = {"agents": "arn:aws:iam::123456789012:role/not-for-us"}
    gateway = gateways.start("without-role", replace(wire.upstream, roles=roles))
    mark, connections = wire.mark(), wire.connections
    check_refusals(gateway, mint("roleless", groups=["agents"]), {503}, "AccessDenied")
    assert (wire.since(mark), wire.connections) == (b"", connections)


def test_b80_without_the_identity_provider_nobody_is_believed(
    gateways: Gateways, mint: Callable[..., str], wire: Wiretap
) -> None:
    issuer = f"http://127.0.0.1:{dead_port()}"
    gateway = gateways.start("without-oidc", replace(wire.upstream, issuer=issuer))
    mark, connections = wire.mark(), wire.connections
    token = mint("stranger", groups=["agents"], claims={"iss": issuer})
    check_refusals(gateway, token, {503}, "identity-provider-unavailable")
    assert (wire.since(mark), wire.connections) == (b"", connections)


def test_b84_b85_a_cluster_with_another_certificate_is_not_spoken_to(
    gateways: Gateways, mint: Callable[..., str], wire: Wiretap, cluster: Cluster
) -> None:
    gateway = gateways.start("wrong-ca", replace(wire.upstream, ca_file=cluster.api_ca))
    mark = wire.mark()
    check_refusals(gateway, mint("misled", groups=["agents"]), {502, 503}, "rule: ")
    assert wire.since(mark) == b""


@pytest.fixture(scope="module")
def full(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """A gateway whose disk is going to be full."""
    return gateways.start("full-disk", wire.upstream, {"hold_seconds": 10})


@contextmanager
def disk_full(gateway: GatewayEnv) -> Iterator[None]:
    """No write of the gateway's process succeeds meanwhile, to its own log included."""
    soft, hard = resource.prlimit(gateway.child.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.child.pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(gateway.child.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_b80_with_a_full_disk_nothing_is_forwarded_until_there_is_room(
    full: GatewayEnv, mint: Callable[..., str], wire: Wiretap, admin: Kubectl
) -> None:
    token = mint("unrecorded", groups=["agents"])
    path = f"/api/v1/namespaces/{admin.namespace}/configmaps"
    with client(full, token) as http:
        assert http.get(path).status_code == 200
        mark = wire.mark()
        with disk_full(full):
            check_refusals(full, token, {503}, "rule: ")
            check_refusals(full, mint("newcomer", groups=["agents"]), {503}, "rule: ")
            assert http.get(path).status_code == 503, "on a connection that worked before"
        assert [line for line in request_lines(wire, mark) if b"dryRun=All" not in line] == [], (
            "its own questions at most"
        )
        mark = wire.mark()
        assert http.get(path).status_code == 200, "once there is room again"
        assert len(request_lines(wire, mark)) == 1


def test_b41_a_session_that_can_no_longer_be_recorded_ends(
    full: GatewayEnv, as_user: Callable[..., Agent], oncall: Person, admin: Kubectl
) -> None:
    pod = admin.run_pod("chatty")
    talker = as_user(full, "talker", "agents").within(admin.namespace)
    with talker.stream("exec", pod, "--", "sh", "-c", "while sleep 0.05; do echo still here; done") as running:
        oncall.approves(full, pending(full, name=pod)["id"])
        running.until("still here")
        with disk_full(full):
            eventually("the end of the session", lambda: running.process.poll() is not None)


def test_b80_without_the_store_of_approvals_what_needs_one_is_refused(
    full: GatewayEnv, as_user: Callable[..., Agent], wire: Wiretap
) -> None:
    """And what needs none goes on."""
    somebody = as_user(full, "storeless", "agents")
    lock = sqlite3.connect(full.state_dir / "approvals.sqlite", isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        mark = wire.mark()
        with somebody.http() as http:
            reply = http.get("/api/v1/namespaces/kube-system/secrets/any")
            assert (reply.status_code, reply.json()["kind"]) == (503, "Status")
            assert b"/secrets" not in wire.since(mark)
            assert http.get("/api/v1/namespaces").status_code == 200
    finally:
        lock.close()


def test_b80_without_the_cluster(stranded: GatewayEnv, mint: Callable[..., str], patient: Future[str]) -> None:
    check_refusals(stranded, mint("alone", groups=["agents"]), {502, 503}, "rule: ")
    assert "chaperone refused" in patient.result()
