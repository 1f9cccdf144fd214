"""A new policy for new requests: what began keeps its own, and no name becomes another cluster."""

from __future__ import annotations

import datetime
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from mitmproxy.test import tflow

from addons.connections import Connections
from addons.core.connection import Connection, by_target
from addons.core.problem import InvalidConfiguration
from addons.core.profile import Profile
from addons.edge.credentials import Credentials
from addons.edge.oidc import Verifier
from addons.edge.upstream import Upstream
from addons.exchange import IncompleteExchange, exchange_of
from addons.in_force import InForce
from addons.perimeter import Perimeter
from addons.policy import Policy, load_policy
from tests.support.issuer import Issuer, issuer
from tests.support.proxy import Upstream as Server
from tests.support.proxy import upstream

ROOT = Path(__file__).parents[1]
NOW = datetime.datetime.now(datetime.UTC)
KEY = b"k" * 32


class World:
    """Rule files of one cluster, and a worker's parts that judge by them."""

    def __init__(self, folder: Path, server: Server, idp: Issuer) -> None:
        self.folder, self.server, self.idp = folder / "rules", server, idp
        self.folder.mkdir()
        self.write("identity", "IdentityProvider", "idp", f"issuer: {idp.url}\n  audiences: [chaperone]")
        self.write("access", "Access", "all", f"groups: [g]\n  connections: [test]\n  role: {ROLE}")
        self.connection()
        first = self.load()
        self.connections = Connections(by_target(first.connections))
        known = dict(first.connections)
        self.upstream = Upstream(first.connections, Credentials(known, {}, time.time))
        self.verifier = Verifier(first.providers, time.monotonic)
        self.in_force = InForce(first, lambda: 7.0, self.connections, self.verifier, self.upstream, known)

    def write(self, name: str, kind: str, title: str, spec: str) -> None:
        head = f"apiVersion: chaperone/v1\nkind: {kind}\nmetadata: {{name: {title}}}\nspec:\n  "
        (self.folder / f"{name}.yaml").write_text(head + spec)

    def connection(self, name: str = "test", more: str = "", port: int = 443) -> None:
        spec = (
            f"host: api.{name}:443\n  address: 127.0.0.1:{port}\n  caFile: {self.server.ca_file}\n"
            f"  eks: {{cluster: c, region: eu-central-1}}\n{more}"
        )
        self.write(f"connection-{name}", "Connection", name, spec)

    def load(self, known: dict[str, Connection] | None = None) -> Policy:
        folders = [str(self.folder), *(str(ROOT / "rules" / name) for name in ("guardrails", "masking"))]
        return load_policy(folders, KEY, NOW, known or {})


ROLE = "arn:aws:iam::123456789012:role/agent"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with upstream(tmp_path) as server, issuer() as idp:
        found = World(tmp_path, server, idp)
        yield found
        await found.verifier.close()
        await found.upstream.close()


async def test_an_exchange_keeps_the_policy_it_began_with(world: World) -> None:
    client = tflow.tclient_conn()
    perimeter = Perimeter(world.connections, lambda: world.in_force.policy, lambda: 1.0, 1 << 20)
    assert world.connections.open(client, "api.test", 443) is not None

    def begin() -> tuple[str, Profile]:
        flow = tflow.tflow(client_conn=client)
        perimeter.requestheaders(flow)
        exchange = exchange_of(flow)
        assert exchange.policy is not None and exchange.connection is not None
        return exchange.policy.version, exchange.connection.profile

    before, profile = begin()
    world.connection(more="  profile: observe\n")
    assert await world.in_force.replace(world.load(world.in_force.known)) == []
    after, changed = begin()
    assert (profile, changed) == (Profile.STANDARD, Profile.OBSERVE)
    assert before != after == world.in_force.policy.version


async def test_clusters_come_and_go(world: World) -> None:
    client, other = tflow.tclient_conn(), tflow.tclient_conn()
    world.connections.open(client, "api.test", 443)
    world.connection("new")
    world.write("access", "Access", "all", f"groups: [g]\n  connections: [new]\n  role: {ROLE}")
    (world.folder / "connection-test.yaml").unlink()
    await world.in_force.replace(world.load(world.in_force.known))
    assert world.connections.open(other, "api.new", 443) is not None
    assert world.upstream.resources_of(world.in_force.policy.connections["new"]) is not None
    assert world.connections.open(tflow.tclient_conn(), "api.test", 443) is None
    assert world.connections.get(client) is None, "what begins in the old tunnel is refused"
    assert world.connections.of(client).name == "test", "what runs in it goes on"
    with pytest.raises(IncompleteExchange):
        world.connections.of(tflow.tclient_conn())


async def test_a_target_under_another_name_is_another_cluster(world: World) -> None:
    client = tflow.tclient_conn()
    world.connections.open(client, "api.test", 443)
    renamed = replace(world.in_force.policy.connections["test"], name="other")
    world.connections.replace(by_target({"other": renamed}))
    assert world.connections.get(client) is None


@pytest.mark.parametrize("gone_meanwhile", [False, True])
async def test_a_cluster_that_moved_needs_a_restart(world: World, gone_meanwhile: bool) -> None:
    if gone_meanwhile:
        first = (world.folder / "connection-test.yaml").read_text()
        world.connection("new")
        (world.folder / "connection-test.yaml").unlink()
        world.write("access", "Access", "all", f"groups: [g]\n  connections: [new]\n  role: {ROLE}")
        await world.in_force.replace(world.load(world.in_force.known))
        (world.folder / "connection-test.yaml").write_text(first)
    world.connection(port=6443)
    with pytest.raises(InvalidConfiguration) as error:
        world.load(world.in_force.known)
    (problem,) = error.value.problems
    assert (problem.file, problem.line) == (str(world.folder / "connection-test.yaml"), 4)
    assert "can only change with a restart" in problem.message


async def test_a_cluster_whose_ca_cannot_be_read_any_more_changes_nothing(world: World) -> None:
    before = world.in_force.policy
    gone = replace(before.connections["test"], name="new", host="api.new", ca_file="/nowhere")
    policy = replace(before, version="2", connections={**before.connections, "new": gone})
    with pytest.raises(OSError):
        await world.in_force.replace(policy)
    assert (world.in_force.policy, world.in_force.since) == (before, 7.0)
    assert world.connections.open(tflow.tclient_conn(), "api.new", 443) is None


async def test_identity_providers_are_replaced_with_it(world: World) -> None:
    world.write("identity", "IdentityProvider", "idp", "issuer: http://127.0.0.1:1\n  audiences: [x]")
    assert await world.in_force.replace(world.load()) == ["http://127.0.0.1:1"]
    assert "127.0.0.1:1" in world.verifier.advice


def test_the_log_names_the_version_and_the_clusters(world: World) -> None:
    told = world.in_force.describe()
    assert told["policy"] == world.in_force.policy.version
    assert told["summary"].startswith("connections: test (standard); ")
