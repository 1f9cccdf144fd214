"""Sessions of a real gateway, exported, judged where nothing else of it is, searched and opened."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from addons.edge.archive import StoredSession, sessions
from addons.edge.audit_log import CHECKPOINT_SECONDS
from scripts.devenv import forkserver
from scripts.devenv.cluster import Cluster
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.gateway_env import GatewayEnv, stop_gateway
from scripts.devenv.places import REPOSITORY
from tests.e2e.agent import Agent, eventually
from tests.e2e.gateways import start
from tests.e2e.people import chaperone
from tests.e2e.records import read_events
from tests.support.kubernetes import Kubectl
from tests.support.viewer import command_viewer


@pytest.fixture(scope="module")
def ours(written: list[GatewayEnv], gateway: GatewayEnv) -> StoredSession:
    """A session of the shared gateway with refused calls, an exec and flows."""
    return next(stored for stored in reversed(sessions(gateway.state_dir)) if stored.user == "evidence")


@pytest.fixture(scope="module")
def bundle(ours: StoredSession, gateway: GatewayEnv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of that session and another, once all is sealed."""
    file = tmp_path_factory.mktemp("export") / "evidence.tar.gz"
    other = next(stored for stored in sessions(gateway.state_dir) if stored.user == "unidentified")
    done = eventually("an export", lambda: _exported(gateway, file, ours.id, other.id), 30)
    assert "FOUND" not in done.stdout, done.stdout
    return file


def _exported(gateway: GatewayEnv, file: Path, *ids: str) -> Any:
    done = chaperone(gateway, "sessions", "export", *ids, "-o", str(file))
    if "still written to" in done.stderr:
        return None
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def key(gateway: GatewayEnv, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "audit.pem"
    file.write_text(chaperone(gateway, "audit", "key").stdout)
    return file


def verified(file: Path, key: Path, elsewhere: Path, *, forked: bool = True) -> subprocess.CompletedProcess[str]:
    """As on a machine that has the product, the bundle and the public key."""
    command = [*CHAPERONE, "audit", "verify", str(file), f"--public-key={key}", "-o", "json"]
    env = {"PATH": "", "PYTHONPATH": str(REPOSITORY), "HOME": str(elsewhere)}
    if forked:
        return forkserver.run(command, cwd=elsewhere, env=env, timeout=60)
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=elsewhere, env=env, timeout=60)


def test_b83_an_export_is_verified_elsewhere(
    bundle: Path, key: Path, ours: StoredSession, gateway: GatewayEnv, tmp_path: Path
) -> None:
    done = verified(bundle, key, tmp_path, forked=False)
    told = json.loads(done.stdout)
    assert (done.returncode, told["intact"], told["findings"], told["notes"]) == (0, True, [], [])
    assert [line for line in told["proven"] if line.startswith(f"{ours.id}: ")]
    assert told["not_proven"]
    assert list(tmp_path.iterdir()) == []
    with tarfile.open(bundle) as archive:
        for path in ours.folder.iterdir():
            kept = archive.extractfile(f"sessions/{ours.id}/{path.name}")
            assert kept is not None
            assert kept.read() == path.read_bytes()
        assert {Path(name).name.split("-")[0] for name in archive.getnames() if ours.id in name} >= {
            "audit.jsonl", "decisions.jsonl", "exec", "flows", "session.json",
        }  # fmt: skip
        names = archive.getnames()
    assert not [name for name in names if "key" in name or "sqlite" in name]
    private = (gateway.state_dir / "audit" / "signing.key").read_bytes().splitlines()[1]
    assert private not in gzip.decompress(bundle.read_bytes())


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("audit.jsonl", lambda data: data.replace(b'"verb":"', b'"verb":"un', 1), "changed"),
        ("audit.jsonl", lambda data: b"".join(data.splitlines(keepends=True)[1:]), "changed"),
        (".cast", lambda data: data[:-2] + b" \n", "changed"),
        ("manifest.json", lambda data: data.replace(b'"running": false', b'"running": true '), "manifest"),
        ("ledger.jsonl", lambda data: b"".join(data.splitlines(keepends=True)[:-1]), "changed"),
        ("session.json", None, "missing"),
    ],
)
def test_b83_what_is_done_to_an_export_is_found(
    name: str, change: Callable[[bytes], bytes] | None, expected: str, bundle: Path, key: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.tar.gz"
    changed.write_bytes(tampered(bundle, name, change))
    done = verified(changed, key, tmp_path)
    told = json.loads(done.stdout)
    assert (done.returncode, told["intact"], told["proven"]) == (1, False, [])
    assert expected in {finding["what"] for finding in told["findings"] if finding["file"].endswith(name)}


def tampered(bundle: Path, name: str, change: Callable[[bytes], bytes] | None) -> bytes:
    """The bundle, but for the first file whose name ends like this; without it, if there is no change."""
    out, done = io.BytesIO(), False
    with tarfile.open(bundle) as old, tarfile.open(fileobj=out, mode="w:gz", format=tarfile.USTAR_FORMAT) as new:
        for member in old:
            data = old.extractfile(member).read()  # type: ignore[union-attr]
            if not done and member.name.endswith(name):
                done = True
                if change is None:
                    continue
                assert change(data) != data
                data = change(data)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    assert done
    return out.getvalue()


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path) -> Iterator[GatewayEnv]:
    """A gateway of its own: the shared one has been stopped."""
    folder = tmp_path / "running"
    yield start(cluster, folder)
    stop_gateway(folder)


