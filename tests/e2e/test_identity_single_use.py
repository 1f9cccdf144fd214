"""A token that is for one place (`singleUse`): a copy of it is refused elsewhere, by every worker, and on record."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import yaml

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, Upstream
from tests.e2e.agent import Agent, Transcript, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.raw import Answer, ask, connect, proxy, request
from tests.e2e.records import ApiServer, gateway_events
from tests.support.issuer import Issuer, issuer
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"
HOME, AWAY = "127.0.0.1", "127.0.0.2"
RULE = "token-used-elsewhere"
Sign = Callable[..., str]


@pytest.fixture(scope="module")
def idp() -> Iterator[Issuer]:
    with issuer() as found:
        yield found


@pytest.fixture(scope="module")
def gateway(gateways: Gateways, cluster: Cluster, idp: Issuer) -> GatewayEnv:
    """Two workers: where a token was used first is known to both."""
    upstream = replace(Upstream.of(cluster), issuer=idp.url, provider={"singleUse": True})
    return gateways.start("single-use", upstream, {"workers": 2})


@pytest.fixture(scope="module")
def sign(idp: Issuer, transcript: Transcript) -> Sign:
    """A new token of an agent: `sign(**claims)`; with a `jti` unless that is None."""

    def signed(**claims: Any) -> str:
        named = {"jti": secrets.token_hex(8), "groups": ["agents-view"], **claims}
        token = idp.sign(time.time(), **{name: value for name, value in named.items() if value is not None})
        transcript.tokens.append(token)
        return token

    return signed


def used(gateway: GatewayEnv, token: str, source: str = HOME) -> Answer:
    """The answer to one request on a connection of its own, which any worker may get."""
    return ask(gateway, request(gateway, PATH, token=token), source=source)


def test_b28_a_copy_is_refused_elsewhere_by_every_worker_and_the_first_goes_on(
    gateway: GatewayEnv, sign: Sign, transcript: Transcript, api_server: ApiServer
) -> None:
    agent = Agent.of(gateway, transcript, "bound", sign(sub="bound"))
    agent("get", "pods")
    mark = api_server.mark()
    for _ in range(8):
        answer = used(gateway, agent.token, AWAY)
        assert (answer.status, f"rule: {RULE}" in answer.message) == (401, True), answer
        assert b"\r\nwww-authenticate: bearer" in answer.head.lower()
        assert HOME not in answer.message, "whoever has the copy does not learn from where it would work"
    assert [event for event in api_server.since(mark) if "bound-" in event["user"]["username"]] == []
    assert {used(gateway, agent.token).status for _ in range(8)} == {200}
    agent("get", "pods")


def test_a_stolen_copy_leaves_a_trace(gateway: GatewayEnv, sign: Sign) -> None:
    token = sign(sub="robbed")
    used(gateway, token)
    used(gateway, token, AWAY)
    [event] = [each for each in gateway_events(gateway) if each.get("responseStatus", {}).get("reason") == RULE
               and each["user"]["username"] == f"{gateway.issuer}#robbed"]  # fmt: skip
    assert (event["sourceIPs"], event["responseStatus"]["code"]) == ([AWAY], 401)
    assert event["annotations"]["chaperone.dev/decision"] == "refuse"
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines() if "robbed" in line]
    [line] = [line for line in lines if line["event"] == "token used elsewhere"]
    assert (line["level"], line["first"], line["now"]) == (
        "warning", f"{HOME} {gateway.connection}", f"{AWAY} {gateway.connection}",
    )  # fmt: skip
    assert line["reference"] == event["auditID"]


def test_who_comes_first_has_it_and_a_new_token_is_bound_anew(gateway: GatewayEnv, sign: Sign) -> None:
    token = sign(sub="late")
    assert used(gateway, token, AWAY).status == 200
    assert used(gateway, token).status == 401
    assert used(gateway, sign(sub="late")).status == 200


def test_two_at_once_are_not_both_first(gateway: GatewayEnv, sign: Sign) -> None:
    """On two connections that may be of two workers, sent before either is answered."""
    for _ in range(5):
        token, answers = sign(sub="twins"), []
        with proxy(gateway, HOME) as one, proxy(gateway, AWAY) as other:
            context = ssl.create_default_context(cafile=gateway.gateway_ca)
            host = gateway.api_url.removeprefix("https://")
            for raw in (one, other):
                connect(raw, host)
            both = [context.wrap_socket(raw, server_hostname=host.partition(":")[0]) for raw in (one, other)]
            for tls in both:
                tls.sendall(request(gateway, PATH, token=token))
            answers = [Answer(everything(tls)).status for tls in both]
        assert sorted(answers) == [200, 401]


def test_without_an_id_it_is_nobodys(gateway: GatewayEnv, sign: Sign) -> None:
    answer = used(gateway, sign(jti=None))
    assert (answer.status, "it has no jti" in answer.message) == (401, True)


def test_b84_it_is_for_one_cluster(gateway: GatewayEnv, sign: Sign) -> None:
    """The other is the same by another name, so that nothing but the gateway can tell them apart."""
    (file,) = (gateway.rules / "connections").glob("*.yaml")
    first = yaml.safe_load(file.read_text())
    other = {**first, "metadata": {"name": "other"}, "spec": {**first["spec"], "host": "other.cluster.test:443"}}
    file.write_text(yaml.safe_dump_all([first, other]))
    os.kill(gateway.child.pid, signal.SIGHUP)
    context = ssl.create_default_context(cafile=gateway.gateway_ca)

    def asked_of_the_other(token: str) -> Answer | None:
        with proxy(gateway) as raw:
            if connect(raw, "other.cluster.test:443").status != 200:
                return None
            with context.wrap_socket(raw, server_hostname="other.cluster.test") as tls:
                tls.sendall(request(gateway, PATH, token=token, host="other.cluster.test"))
                return Answer(everything(tls))

    token = sign(sub="wanderer")
    assert used(gateway, token).status == 200
    answer = eventually("the other cluster", lambda: asked_of_the_other(token), 30.0)
    assert (answer.status, "another connection" in answer.message) == (401, True)
    answer = eventually("the other cluster", lambda: asked_of_the_other(sign(sub="wanderer")), 30.0)
    assert (answer.status, "no-grant" in answer.message) == (403, True), "judged on: by the rules of access"


def test_b80_without_the_store_no_new_token_is_believed(gateway: GatewayEnv, sign: Sign) -> None:
    token = sign(sub="untold")
    with closing(sqlite3.connect(gateway.state_dir / "approvals.sqlite", isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        answer = used(gateway, token)
    assert (answer.status, "rule: token-uses-unreadable" in answer.message) == (503, True)
    assert b"\r\nretry-after: 5\r\n" in answer.head.lower()
    assert used(gateway, token).status == 200
