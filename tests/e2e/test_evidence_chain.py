"""The chain of audit records in front of a real cluster: intact after everything else, and after workers were killed.

Its oracle is the API server's own audit log: whatever arrived there is on record here, whenever the gateway was killed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from addons.core.audit_report import What
from addons.edge.audit_check import verify_state
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv, stop_gateway
from scripts.devenv.processes import start_time
from tests.e2e.agent import client, eventually
from tests.e2e.conftest import STOP_SECONDS
from tests.e2e.gateways import start
from tests.e2e.people import chaperone
from tests.e2e.records import ApiServer, audit_files, read_events

ROUNDS = 6
CALLERS = 4
AFTER_A_CRASH = {What.UNSEALED, What.TORN, What.BELIEVED}


def test_b83_the_log_of_every_gateway_is_intact(recordable: list[GatewayEnv]) -> None:
    """Those that were killed, those that were stopped, and whatever else was done to them."""
    for gateway in recordable:
        report = verify_state(gateway.state_dir)
        assert report.findings == [], gateway.folder.name
        assert {note.what for note in report.notes} <= AFTER_A_CRASH, gateway.folder.name


def test_an_orderly_stop_seals_everything(written: list[GatewayEnv], gateway: GatewayEnv, tmp_path: Path) -> None:
    (tmp_path / "audit.pem").write_text(chaperone(gateway, "audit", "key").stdout)
    done = chaperone(gateway, "audit", "verify", f"--public-key={tmp_path / 'audit.pem'}", "-o", "json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["intact"], told["findings"], told["notes"]) == (0, True, [], [])
    assert told["records"] == sum(len(read_events(file)) for file in audit_files(gateway)) > 0


def _edited(events: list[bytes]) -> list[bytes]:
    return [events[0].replace(b'"verb":"', b'"verb":"un', 1), *events[1:]]


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (_edited, What.CHANGED),
        (lambda events: events[1:], What.MISSING),
        (lambda events: events[:-1], What.MISSING),
        (lambda events: [*events, events[0]], What.DUPLICATE),
        (lambda events: [events[1], events[0], *events[2:]], What.REORDERED),
        (lambda events: [], What.MISSING),
    ],
    ids=["edited", "first removed", "last removed", "doubled", "swapped", "emptied"],
)
def test_b83_what_is_done_to_a_log_is_found(
    tamper: Callable[[list[bytes]], list[bytes]],
    expected: What,
    written: list[GatewayEnv],
    gateway: GatewayEnv,
    tmp_path: Path,
) -> None:
    shutil.copytree(gateway.state_dir / "audit", tmp_path / "audit")
    shutil.copytree(gateway.state_dir / "sessions", tmp_path / "sessions")
    file = max(tmp_path.glob("sessions/*/audit.jsonl"), key=lambda path: path.stat().st_size)
    file.write_bytes(b"".join(tamper(file.read_bytes().splitlines(keepends=True))))
    done = chaperone(gateway, "audit", "verify", str(tmp_path), "-o", "json")
    assert done.returncode == 1
    assert expected in {finding["what"] for finding in json.loads(done.stdout)["findings"]}


def test_b41_a_key_that_cannot_be_used_stops_the_start(
    written: list[GatewayEnv], gateway: GatewayEnv, tmp_path: Path
) -> None:
    shutil.copytree(gateway.state_dir / "audit", tmp_path / "state" / "audit")
    (tmp_path / "state" / "audit" / "signing.key").unlink()
    settings = yaml.safe_load(gateway.conf.read_text()) | {"state": str(tmp_path / "state"), "listen_port": 0}
    (tmp_path / "mitm.conf").write_text(json.dumps(settings | {"health_port": 0}))
    done = chaperone(gateway, "up", conf=tmp_path / "mitm.conf")
    assert done.returncode == 1
    assert "the audit log: the key that signs the audit ledger cannot be read" in done.stderr
    assert "1 problem(s); nothing was started" in done.stderr
    assert not (tmp_path / "state" / "audit" / "signing.key").exists()


def test_the_key_is_changed_while_the_gateway_runs(
    cluster: Cluster, folder: Path, mint: Callable[..., str], tmp_path: Path
) -> None:
    gateway = start(cluster, folder)
    token, old = mint("through-the-change", groups=["agents"]), tmp_path / "old.pem"
    old.write_text(chaperone(gateway, "audit", "key").stdout)
    trusted = f"--public-key={old}"
    for command in ("rotate-key", "key"):
        with client(gateway, token) as http:
            assert http.get("/api/v1/namespaces/default/pods").status_code == 200
        assert chaperone(gateway, "audit", command).returncode == 0
    eventually("a checkpoint by the new key", lambda: len(verify_state(gateway.state_dir).keys) == 2, STOP_SECONDS)
    assert chaperone(gateway, "audit", "verify", trusted).returncode == 0
    os.kill(gateway.child.pid, signal.SIGTERM)
    eventually("its end", lambda: start_time(gateway.child.pid) is None, STOP_SECONDS)
    assert chaperone(gateway, "audit", "verify", trusted).stdout.count("note: ") == 0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Of a gateway that is started again and again."""
    yield tmp_path / "killed"
    stop_gateway(tmp_path / "killed")


def processes_of(gateway: GatewayEnv) -> list[int]:
    """The supervisor and its workers."""
    pid = gateway.child.pid
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def kill(gateway: GatewayEnv) -> None:
    """All of it at once, as when the machine's memory is full."""
    pids = processes_of(gateway)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        eventually("its end", lambda pid=pid: start_time(pid) is None, STOP_SECONDS)


def ask_until_it_ends(gateway: GatewayEnv, token: str, mark: str, answered: list[str]) -> None:
    """Asks for one name after the other, on kept connections and on new ones; those that were `answered`."""
    with suppress(httpx.HTTPError):
        while True:
            with client(gateway, token) as http:
                for _ in range(20):
                    name = f"{mark}-{secrets.token_hex(4)}"
                    assert http.get(f"/api/v1/namespaces/default/configmaps/{name}").status_code == 404
                    answered.append(name)


@pytest.mark.timeout(600)
def test_b41_a_gateway_that_is_killed_has_recorded_whatever_it_forwarded(
    cluster: Cluster, folder: Path, mint: Callable[..., str], executor: Executor, api_server: ApiServer
) -> None:
    since = api_server.mark()
    for turn in range(ROUNDS):
        gateway = start(cluster, folder, {"workers": 2})
        tokens = [mint(f"killed-{caller}", groups=["agents"]) for caller in range(CALLERS)]
        answered: list[str] = []
        asking = [
            executor.submit(ask_until_it_ends, gateway, token, f"turn-{turn}-{caller}", answered)
            for caller, token in enumerate(tokens)
        ]
        eventually("answers", lambda: len(answered) > 10 + 40 * turn, 60)  # noqa: B023 - called at once
        kill(gateway)
        for each in asking:
            each.result(30)
        report = verify_state(gateway.state_dir)
        assert report.findings == []
        assert {note.what for note in report.notes} <= AFTER_A_CRASH
        assert [note for note in report.notes if note.what is What.UNSEALED]
    forwarded = {event["auditID"] for event in api_server.about(since, "/configmaps/turn-")}
    recorded = {
        event["auditID"]
        for file in audit_files(gateway)
        for event in read_events(file)
        if event["stage"] == "RequestReceived"
    }
    assert len(forwarded) > 100 * ROUNDS
    assert forwarded - recorded == set()
    done = chaperone(gateway, "audit", "verify")
    assert (done.returncode, done.stdout.rstrip().endswith(": intact")) == (0, True), done.stdout
