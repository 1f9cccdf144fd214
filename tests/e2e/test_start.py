"""Start and stop: every mistake at once and nothing started, workers that share a port, an end within seconds."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from scripts.devenv.processes import start_time
from scripts.devenv.streaming_kubelet import StreamingKubelet
from tests.e2e.agent import Agent, client, eventually
from tests.e2e.gateways import Gateways
from tests.e2e.people import Person, chaperone, pending
from tests.e2e.records import gateway_events
from tests.e2e.sessions import casts
from tests.support.kubernetes import Kubectl

STOP_SECONDS = 5


def expired_ca(file: Path) -> None:
    """A CA certificate that was good until yesterday."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


RULES = """\
apiVersion: chaperone/v1
kind: Connection
metadata: {name: lost}
spec:
  host: lost.test:443
  caFile: no-such-file.pem
  eks: {cluster: lost, region: us-east-1}
---
apiVersion: chaperone/v1
kind: Connection
metadata: {name: old}
spec:
  host: old.test:443
  caFile: old.pem
  eks: {cluster: old, region: us-east-1}
  colour: blue
---
apiVersion: chaperone/v1
kind: Connection
metadata: {name: older}
spec:
  host: older.test:443
  caFile: old.pem
  eks: {cluster: older, region: us-east-1}
---
apiVersion: chaperone/v1
kind: Access
metadata: {name: to-nowhere}
spec:
  groups: [agents]
  connections: [nowhere]
  role: arn:aws:iam::123456789012:role/agent
---
apiVersion: chaperone/v1
kind: Guardrail
metadata: {name: no-such-variable}
spec:
  description: Does not compile.
  match: {apiGroups: [""], resources: [pods], verbs: [delete]}
  when: objekt.kind == "Pod"
  risk: 50
  reason: none
  hint: none
  tests:
    - {expect: match, request: DELETE /api/v1/namespaces/a/pods/p}
    - {expect: no-match, request: GET /api/v1/namespaces/a/pods/p}
---
apiVersion: chaperone/v1
kind: Guardrail
metadata: {name: failing-test}
spec:
  description: Its own test fails.
  match: {apiGroups: [""], resources: [pods], verbs: [delete]}
  risk: 50
  reason: none
  hint: none
  tests:
    - {expect: match, request: DELETE /api/v1/namespaces/a/pods/p}
    - {expect: no-match, request: DELETE /api/v1/namespaces/b/pods/p}
---
apiVersion: chaperone/v1
kind: Guardrial
metadata: {name: misspelt}
spec: {}
"""


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(RULES.splitlines(), 1) if text in line)


def test_every_mistake_is_reported_at_once_and_nothing_starts(gateway: GatewayEnv, tmp_path: Path) -> None:
    rules, conf = tmp_path / "rules" / "wrong.yaml", tmp_path / "mitm.conf"
    rules.parent.mkdir()
    rules.write_text(RULES)
    expired_ca(rules.with_name("old.pem"))
    busy = gateway.gateway_url.rpartition(":")[2]
    conf.write_text(f"listen_port: {busy}\nlisten_prot: 8080\nssl_insecure: true\nworkers: many\nrules: [rules]\n")
    done = chaperone(gateway, "up", conf=conf)
    assert done.returncode == 1
    for file, line, text in [
        (conf, 2, "unknown key listen_prot; did you mean listen_port?"),
        (conf, 3, "ssl_insecure is fixed to false"),
        (conf, 4, "workers"),
        (conf, 0, f"{busy} is in use"),
        (rules, line_of("no-such-file.pem"), "no-such-file.pem cannot be read"),
        (rules, line_of("colour: blue"), "colour"),
        (rules, line_of("older.test") + 1, "expired"),
        (rules, line_of("[nowhere]"), "nowhere"),
        (rules, line_of("objekt"), "objekt"),
        (rules, line_of("namespaces/b/pods"), "test 2 failed: expected no-match"),
        (rules, line_of("Guardrial"), "unknown kind Guardrial"),
    ]:
        found = [each for each in done.stderr.splitlines() if text in each]
        assert found, (text, done.stderr)
        assert any(each.startswith(f"{file}:{line}:" if line else f"{file}") for each in found), (line, found)
    assert "nothing was started" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state" / "sessions").exists()


def test_a_second_gateway_on_the_same_port_does_not_start(gateway: GatewayEnv, tmp_path: Path) -> None:
    conf = yaml.safe_load(gateway.conf.read_text()) | {"listen_port": int(gateway.gateway_url.rpartition(":")[2])}
    (tmp_path / "mitm.conf").write_text(json.dumps(conf))
    done = chaperone(gateway, "up", conf=tmp_path / "mitm.conf")
    assert done.returncode == 1
    assert done.stderr.count("is in use") == 1
    assert "1 problem(s); nothing was started" in done.stderr


