"""Section C, tokens: one caller, one token, for as long as it holds; and no way from a role to more than it has."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from scripts.devenv.certificates import Authority
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_conf import AGENT_HOST, Upstream
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e import raw_http2
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.gateways import Gateways, start
from tests.e2e.raw import Answer, ask, next_of, request, tunnel
from tests.e2e.records import gateway_events
from tests.e2e.wiretap import Wiretap
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"
REVIEW = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

ODD: dict[str, dict[str, Any]] = {
    "no groups": {"groups": []},
    "a group with a comma": {"groups": ["agents", "a,system:masters"]},
    "a group with a line break": {"groups": ["agents", "a\r\nImpersonate-User: root"]},
    "a group with a NUL": {"groups": ["agents", "a\0"]},
    "a blank group": {"groups": ["agents", " "]},
    "an empty group": {"groups": ["agents", ""]},
    "a group that is no text": {"groups": ["agents", 7]},
    "groups in a group": {"groups": [["agents"]]},
    "groups that are no list": {"groups": "agents"},
    "a reserved group": {"groups": ["agents", "System:masters"]},
    "a group not in ASCII": {"groups": ["agents", "ag\xe9nts"]},
    "a thousand groups": {"groups": ["agents", *(f"group-{number}" for number in range(1000))]},
}


@pytest.mark.parametrize("claims", ODD.values(), ids=ODD)
def test_b22_a_token_with_odd_groups_is_nobodys(
    claims: dict[str, Any], gateway: GatewayEnv, mint: Callable[..., str], oracle: Oracle
) -> None:
    answer = ask(gateway, request(gateway, PATH, token=mint("odd", claims=claims)))
    assert answer.status in (401, 403, 431), answer
    assert answer.message
    assert oracle.silent()


@pytest.mark.parametrize("sub", ["a b", "\xe9", "system:admin", "SYSTEM:node:x", "a\tb"])
def test_b22_nor_has_it_an_odd_subject(sub: str, gateway: GatewayEnv, mint: Callable[..., str], oracle: Oracle) -> None:
    assert ask(gateway, request(gateway, PATH, token=mint(sub, groups=["agents"]))).status == 401
    assert oracle.silent()


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["Authorization: Bearer {token}", "Authorization: Bearer {token}"], 400),
        (["Authorization: Bearer {token}", "authorization: Basic cm9vdDpyb290"], 400),
        (["Authorization: bEaReR {token}"], 200),
        (["Authorization: Bearer {token} junk"], 401),
        (["Authorization: Bearer  {token}"], 401),
        (["Authorization: Bearer\t{token}"], 401),
        (["Authorization: Bearer {token},Bearer x"], 401),
        (["Authorization: {token}"], 401),
        (["Authorization: Basic {token}"], 401),
        (["Authorization: Negotiate {token}"], 401),
        (["Authorization:"], 401),
        (["X-Authorization: Bearer {token}"], 401),
    ],
)
def test_b23_there_is_one_way_to_say_who_one_is(
    lines: list[str], code: int, gateway: GatewayEnv, token: str, oracle: Oracle
) -> None:
    answer = ask(gateway, request(gateway, PATH, *[line.format(token=token) for line in lines]))
    assert answer.status == code, answer
    assert oracle.arrived() == ([f"list {PATH}"] if code == 200 else [])
    assert oracle.sent().lower().count(b"\r\nauthorization:") == (2 if code == 200 else 1), "and that of the fence"
    assert token.encode() not in oracle.sent()


def test_b23_a_token_in_the_query_is_none(gateway: GatewayEnv, token: str, oracle: Oracle) -> None:
    for name in ("access_token", "token", "authorization"):
        assert ask(gateway, request(gateway, f"{PATH}?{name}={token}")).status == 401
    assert oracle.silent()


@dataclass
class Listener:
    """A server that asks for a client certificate, and notes what it was shown."""

    upstream: Upstream
    shown: list[Any] = field(default_factory=list)


@pytest.fixture
def listener(cluster: Cluster, tmp_path: Path) -> Iterator[Listener]:
    authority = Authority(tmp_path)
    pair = authority.issue("mtls", "mtls", hosts=[AGENT_HOST])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(authority.pair.certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        found = Listener(replace(Upstream.of(cluster), address=address, ca_file=str(authority.pair.certificate)))

        def serve() -> None:
            while True:
                try:
                    raw = server.accept()[0]
                except OSError:
                    return
                with raw, context.wrap_socket(raw, server_side=True) as tls:
                    found.shown.append((tls.recv(65536), tls.getpeercert()))
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        threading.Thread(target=serve, daemon=True).start()
        yield found
        server.shutdown(socket.SHUT_RDWR)


def test_b26_the_gateway_has_no_certificate_of_its_own(listener: Listener, token: str, tmp_path: Path) -> None:
    """What slips through would be nobody's. Its gateway is not one of the session's: this is not their cluster."""
    other = start(listener.upstream, tmp_path / "mtls", rules=None)
    try:
        ask(other, request(other, "/version", token=token))
    finally:
        other.stop()
    assert listener.shown
    for sent, certificate in listener.shown:
        assert sent.startswith(b"GET ")
        assert not certificate


def who(answer: Answer) -> str:
    """The last part of the role session's name."""
    return str(answer.json()["status"]["userInfo"]["username"]).rpartition("/")[2].rpartition("-")[0]


