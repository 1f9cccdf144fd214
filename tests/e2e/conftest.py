"""The gateway that end-to-end tests share: one process in front of their cluster, isolated by namespace.

Other parts of a check may do the same in that cluster meanwhile. The roles of each are of another account, and its
namespaces begin otherwise: so each finds what its own gateways did in the cluster's audit log.

Each gateway started here is remembered, so that the tests of the evidence, which run last, judge what all wrote.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.devenv import oidc, streaming_kubelet
from scripts.devenv.cluster import Cluster
from scripts.devenv.components import ACCOUNTS
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.processes import is_running
from scripts.devenv.streaming_kubelet import StreamingKubelet
from tests.e2e.agent import Agent, Transcript, eventually
from tests.e2e.gateways import LASTING, Gateways, end
from tests.e2e.leaks import core
from tests.e2e.people import Person, pending
from tests.e2e.records import PARTS, ApiServer
from tests.e2e.secret_objects import secret
from tests.support.kubernetes import Kubectl, own_namespace

ALL_THAT_WAS_RECORDED = ("test_evidence_audit", "test_evidence_files")
"""They compare all records with the cluster's own."""
HOLD_SECONDS = 10
STOP_SECONDS = 60
ATTACHED = "echo attached; read line; echo heard $line"
"""What attach finds running on the streaming node."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What was recorded is judged when everything has been; what starts gateways of its own for that comes after it."""
    items.sort(
        key=lambda item: "tests/e2e/test_evidence" in item.nodeid and 1 + (item.path.stem not in ALL_THAT_WAS_RECORDED)
    )


