"""One gateway for all attacks, its wire to the API server tapped, and the API server's own word on what arrived."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.streaming_kubelet import StreamingKubelet
from tests.e2e.bypasses.caller import Caller
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.gateways import Gateways
from tests.e2e.records import ApiServer
from tests.e2e.wiretap import Wiretap, wiretap
from tests.support.kubernetes import Kubectl


@pytest.fixture(scope="package")
def wire(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretap]:
    """Every byte that the gateway sends to the API server."""
    with wiretap(cluster, tmp_path_factory.mktemp("wire")) as tap:
        yield tap


@pytest.fixture(scope="package")
def gateway(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """The gateway under attack; it asks people, and does not wait for them."""
    return gateways.start("attacked", wire.upstream, {"hold_seconds": 0})


@pytest.fixture(scope="package")
def lenient(gateways: Gateways, wire: Wiretap) -> GatewayEnv:
    """A gateway whose rules stop nothing: what it refuses needs no rule, and what passes is recorded."""
    return gateways.start("lenient", replace(wire.upstream, profile="observe"))


@pytest.fixture(scope="package")
def token(mint: Callable[..., str]) -> str:
    """Of a caller whose role may do everything: nothing but the gateway stops it."""
    return mint("mallory", groups=["agents"])


@pytest.fixture
def oracle(gateway: GatewayEnv, token: str, wire: Wiretap, api_server: ApiServer) -> Oracle:
    """What reaches the API server from here on."""
    return Oracle(gateway, token, wire, api_server, f"fence-{secrets.token_hex(6)}")


@pytest.fixture
def lenient_oracle(lenient: GatewayEnv, token: str, wire: Wiretap, api_server: ApiServer) -> Oracle:
    """What reaches the API server through the lenient gateway from here on."""
    return Oracle(lenient, token, wire, api_server, f"fence-{secrets.token_hex(6)}")


@pytest.fixture(scope="module")
def pod(admin: Kubectl, kubelet: StreamingKubelet) -> str:
    """A pod whose commands run, as `namespace/name`."""
    return f"{admin.namespace}/{admin.run_pod(f'target-{secrets.token_hex(3)}', nodeName=kubelet.node)}"


@pytest.fixture
def caller(gateway: GatewayEnv, token: str, oracle: Oracle, admin: Kubectl) -> Caller:
    """The same, and a namespace of the module to ask about."""
    return Caller(gateway, token, oracle, admin)
