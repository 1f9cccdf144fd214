"""An agent's kubectl reads what an administrator's does: the same bytes, as soon as they are there."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, client, eventually
from tests.e2e.gateways import Gateways
from tests.support.kubernetes import Kubectl

CONFIG_MAPS = 400


@pytest.fixture(scope="module", autouse=True)
def web(admin: Kubectl) -> None:
    """A pod, a Deployment and a ConfigMap to read, and as nothing moves any more, the same to everybody."""
    admin("create", "deployment", "shop", "--image=registry.test/shop:1")
    admin("create", "configmap", "settings", "--from-literal=colour=blue")
    admin.run_pod()
    admin("rollout", "status", "deployment/shop", "--timeout=30s")


SAME = [
    "get pods -o json",
    "get pod web -o yaml",
    "get pods,deployments,configmaps -o name",
    "get pods -l app=web -o jsonpath={.items[*].spec.nodeName}",
    "get pods --field-selector=metadata.name=web -o yaml",
    "get deployment shop -o yaml --show-managed-fields",
    "get deployment shop --subresource=scale -o json",
    "get nodes -o json",
    "get namespaces -o name",
    "get pods --all-namespaces -o name",
    "get --raw /healthz",
    "get --raw /version",
    "get --raw /readyz?verbose",
    "api-versions",
    "api-resources",
    "explain pod.spec.containers.ports",
    "explain deployments --recursive",
    "describe node node-1",
    "describe configmap settings",
    "rollout history deployment/shop",
    "auth can-i --list",
    "wait --for=condition=Ready pod/web",
    "version -o json",
]


@pytest.mark.parametrize("command", SAME)
def test_the_answer_is_the_same_as_without_a_gateway(command: str, agent: Agent, admin: Kubectl) -> None:
    """As an administrator sees it just before or just after: leases of nodes are renewed meanwhile."""
    before, shown, after = (who(*command.split()) for who in (admin, agent, admin))
    assert shown in (before, after)


SHOWS = [
    ("get pods", "web"),
    ("get pods -o wide", "node-"),
    ("get all", "deployment.apps/shop"),
    ("describe pod web", "registry.test/web:1"),
    ("describe deployment shop", "registry.test/shop:1"),
    ("get events", "Scheduled"),
    ("events", "Scheduled"),
    ("cluster-info", "Kubernetes control plane"),
    ("auth can-i create pods", "yes"),
    ("logs web", "listening on :8080"),
    ("version", "Server Version: v1.37.2"),
]


@pytest.mark.parametrize(("command", "text"), SHOWS, ids=[command for command, _ in SHOWS])
def test_what_has_times_in_it_is_shown(command: str, text: str, agent: Agent) -> None:
    assert text in agent(*command.split())


def test_whoami_names_the_role_session_of_the_agent(agent: Agent, cluster: Cluster) -> None:
    role = cluster.role_arns["admin"].rpartition("/")[2]
    who = json.loads(agent("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert who["username"].startswith(f"arn:aws:sts::{cluster.account}:assumed-role/{role}/{agent.user}-")
    assert "chaperone:admin" in who["groups"]


def test_the_role_of_the_group_is_the_limit(gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> None:
    viewer = as_user(gateway, "viewer", "agents-view").within(admin.namespace)
    assert viewer.run("auth", "can-i", "delete", "pods").stdout.strip() == "no"
    said = viewer.refused("delete", "pod", "web")
    assert "cannot delete resource" in said, "the cluster's own words"
    assert admin("get", "pod", "web", "-o", "name")


def test_a_missing_object_is_reported_by_the_cluster(agent: Agent) -> None:
    assert agent.refused("get", "pod", "nobody") == 'Error from server (NotFound): pods "nobody" not found\n'


def test_a_watch_shows_events_as_they_happen(agent: Agent, admin: Kubectl) -> None:
    watching = ["get", "configmaps", "-w", "--output-watch-events", "-o", "jsonpath={.type} {.object.metadata.name}\n"]
    with agent.stream(*watching) as watch:
        watch.until("ADDED settings")
        for event, change in [
            ("ADDED", "create configmap seen"),
            ("MODIFIED", "label configmap seen a=b"),
            ("DELETED", "delete configmap seen --wait=false"),
        ]:
            admin(*change.split())
            began = time.monotonic()
            watch.until(f"{event} seen")
            assert time.monotonic() - began < 2


def test_a_watch_in_table_form(agent: Agent, admin: Kubectl) -> None:
    with agent.stream("get", "configmaps", "-w") as watch:
        watch.until("settings")
        admin("create", "configmap", "in-a-table")
        watch.until("in-a-table", 2)


def test_logs_are_followed(agent: Agent, cluster: Cluster) -> None:
    with agent.stream("logs", "-f", "web", "--tail=1") as logs:
        logs.until("")
        for _ in range(3):
            word = secrets.token_hex(8)
            with Path(cluster.pod_log).open("a") as log:
                log.write(f"2026-01-01T00:00:01Z stdout F {word}\n")
            logs.until(word, 2)


@pytest.fixture(scope="module")
def many(admin: Kubectl, admin_http: httpx.Client) -> set[str]:
    """Names of a lot of ConfigMaps, some megabytes together."""
    names = {f"bulk-{number:04}" for number in range(CONFIG_MAPS)}
    for name in sorted(names):
        body = {"metadata": {"name": name, "labels": {"bulk": "yes"}}, "data": {"text": "x" * 10_000}}
        admin_http.post(f"/api/v1/namespaces/{admin.namespace}/configmaps", json=body).raise_for_status()
    return names


@pytest.mark.parametrize("chunk", ["0", "150"], ids=["in one piece", "page by page"])
def test_a_large_list_is_whole(chunk: str, many: set[str], agent: Agent) -> None:
    listed = agent("get", "configmaps", "-l", "bulk=yes", f"--chunk-size={chunk}", "-o", "json")
    items = json.loads(listed)["items"]
    assert {item["metadata"]["name"] for item in items} == many
    assert all(len(item["data"]["text"]) == 10_000 for item in items)


def test_many_at_once(many: set[str], agent: Agent) -> None:
    """Twenty requests at a time on connections of their own, as a fleet of agents makes them."""

    def read(name: str) -> int:
        with client(agent.gateway, agent.token) as http:
            return http.get(f"/api/v1/namespaces/{agent.namespace}/configmaps/{name}").status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(read, sorted(many)[:60], timeout=60)) == {200}


def test_nothing_but_kubernetes_paths_is_read(agent: Agent) -> None:
    for path in ("/metrics", "/debug/pprof/", "/logs/"):
        assert "chaperone refused" in agent.refused("get", "--raw", path)


def test_the_same_over_http2(gateways: Gateways, as_user: Callable[..., Agent], admin: Kubectl) -> None:
    """An option: off unless it is switched on."""
    gateway = gateways.start("http2", settings={"http2": True})
    agent = as_user(gateway, "h2", "agents").within(admin.namespace)
    with agent.stream("get", "configmaps", "-w") as watch:
        watch.until("settings")
        agent("create", "configmap", "over-http2")
        watch.until("over-http2", 2)
    assert agent("get", "pods", "-o", "json") == admin("get", "pods", "-o", "json")
    assert "rule: no-node-proxy" in agent.refused("get", "--raw", "/api/v1/nodes/node-1/proxy/run/a")

    eventually("records of HTTP/2", lambda: list(flows(gateway)))
    assert {flow.request.http_version for _, flow in flows(gateway)} == {"HTTP/2.0"}


def test_the_next_command_of_a_session_goes_on_with_its_connection_and_nobody_else_does(
    gateways: Gateways, as_user: Callable[..., Agent], admin: Kubectl
) -> None:
    gateway = gateways.start("going-on")
    agents = [as_user(gateway, sub, "agents").within(admin.namespace) for sub in ("going-on", "someone-else")]
    for agent in agents * 4:
        agent("get", "configmaps")
    eventually(
        "all records", lambda: len([flow for _, flow in flows(gateway) if "/configmaps" in flow.request.path]) == 8
    )
    from_here: dict[str, set[str]] = {}
    to_cluster: dict[str, set[object]] = {}
    for session, flow in flows(gateway):
        from_here.setdefault(session, set()).add(flow.client_conn.id)
        to_cluster.setdefault(session, set()).add(flow.server_conn.sockname)
    first, other = to_cluster
    assert to_cluster[first].isdisjoint(to_cluster[other])
    assert all(len(from_here[session]) - len(to_cluster[session]) >= 3 for session in (first, other))


def flows(gateway: GatewayEnv) -> Iterator[tuple[str, HTTPFlow]]:
    """Those of agents, each with its session."""
    for path in gateway.state_dir.glob("sessions/[!u]*/flows-*.mitm"):  # not the gateway's own, unidentified
        with path.open("rb") as file:
            yield from ((path.parent.name, flow) for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow))