def test_a_call_that_runs_is_not_taken_for_whole(
    running: GatewayEnv, as_user: Callable[..., Agent], kubectl: Kubectl, tmp_path: Path
) -> None:
    pod, agent, bundle = kubectl.run_pod("exported"), as_user(running, "exported", "agents"), tmp_path / "b.tar.gz"
    with agent.stream("get", "pod", pod, "-w", "-o", "name") as watch:
        watch.until(pod)
        (stored,) = (each for each in sessions(running.state_dir) if each.user == "exported")
        time.sleep(CHECKPOINT_SECONDS + 1)
        refused = chaperone(running, "sessions", "export", stored.id, "-o", str(bundle))
        assert (refused.returncode, f"still written to: {stored.id}" in refused.stderr) == (1, True)
        assert not bundle.exists()
        done = chaperone(running, "sessions", "export", stored.id, "--running", "-o", str(bundle))
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"not proven: {stored.id}: still written to when exported" in done.stdout
    bundle.unlink()
    eventually("its end", lambda: _exported(running, bundle, stored.id), 30)


def flows_of(ours: StoredSession) -> set[str]:
    found = set()
    for path in ours.flow_files:
        with path.open("rb") as file:
            found |= {flow.id for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)}
    return found


@pytest.mark.parametrize("what", ["session", "bundle"])
def test_flows_are_looked_at_and_nothing_is_left(
    what: str, bundle: Path, ours: StoredSession, gateway: GatewayEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with command_viewer("sessions", "open", ours.id if what == "session" else str(bundle), "--port", "0",
                        conf=gateway.conf) as web:  # fmt: skip
        shown = eventually("its flows", lambda: _at_least(web.flows(), len(flows_of(ours))))
        assert web.http.get("/").status_code == 200
        ids = {flow["id"] for flow in shown}
        assert flows_of(ours) <= ids if what == "bundle" else flows_of(ours) == ids
        assert web.end() == 0
    assert list(tmp_path.iterdir()) == []


def _at_least(flows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return flows if len(flows) >= count else []


def test_sessions_are_found_by_what_was_done(ours: StoredSession, gateway: GatewayEnv) -> None:
    def found(*options: str) -> set[str]:
        done = chaperone(gateway, "sessions", "list", "-o", "json", *options)
        assert done.returncode == 0, done.stderr
        return {each["id"] for each in json.loads(done.stdout)}

    everything = {stored.id for stored in sessions(gateway.state_dir)}
    assert found() == everything
    refused = ["--who=evidence", "--resource=clusterrolebindings", "--verb=create", "--since=1d"]
    assert ours.id in found(*refused)
    assert ours.id in found("--text=EVIDENCE", "--resource=pods/exec")
    assert found(*refused, "--verdict=allow") == set()
    denied = {
        stored.id
        for stored in sessions(gateway.state_dir)
        for event in read_events(stored.folder / "audit.jsonl")
        if event["annotations"].get("chaperone.dev/decision") == "deny"
    }
    assert found("--verdict=deny") == denied
