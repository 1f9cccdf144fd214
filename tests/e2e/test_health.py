"""What probes are told, of the real process: whether it lives, whether it is ready, and what is missing if not."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from scripts.devenv import forkserver, plain_http
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_conf import write_configuration
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import eventually
from tests.e2e.gateways import Gateways
from tests.e2e.raw import connect, proxy
from tests.e2e.records import gateway_events
from tests.e2e.test_fail_closed import dead_port, disk_full


def probe(gateway: GatewayEnv, path: str = "/readyz") -> tuple[int, Any]:
    """Status and content."""
    reply = plain_http.get(f"{gateway.health_url}{path}", timeout=10)
    return reply.status_code, reply.json() if path == "/readyz" else reply.text


READY = (200, {"ready": True, "missing": {}})


def missing(gateway: GatewayEnv) -> dict[str, str]:
    """What /readyz says is missing; it answers 503 exactly when something is."""
    code, said = probe(gateway)
    assert (code, said["ready"]) == ((503, False) if said["missing"] else (200, True))
    found: dict[str, str] = said["missing"]
    return found


@pytest.mark.parametrize("settings", [{}, {"workers": 2}, {"http2": True}], ids=["one", "two workers", "HTTP/2"])
def test_a_gateway_that_says_ready_is(settings: dict[str, Any], gateways: Gateways) -> None:
    """Having attacked itself, which leaves nothing behind but labelled refusals of nobody."""
    gateway = gateways.start(f"probed-{'-'.join(settings)}", settings=settings)
    for _ in range(8):  # whichever worker answers
        assert probe(gateway) == READY
        assert probe(gateway, "/healthz") == (200, "ok\n")
    events = gateway_events(gateway)
    assert {event["responseStatus"]["code"] for event in events} == {401}
    assert [folder.name for folder in gateway.state_dir.glob("sessions/*")] == ["unidentified-self-check"]
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert {(line["event"], line.get("self_check")) for line in lines} == {("ready", None), ("tunnel refused", True)}


def test_b03_pages_are_not_to_be_had_through_the_proxy(gateway: GatewayEnv) -> None:
    where = urlsplit(gateway.health_url).netloc
    with proxy(gateway) as raw:
        assert connect(raw, where).status == 403
    reply = plain_http.get(f"{gateway.health_url}/readyz", proxy=gateway.gateway_url, timeout=10)
    assert (reply.status_code, reply.json()["kind"]) == (403, "Status")


def test_without_room_on_the_disk_it_is_not_ready(gateways: Gateways) -> None:
    gateway = gateways.start("probed-disk")
    with disk_full(gateway):
        found = eventually("what is missing", lambda: missing(gateway))
        assert set(found) == {"record", "store"}, found
        assert "cannot be written: File too large" in found["record"]
        assert probe(gateway, "/healthz")[0] == 200, "a restart would not help"
    eventually("room", lambda: not missing(gateway))


def test_without_the_store_it_is_not_ready(gateways: Gateways) -> None:
    gateway = gateways.start("probed-store")
    lock = sqlite3.connect(gateway.state_dir / "approvals.sqlite", isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        found = eventually("what is missing", lambda: missing(gateway))
        assert set(found) == {"store"}
    finally:
        lock.close()
    eventually("the store", lambda: not missing(gateway), 10)


def test_without_the_keys_of_a_provider_it_is_not_ready(gateways: Gateways, cluster: Cluster) -> None:
    issuer = f"http://127.0.0.1:{dead_port()}"
    gateway = gateways.start("probed-keys", replace(Upstream.of(cluster), issuer=issuer))
    assert missing(gateway) == {"identity-keys": f"no usable keys of {issuer}"}


# The bypass of B-02, planted: what is too short to tell is raw TCP, as mitmproxy itself would have it.
HOLE = """
import addons.perimeter
from mitmproxy.proxy.layers import TCPLayer
whole = addons.perimeter.next_layer_of
def next_layer_of(data):
    short = len(data.context.layers) > 1 and len(data.data_client()) < 3
    return TCPLayer(data.context) if short else whole(data)
addons.perimeter.next_layer_of = next_layer_of
from addons.cli import main
main()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_gateway_that_can_be_bypassed_serves_nobody(workers: int, cluster: Cluster, tmp_path: Path) -> None:
    port = dead_port()
    settings = {"listen_port": port, "workers": workers}
    conf, _ = write_configuration(Upstream.of(cluster), tmp_path / "gateway", None, settings)
    (tmp_path / "sitecustomize.py").write_text(HOLE.partition("from addons.cli")[0])
    env = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}", **cluster.aws_env}
    done = forkserver.run([*forkserver.CHAPERONE, "up", f"--conf={conf}"], env=env)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert told[0].startswith("chaperone: the gateway failed its attack on itself and serves nobody: its gates did not")
    assert "a ClientHello cut after 1 byte" in told[0]
    assert "Traceback" not in done.stderr
    assert '"event": "ready"' not in done.stderr
    with socket.socket() as raw:
        assert raw.connect_ex(("127.0.0.1", port)) != 0


def test_a_gateway_that_stops_says_so_at_once(gateways: Gateways) -> None:
    gateway = gateways.start("probed-stop")
    assert probe(gateway) == READY
    os.kill(gateway.child.pid, signal.SIGTERM)

    def gone() -> bool:
        try:
            return probe(gateway)[0] == 503
        except httpx.HTTPError:
            return True

    eventually("no more yes", gone)
