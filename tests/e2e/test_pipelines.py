"""`chaperone ship` beside a gateway: what kubectl does arrives at a receiver, signed, masked, and alerts once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from addons.core.notify.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from scripts.devenv import forkserver
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.processes import Child, is_running
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.leaks import core
from tests.e2e.people import chaperone
from tests.e2e.records import gateway_events
from tests.e2e.secret_objects import secret
from tests.support.kubernetes import Kubectl
from tests.support.receiver import Receiver, Sent, receiver

KEY = "siem-secret-0123456789"
SOON = 20.0
PIPELINES = {
    "events": "webhook: {{url: '{url}/events', secretFile: secret}}",
    "alerts": "send: alerts\n  webhook: {{url: '{url}/alerts', secretFile: secret}}",
    "elastic": "format: ecs\n  webhook: {{url: '{url}/elastic', secretFile: secret}}",
}


@pytest.fixture(scope="module")
def siem() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(scope="module")
def shipping(gateways: Gateways, siem: Receiver) -> GatewayEnv:
    gateway = gateways.start("shipping", settings={"hold_seconds": 0})
    (gateway.rules / "secret").write_text(KEY)
    documents = [
        f"apiVersion: chaperone/v1\nkind: Pipeline\nmetadata: {{name: {name}}}\nspec:\n  {spec.format(url=siem.url)}\n"
        for name, spec in PIPELINES.items()
    ]
    (gateway.rules / "pipelines.yaml").write_text("---\n".join(documents))
    eventually("the rules", lambda: '"policy loaded"' in gateway.log.read_text(), SOON)
    return gateway


@pytest.fixture(scope="module")
def shipper(shipping: GatewayEnv) -> Iterator[list[Child]]:
    """The process that ships; the last of the list is the one that runs."""
    started = [start(shipping)]
    yield started
    end(started[-1], signal.SIGTERM)


@pytest.fixture
def worker(shipping: GatewayEnv, shipper: list[Child], as_user: Callable[..., Agent], admin: Kubectl) -> Agent:
    return as_user(shipping, "shipped", "agents").within(admin.namespace)


def start(gateway: GatewayEnv) -> Child:
    log = gateway.folder / "ship.log"
    begun = log.read_text().count('"ready"') if log.exists() else 0
    child = forkserver.spawn("ship", [*CHAPERONE, "ship", "--conf", gateway.conf], log)
    eventually("it follows the log", lambda: log.read_text().count('"ready"') > begun, SOON)
    return child


def end(child: Child, how: signal.Signals) -> None:
    os.kill(child.pid, how)
    eventually("its end", lambda: not is_running(child), SOON)


def sent(siem: Receiver, path: str) -> list[Sent]:
    return [each for each in siem.sent if each.path == path]


def events(siem: Receiver, path: str = "/events") -> list[dict[str, Any]]:
    return [event for each in sent(siem, path) for event in each.document["events"]]


def audit_ids(siem: Receiver) -> set[object]:
    return {event["auditID"] for event in events(siem)}


def recorded(gateway: GatewayEnv) -> set[object]:
    """What of the record has been written, by id."""
    return {event["auditID"] for event in gateway_events(gateway)}


def test_what_an_agent_does_arrives_masked_and_signed(
    worker: Agent, shipping: GatewayEnv, siem: Receiver, plant: Callable[[], str], admin: Kubectl
) -> None:
    value = plant()
    admin("apply", "-f", "-", stdin=secret("shipped", password=value))
    worker("get", "secret", "shipped", "-o", "yaml")
    worker.refused("create", "clusterrolebinding", "shipped", "--clusterrole=cluster-admin", "--user=bob")
    eventually("all of the record", lambda: recorded(shipping) <= audit_ids(siem), SOON)
    whole = b"".join(each.body for each in siem.sent)
    assert core(value) not in whole and worker.token.encode() not in whole
    for each in siem.sent:
        moment = each.headers[TIMESTAMP_HEADER.lower()]
        assert each.headers[SIGNATURE_HEADER.lower()] == sign(KEY.encode(), int(moment), each.body)
    (refused,) = [
        event for event in events(siem) if "clusterrolebindings" in str(event["requestURI"])
        and (event["verb"], event["stage"]) == ("create", "ResponseComplete")
    ]  # fmt: skip
    assert refused["responseStatus"]["code"] == 403
    elastic = events(siem, "/elastic")
    assert {each["kubernetes"]["audit"]["auditID"] for each in elastic} <= audit_ids(siem)
    assert "shipped" in json.dumps(elastic)


def test_an_alert_comes_once_in_a_session(worker: Agent, shipping: GatewayEnv, siem: Receiver) -> None:
    for _ in range(3):
        worker.refused("get", "secrets", "--all-namespaces")
    eventually("all of the record", lambda: recorded(shipping) <= audit_ids(siem), SOON)
    alerts = eventually("an alert", lambda: [
        each for each in events(siem, "/alerts") if each["rule"] == "no-lists-of-all-secrets"
    ], SOON)  # fmt: skip
    (alert,) = alerts
    assert (alert["severity"], alert["schema"]) == ("high", "chaperone.dev/alert/v1")
    assert len({each["key"] for each in events(siem, "/alerts")}) == len(events(siem, "/alerts"))


def test_killed_and_cut_off_it_loses_nothing(
    worker: Agent, shipping: GatewayEnv, shipper: list[Child], siem: Receiver
) -> None:
    end(shipper[-1], signal.SIGKILL)
    worker("get", "configmaps")
    good, siem.answer = siem.answer, lambda _: (503, {}, b"")
    shipper.append(start(shipping))
    worker("get", "pods")
    log = shipping.folder / "ship.log"
    eventually("the trouble is told", lambda: '"pipeline interrupted"' in log.read_text(), SOON)
    said = chaperone(shipping, "status")
    assert "pipeline" in said.stdout, said.stdout + said.stderr
    siem.answer = good
    eventually("all of the record", lambda: recorded(shipping) <= audit_ids(siem), 60)
    eventually("it is told that it goes on", lambda: '"pipeline resumed"' in log.read_text(), 60)