def test_a_good_configuration_can_be_checked_beside_a_running_gateway(gateway: GatewayEnv) -> None:
    done = chaperone(gateway, "up", "--check")
    assert (done.returncode, "no problems" in done.stdout) == (0, True), done.stderr
    assert f"connections: {gateway.connection} (standard)" in done.stdout


def test_workers_share_the_port_and_all_serve(
    gateways: Gateways, mint: Callable[..., str], as_user: Callable[..., Agent]
) -> None:
    gateway = gateways.start("two-workers", settings={"workers": 2})
    token = mint("many-hands", groups=["agents"])

    def read(_: int) -> int:
        with client(gateway, token) as http:
            return http.get("/api/v1/namespaces/default/pods").status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(24), timeout=60)) == {200}
    (session,) = (each for each in gateway.state_dir.glob("sessions/*") if "unidentified" not in each.name)

    def writers() -> set[str]:
        return {file.name.split("-")[1] for file in session.glob("flows-*.mitm") if file.stat().st_size}

    eventually("records of both workers", lambda: writers() == {"0", "1"})
    events = [json.loads(line) for line in (session / "audit.jsonl").read_text().splitlines()]
    assert len({event["auditID"] for event in events}) == 24
    pid = gateway.child.pid
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1, "a process of several threads must not be forked"
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    for each in [pid, *children]:
        eventually("its end", lambda each=each: start_time(each) is None, STOP_SECONDS)
    assert time.monotonic() - began < STOP_SECONDS


def test_a_gateway_whose_worker_died_ends_whole(gateways: Gateways) -> None:
    """Its supervisor starts it again; half a gateway would go unnoticed."""
    gateway = gateways.start("half", settings={"workers": 2})
    pid = gateway.child.pid
    first, second = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    os.kill(first, signal.SIGKILL)
    for each in (pid, second):
        eventually("its end", lambda each=each: start_time(each) is None, STOP_SECONDS)


def test_b80_a_session_ends_with_the_gateway_and_is_on_record_to_its_end(
    gateways: Gateways, as_user: Callable[..., Agent], oncall: Person, admin: Kubectl, kubelet: StreamingKubelet
) -> None:
    gateway = gateways.start("stopped-in-exec", settings={"hold_seconds": 60})
    agent = as_user(gateway, "talking", "agents").within(admin.namespace)
    pod = admin.run_pod("talking", nodeName=kubelet.node)
    with agent.stream("exec", pod, "--", "sh", "-c", "echo begun; sleep 60") as running:
        oncall.approves(gateway, pending(gateway, name=pod)["id"])
        running.until("begun", 20)
        os.kill(gateway.child.pid, signal.SIGTERM)
        eventually("its end", lambda: start_time(gateway.child.pid) is None, STOP_SECONDS)
        assert running.finish(30)[0] != 0
    ((_, *events),) = casts(gateway, "begun")
    assert events[-1][1] in ("m", "x"), "how it ended"
    stages = [event["stage"] for event in gateway_events(gateway) if "/exec" in event["requestURI"]]
    assert stages[-1] == "ResponseComplete"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_b80_it_stops_within_seconds_whatever_is_going_on(
    number: signal.Signals, gateways: Gateways, as_user: Callable[..., Agent], admin: Kubectl, cluster: Cluster
) -> None:
    gateway = gateways.start(f"stopped-by-{number.name.lower()}", settings={"hold_seconds": 60})
    agent = as_user(gateway, "interrupted", "agents").within(admin.namespace)
    admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}})
    pod = admin.run_pod(f"held-{number.name.lower()}")
    with agent.stream("get", "configmaps", "-w") as watch, agent.stream("exec", pod, "--", "date") as held:
        watch.until("settings")
        pending(gateway, name=pod)
        began = time.monotonic()
        os.kill(gateway.child.pid, number)
        eventually("its end", lambda: start_time(gateway.child.pid) is None, STOP_SECONDS)
        assert time.monotonic() - began < STOP_SECONDS
        assert held.finish(30)[0] != 0
    refused = [event for event in gateway_events(gateway) if event["annotations"].get("chaperone.dev/approval")]
    assert {event["annotations"]["chaperone.dev/rule"] for event in refused} == {"gateway-stopping"}
    assert {event["annotations"]["chaperone.dev/approval-state"] for event in refused} == {"pending"}
    with socket.socket() as probe:
        host, _, port = gateway.gateway_url.partition("//")[2].rpartition(":")
        assert probe.connect_ex((host, int(port))) != 0
