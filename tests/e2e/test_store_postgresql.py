"""Two workers on one PostgreSQL: approvals, locks and single answers are theirs together; without it nothing passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import Agent, client, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, chaperone
from tests.e2e.records import ApiServer
from tests.support import postgresql
from tests.support.kubernetes import Kubectl

SOON = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    """One of its own, as it is stopped."""
    with postgresql.server() as started:
        yield started


@pytest.fixture(scope="module")
def shared(gateways: Gateways, server: postgresql.Server) -> GatewayEnv:
    settings = {
        "store": server.url(server.new_database()),
        "store_password_file": str(server.password_file),
        "workers": 2,
        "hold_seconds": 30,
    }
    return gateways.start("postgresql", settings=settings)


@pytest.fixture(scope="module")
def pod(admin: Kubectl) -> str:
    return admin.run_pod("asked")


@pytest.fixture
def asking(shared: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(shared, "asks-postgresql", "agents").within(admin.namespace)


def question(gateway: GatewayEnv) -> dict[str, Any]:
    """The one that waits."""

    def waiting() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(chaperone(gateway, "approvals", "-o", "json").stdout)
        return found

    found: list[dict[str, Any]] = eventually("a question", waiting, SOON)
    assert len(found) == 1
    return found[0]


def test_an_exec_waits_in_one_worker_and_is_answered_by_a_command(
    asking: Agent, shared: GatewayEnv, oncall: Person, pod: str
) -> None:
    with asking.stream("exec", pod, "--", "echo", "by postgresql") as running:
        asked = question(shared)
        assert (asked["name"], asked["argv"]) == (pod, ["echo", "by postgresql"])
        oncall.answers(shared, "approve", asked["id"])
        code, printed = running.finish()
    assert (code, "by postgresql\n" in printed) == (0, True), printed
    (after,) = json.loads(chaperone(shared, "approvals", "list", "--all", "-o", "json").stdout)
    assert after["state"] == "consumed"
    assert not (shared.state_dir / "approvals.sqlite").exists()


def test_a_lock_holds_in_every_worker(asking: Agent, shared: GatewayEnv, mint: Callable[..., str]) -> None:
    admin = mint("admin@example.com", groups=["oncall"])
    locked = chaperone(shared, "lock", "--subject", asking.user, "--reason", "looks odd", token=admin)
    assert locked.returncode == 0, locked.stderr

    def refused(times: int = 6) -> bool:
        said = [asking.run("get", "configmaps") for _ in range(times)]
        return all("looks odd" in each.stderr for each in said)

    eventually("both workers know it", refused, SOON)
    (listed,) = json.loads(chaperone(shared, "locks", "-o", "json").stdout)
    assert chaperone(shared, "unlock", listed["id"], token=admin).returncode == 0
    eventually("both workers forget it", lambda: all(
        asking.run("get", "configmaps").returncode == 0 for _ in range(6)
    ), SOON)  # fmt: skip


def test_without_it_nothing_passes_and_afterwards_all_does(
    asking: Agent, shared: GatewayEnv, server: postgresql.Server, api_server: ApiServer, admin: Kubectl
) -> None:
    server.stop()
    try:
        mark = api_server.mark()
        with client(shared, asking.token) as http:
            found = eventually("a refusal", lambda: next(
                (each for each in [http.get("/api/v1/namespaces/default/configmaps")] if each.status_code != 200), None
            ), SOON)  # fmt: skip
            body = {"metadata": {"name": "unstored"}}
            refused = http.post("/api/v1/namespaces/default/configmaps", json=body)
        for each in (found, refused):
            assert (each.status_code, each.json()["kind"], each.headers["Retry-After"]) == (503, "Status", "5")
            assert each.json()["message"].startswith("chaperone refused"), each.text
        assert [each for each in api_server.about(mark, "/configmaps") if each["verb"] == "create"] == []
        done = chaperone(shared, "doctor")
        assert (done.returncode, "FAIL  store" in done.stdout) == (1, True), done.stdout
    finally:
        server.start()
    eventually("it is used again", lambda: asking.run("create", "configmap", "stored").returncode == 0, 60)
    assert admin.get("configmap", "stored")["metadata"]["name"] == "stored"
