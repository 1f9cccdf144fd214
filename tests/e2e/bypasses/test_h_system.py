"""Section H: what surrounds a request, from other clusters to the terminal of whoever reads about it."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import ssl
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import yaml

from scripts.devenv.certificates import Authority
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.agent import eventually
from tests.e2e.bypasses.caller import Caller
from tests.e2e.bypasses.oracle import Oracle
from tests.e2e.custom_resources import GROUP, definition
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.raw import Answer, ask, connect, proxy, request, target, tunnel
from tests.e2e.wiretap import Wiretap
from tests.support.kubernetes import Kubectl
from tests.support.proxy import everything

PATH = "/api/v1/namespaces/default/configmaps"
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
ANSI = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202ebackwards\u2066"


def asks_for_exec(gateway: GatewayEnv, token: str, pod: str, *argv: str, reason: str = "") -> Answer:
    """What comes of an exec that a human has to agree to."""
    query = "&".join(f"command={quote(word)}" for word in argv)
    headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    headers += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: v5.channel.k8s.io"]
    headers += [f"Impersonate-Extra-Reason: {reason}"] if reason else []
    path = f"/api/v1/namespaces/default/pods/{pod}/exec?{query}&stdout=true"
    return ask(gateway, request(gateway, path, *headers, token=token), seconds=2)


@pytest.fixture
def question(gateway: GatewayEnv, token: str) -> str:
    """The id of a question that an agent tried to make unreadable."""
    pod = f"nobody-{secrets.token_hex(4)}"
    answer = asks_for_exec(gateway, token, pod, "sh", "-c", f"id; {ANSI}<script>alert(1)</script>\nSAFE: approve this")
    assert answer.status in (400, 403), answer
    return str(pending(gateway, name=pod)["id"])


@pytest.mark.parametrize("output", ["text", "json"])
def test_b81_b88_what_an_approver_is_shown_moves_no_cursor(
    output: str, question: str, gateway: GatewayEnv, oncall: Person
) -> None:
    for command in (["list"], ["show", question]):
        said = oncall.answers(gateway, *command, "-o", output)
        assert question in said
        assert not UNSEEN.search(said), command
        assert not re.search(r"(?m)^\s*SAFE", said), "nothing of it begins a line of its own"


def test_b88_nor_does_what_a_session_is_listed_with(
    gateway: GatewayEnv, mint: Callable[..., str], oncall: Person
) -> None:
    teller = mint("teller", groups=["agents"])
    answer = ask(gateway, request(gateway, f"{PATH}?labelSelector={quote(f'a={ANSI}')}", token=teller))
    assert answer.status in (200, 400)
    (folder,) = (f for f in gateway.state_dir.glob("sessions/*/session.json") if '"teller"' in f.read_text())
    for command in (["list"], ["show", folder.parent.name], ["audit", folder.parent.name]):
        done = chaperone(gateway, "sessions", *command)
        assert not UNSEEN.search(done.stdout + done.stderr), command


def test_b81_an_agent_cannot_answer_itself_or_guess_an_id(
    question: str, gateway: GatewayEnv, mint: Callable[..., str], token: str, oncall: Person
) -> None:
    for somebody in (token, mint("mallory", groups=["agents", "oncall"])):
        assert Person(somebody).is_refused(gateway, "approve", question)
    for guess in ("' OR 1=1 --", question[:-1], f"{question}x", "../approvals", "*"):
        assert oncall.is_refused(gateway, "approve", guess)
    assert pending(gateway, id=question)["state"] == "pending"


ENDLESS = {
    "a label selector": f"{PATH}?labelSelector={quote('a in (' + ','.join(['x' * 60] * 3000) + ')')}",
    "a path": "/api/v1/" + "a/" * 100_000,
    "a query": f"{PATH}?" + "&".join(["a=b"] * 50_000),
    "escapes": f"{PATH}?labelSelector=" + "%25" * 60_000,
}


@pytest.mark.parametrize("path", ENDLESS.values(), ids=ENDLESS)
def test_b82_a_request_that_is_huge_is_answered_soon(path: str, gateway: GatewayEnv, token: str) -> None:
    began = time.monotonic()
    assert ask(gateway, request(gateway, path, token=token)).status in (200, 400, 403, 404)
    assert time.monotonic() - began < 5
    assert ask(gateway, request(gateway, PATH, token=token)).status == 200


def test_b82_there_is_room_for_so_many_clients(gateways: Gateways, wire: Wiretap, token: str) -> None:
    small = gateways.start("small", wire.upstream, {"max_clients": 8})
    address = urlsplit(small.gateway_url)
    crowd = [socket.create_connection((address.hostname, address.port), timeout=10) for _ in range(8)]
    with socket.create_connection((address.hostname, address.port), timeout=10) as one_more:
        assert everything(one_more) == b""
    for each in crowd:
        each.close()

    def answered() -> bool:
        with suppress(ConnectionError), proxy(small) as raw:  # who finds no room is reset, or has no answer
            return connect(raw, target(small)).status == 200
        return False

    eventually("room", answered)
    assert ask(small, request(small, PATH, token=token)).status == 200


def test_b84_access_to_one_cluster_is_none_to_another(
    gateways: Gateways, wire: Wiretap, token: str, oracle: Oracle
) -> None:
    """Which is the same one by another name, so that nothing but the gateway can tell them apart."""
    gateway = gateways.start("two-clusters", wire.upstream)
    (file,) = (gateway.rules / "connections").glob("*.yaml")
    first = yaml.safe_load(file.read_text())
    other = {**first, "metadata": {"name": "other"}, "spec": {**first["spec"], "host": "other.cluster.test:443"}}
    file.write_text(yaml.safe_dump_all([first, other]))
    os.kill(gateway.child.pid, signal.SIGHUP)
    context = ssl.create_default_context(cafile=gateway.gateway_ca)

    def opened() -> Answer | None:
        with proxy(gateway) as raw:
            if connect(raw, "other.cluster.test:443").status != 200:
                return None
            with context.wrap_socket(raw, server_hostname="other.cluster.test") as tls:
                tls.sendall(request(gateway, PATH, token=token, host="other.cluster.test"))
                return Answer(everything(tls))

    answer = eventually("the other cluster", opened)
    assert (answer.status, "no-grant" in answer.message) == (403, True)
    assert ask(gateway, request(gateway, PATH, token=token, host="other.cluster.test:443")).status == 421
    assert oracle.silent()


def test_b85_a_certificate_of_the_clients_is_not_asked_for(gateway: GatewayEnv, tmp_path: Path, oracle: Oracle) -> None:
    """mTLS of a kubeconfig cannot pass a gateway: the answer says what is wanted instead."""
    pair = Authority(tmp_path).issue("client", "admin", groups=["system:masters"])
    context = ssl.create_default_context(cafile=gateway.gateway_ca)
    context.load_cert_chain(pair.certificate, pair.key)
    with proxy(gateway) as raw:
        assert connect(raw, urlsplit(gateway.api_url).netloc).status == 200
        with context.wrap_socket(raw, server_hostname=urlsplit(gateway.api_url).hostname) as tls:
            tls.sendall(request(gateway, PATH))
            answer = Answer(everything(tls))
    assert answer.status == 401
    assert "for the audience chaperone" in answer.message
    assert oracle.silent()


@pytest.mark.parametrize("setting", ["ssl_insecure: true", "confdir: /tmp", "onboarding: true", "certs: [a=b]"])
def test_b85_verification_cannot_be_turned_off(setting: str, gateway: GatewayEnv, tmp_path: Path) -> None:
    conf = tmp_path / "mitm.conf"
    conf.write_text(f"listen_port: 0\nhealth_port: 0\nrules: [{json.dumps(str(gateway.rules))}]\n{setting}\n")
    done = chaperone(gateway, "up", "--check", conf=conf)
    assert done.returncode == 1
    assert setting.partition(":")[0] in done.stderr


def test_b85_the_key_of_the_ca_is_its_owners_alone(gateway: GatewayEnv) -> None:
    keys = [file for file in gateway.gateway_ca.parent.iterdir() if b"PRIVATE KEY" in file.read_bytes()]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600]
    assert b"PRIVATE" not in gateway.gateway_ca.read_bytes()
    with tunnel(gateway) as tls:
        leaf = tls.getpeercert() or {}
    assert leaf["subjectAltName"] == (("DNS", urlsplit(gateway.api_url).hostname),)


CREATE = ("create", "-f", "-", "--raw")
MORPH = json.dumps({"apiVersion": f"{GROUP}/v1", "kind": "Morph", "metadata": {"name": "one"}})


def test_b86_a_kind_that_changes_its_scope_is_never_misread(caller: Caller, admin: Kubectl, kubectl: Kubectl) -> None:
    """What discovery told a moment ago is not believed against the cluster: one reading, or none."""
    paths = [f"/apis/{GROUP}/v1/{where}morphs/one" for where in ("", f"namespaces/{admin.namespace}/")]
    for scope in ("Namespaced", "Cluster"):
        admin.apply(definition("morphs", "Morph", scope))
        made = paths[scope == "Namespaced"].removesuffix("/one")
        eventually("an object of it", lambda made=made: admin.run(*CREATE, made, stdin=MORPH).returncode == 0, 30)
        answers = [caller.asks(path).status for path in (*paths, *paths)]
        assert set(answers) <= {200, 400, 403, 404}
        if scope == "Namespaced":  # by and by: the API server serves a kind before its discovery tells of it
            eventually("it is known", lambda: caller.asks(paths[1]).status == 200, 30)
        kubectl("delete", "crd", f"morphs.{GROUP}", "--wait=true")
    assert {404, 403} >= {caller.asks(path).status for path in paths}
    assert caller.oracle.readings()