@pytest.fixture(scope="session")
def cluster(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """With roles of an account that no other part has; the first is that of all other tests."""
    parts = Path(cluster.state_dir) / PARTS
    parts.mkdir(exist_ok=True)
    own = parts / f".{os.getpid()}"
    own.write_text(str(tmp_path_factory.getbasetemp()))
    return cluster.of_account(next(each for each in ACCOUNTS[1:] if _is_first(own, parts / each)))


def _is_first(own: Path, taken: Path) -> bool:
    try:
        taken.hardlink_to(own)  # whoever sees it, sees what is in it
    except FileExistsError:
        return False
    return True


@pytest.fixture(scope="session")
def prefix(cluster: Cluster) -> str:
    """How the namespaces of this part begin."""
    return f"e2e-{ACCOUNTS.index(cluster.account):x}"


@pytest.fixture(scope="session")
def gateways(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """Starts further gateways; all are stopped in the end."""
    known = Gateways(cluster, tmp_path_factory.mktemp("gateways"))
    yield known
    for gateway in known.started:
        gateway.stop()


@pytest.fixture(scope="module", autouse=True)
def _gateways_of_one_module(gateways: Gateways) -> Iterator[None]:
    """They end with it: dozens that nobody uses take a tenth of the machine's time."""
    before = len(gateways.started)
    yield
    end(each for each in gateways.started[before:] if each.folder.name not in LASTING)


@pytest.fixture(scope="session")
def gateway(gateways: Gateways) -> GatewayEnv:
    """The gateway that most tests use."""
    return gateways.start("shared", settings={"hold_seconds": HOLD_SECONDS})


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    """For commands that take long, beside other tests."""
    with ThreadPoolExecutor() as started:
        yield started


@pytest.fixture(scope="session")
def transcript() -> Transcript:
    """What agents printed in this session, and what they must not have seen."""
    return Transcript()


@pytest.fixture(scope="session")
def planted() -> list[str]:
    """Secret values of this session, which must turn up nowhere."""
    return []


@pytest.fixture(scope="session")
def plant(planted: list[str]) -> Callable[[], str]:
    """A new secret value. It has characters that URLs and JSON escape, so that every encoding of it differs."""

    def new() -> str:
        value = f"s3cr3t/{secrets.token_hex(12)}+&<é"
        planted.append(value)
        return value

    return new


@pytest.fixture(scope="session")
def mint(cluster: Cluster) -> Callable[..., str]:
    """An ID token of the cluster's OpenID provider: `mint(sub, groups=…, claims=…, aud=…)`."""

    def token(sub: str, **options: Any) -> str:
        return oidc.mint(cluster.oidc_issuer, sub, **options)

    return token


@pytest.fixture(scope="session")
def as_user(transcript: Transcript, mint: Callable[..., str]) -> Callable[..., Agent]:
    """An agent: `as_user(gateway, sub, group, **claims)`, in namespace `default`."""

    def agent(gateway: GatewayEnv, sub: str, group: str, **claims: Any) -> Agent:
        token = mint(sub, groups=[group], claims=claims)
        return Agent.of(gateway, transcript, sub, token)

    return agent


@pytest.fixture(scope="session", autouse=True)
def api_server(cluster: Cluster, prefix: str) -> ApiServer:
    """The API server's audit log. Made before any test here: what others did to the cluster before is not looked at."""
    return ApiServer(cluster, prefix)


@pytest.fixture(scope="module")
def admin(kubectl: Kubectl, admin_http: httpx.Client, prefix: str) -> Kubectl:
    """The administrator's kubectl, past the gateway, in a namespace of this module alone."""
    return kubectl.within(own_namespace(admin_http, f"{prefix}{secrets.token_hex(4)[1:]}"))


@pytest.fixture(scope="module")
def elsewhere(admin: Kubectl, admin_http: httpx.Client) -> Kubectl:
    """The administrator in another namespace, where nobody else does anything."""
    return admin.within(own_namespace(admin_http, f"{admin.namespace}-admin"))


@pytest.fixture(scope="module")
def agent(gateway: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl, request: pytest.FixtureRequest) -> Agent:
    """An agent whose role may do everything: nothing but the gateway stops it. In the namespace of `admin`."""
    return as_user(gateway, f"agent-of-{request.module.__name__.rpartition('.')[2]}", "agents").within(admin.namespace)


@pytest.fixture(scope="session")
def impatient(gateways: Gateways) -> GatewayEnv:
    """A gateway that does not wait for people: who needs an approval is told to come back."""
    return gateways.start("impatient", settings={"hold_seconds": 0})


@pytest.fixture(scope="session")
def oncall(mint: Callable[..., str]) -> Person:
    """Somebody who may approve."""
    return Person(mint("oncall@example.com", groups=["oncall"]))


@pytest.fixture(scope="module")
def hasty(
    impatient: GatewayEnv, as_user: Callable[..., Agent], admin: Kubectl, request: pytest.FixtureRequest
) -> Agent:
    """As `agent`, of the gateway that does not wait."""
    return as_user(impatient, f"hasty-{request.module.__name__.rpartition('.')[2]}", "agents").within(admin.namespace)


@pytest.fixture(scope="module")
def password(admin: Kubectl, plant: Callable[[], str]) -> str:
    """The value of Secret `db`, which an administrator applied: last-applied-configuration holds it too."""
    value = plant()
    admin("apply", "-f", "-", stdin=secret("db", password=value))
    assert core(value).decode() in str(admin.get("secret", "db")["metadata"]["annotations"])
    assert base64.b64decode(admin.get("secret", "db")["data"]["password"]).decode() == value
    return value


@pytest.fixture(scope="session")
def kubelet(cluster: Cluster, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamingKubelet]:
    """A node on which commands run with a true end of input and their own exit codes."""
    folder, node = tmp_path_factory.mktemp("streaming-kubelet"), f"{streaming_kubelet.NODE}-{cluster.account}"
    running = streaming_kubelet.start(cluster, folder, ATTACHED, node)
    kubectl("create", "-f", "-", stdin=streaming_kubelet.node(running))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def written(
    gateways: Gateways,
    gateway: GatewayEnv,
    as_user: Callable[..., Agent],
    kubectl: Kubectl,
    admin_http: httpx.Client,
    prefix: str,
    oncall: Person,
    plant: Callable[[], str],
) -> list[GatewayEnv]:
    """All gateways, once they have written what there was to write: they have been stopped.

    Something of everything is done before, so that the tests of the evidence also run alone.
    """
    admin = kubectl.within(own_namespace(admin_http, f"{prefix}-evidence"))
    pod, agent = admin.run_pod("evidence"), as_user(gateway, "evidence", "agents").within(admin.namespace)
    agent("get", "pods")
    agent("create", "secret", "generic", "evidence", f"--from-literal=password={plant()}")
    agent("get", "secret", "evidence", "-o", "yaml")
    agent.refused("create", "clusterrolebinding", "evidence", "--clusterrole=cluster-admin", "--user=bob")
    agent.refused("get", "pods", "--token=nonsense")
    with agent.stream("exec", pod, "--", "echo", "evidence") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        assert running.finish()[0] == 0
    running_still = end(gateways.started)
    eventually("the end of every gateway", lambda: not any(map(is_running, running_still)), STOP_SECONDS)
    return gateways.started


@pytest.fixture(scope="session")
def recordable(written: list[GatewayEnv]) -> list[GatewayEnv]:
    """The gateways that could write whenever they wanted to."""
    return [gateway for gateway in written if gateway.folder.name != "full-disk"]