def test_b28_each_request_of_a_connection_is_its_own_tokens(gateway: GatewayEnv, mint: Callable[..., str]) -> None:
    tokens = {name: mint(name, groups=["agents-view"]) for name in ("first", "second")}
    with tunnel(gateway) as tls:
        for name in ("first", "second", "first"):
            lines = ("Connection: keep-alive", "Content-Type: application/json")
            tls.sendall(request(gateway, REVIEWS, *lines, token=tokens[name], method="POST", body=REVIEW))
            assert who(next_of(tls)) == name
        tls.sendall(request(gateway, REVIEWS, *lines, method="POST", body=REVIEW))
        assert next_of(tls).status == 401


def test_b28_over_http2_as_well(gateways: Gateways, wire: Wiretap, mint: Callable[..., str]) -> None:
    other = gateways.start("shared-http2", wire.upstream, {"http2": True})
    tokens = [mint("first", groups=["agents-view"]), mint("second", groups=["agents-view"]), ""]
    json = ("content-type", "application/json")
    asked = [raw_http2.get(other, REVIEWS, json, token=token, method="POST") for token in tokens]
    first, second, nobody = raw_http2.ask(other, *asked, body=REVIEW)
    names = [who(Answer(b"HTTP/1.1 201 \r\n\r\n" + each.body)) for each in (first, second)]
    assert (names, nobody.status) == (["first", "second"], 401)


def watched(gateway: GatewayEnv, token: str, meanwhile: Callable[[], object]) -> float:
    """Seconds that a watch went on after `meanwhile`."""
    with tunnel(gateway) as tls:
        tls.sendall(request(gateway, f"{PATH}?watch=true&timeoutSeconds=600", "Connection: keep-alive", token=token))
        assert Answer(tls.recv(65536)).status == 200
        meanwhile()
        began = time.monotonic()
        everything(tls, 20)
        return time.monotonic() - began


def test_b28_b39_a_watch_ends_with_its_token(gateway: GatewayEnv, mint: Callable[..., str]) -> None:
    token = mint("brief-watcher", groups=["agents"], claims={"exp": int(time.time()) + 4})
    assert 1 < watched(gateway, token, lambda: None) < 9


def test_b28_b39_a_watch_ends_with_the_grant(gateways: Gateways, mint: Callable[..., str]) -> None:
    """Which an operator takes back; the others' go on."""
    gateway = gateways.start("revoking")

    def revoke() -> None:
        (rules,) = (gateway.rules / "access").glob("*.yaml")
        rules.write_text(rules.read_text().replace("- agents-edit\n", "- nobody\n"))
        os.kill(gateway.child.pid, signal.SIGHUP)

    assert watched(gateway, mint("revoked", groups=["agents-edit"]), revoke) < 9
    events = [event for event in gateway_events(gateway) if "watch=true" in event["requestURI"]]
    assert events
