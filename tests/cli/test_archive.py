"""The commands about the archive, as processes, against moto's S3: killed again and again, held, pruned, looked at."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from addons.cli import archive as command
from addons.cli import audit, holds, sessions
from addons.edge import archive_run
from addons.edge.archive_run import Runner
from addons.edge.archive_status import read_status, summary, trouble
from addons.edge.audit_check import Kept
from addons.edge.recordings import Recordings
from scripts.devenv.forkserver import CHAPERONE, run, spawn
from scripts.devenv.processes import Child, is_running
from tests.e2e.agent import eventually
from tests.support.archives import EVENT, Aws, Evidence, MakeEvidence, aws, files, maker


@pytest.fixture(scope="module")
def cloud() -> Iterator[Aws]:
    with aws() as running:
        yield running


@pytest.fixture
def evidence(cloud: Aws, tmp_path: Path) -> MakeEvidence:
    return maker(cloud, tmp_path / "state")


def configured(ours: Evidence, **more: object) -> Path:
    """The configuration of this archive."""
    found = ours.options
    settings = {
        "state": str(ours.state),
        "archive_bucket": found.bucket,
        "archive_prefix": found.prefix,
        "archive_region": found.region,
        "archive_endpoint": found.endpoint,
        "archive_lock": found.lock.lower() or "none",
        "archive_keys": list(found.keys),
        "archive_seconds": 1,
        **({"archive_retention_days": found.retention_days} if found.lock else {}),
        **more,
    }
    file = ours.state.parent / "mitm.conf"
    file.write_text(json.dumps(settings))
    return file


def start(conf: Path) -> Child:
    return spawn("archiver", [*CHAPERONE, "archive", "--follow", "--conf", conf], conf.with_name("archiver.log"))


def is_ended(archiver: Child) -> bool:
    return not is_running(archiver)


def at_work(ours: Evidence, archiver: Child) -> None:
    """Returns when it has swept once."""
    end = time.monotonic() + 60
    while (read_status(ours.state) or {"pid": 0})["pid"] != archiver.pid:
        assert time.monotonic() < end
        assert is_running(archiver)
        time.sleep(0.01)


def test_killed_again_and_again_it_copies_everything(evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence()
    conf, stop = configured(ours), threading.Event()

    async def write() -> None:
        recordings = Recordings(ours.state, "0", time.time(), ours.ledger)
        for number in range(1_000_000):
            if stop.is_set():
                break
            await recordings.commit(recordings.folder(None, "ab"[number % 2]), EVENT % number, b"{}\n")
            recordings.flow(recordings.folder(None, "a"), b"1:x,", lambda error: None)
            await asyncio.sleep(0.02)
        recordings.close()

    writer = threading.Thread(target=lambda: asyncio.run(write()))
    writer.start()
    for seconds in (0.02, 0.7, 1.1):
        archiver = start(conf)
        at_work(ours, archiver)
        time.sleep(seconds)  # at the end of a sweep, between two, in the next
        os.kill(archiver.pid, signal.SIGKILL)
        eventually("its end", partial(is_ended, archiver))
    following = start(conf)
    at_work(ours, following)
    stop.set()
    writer.join()
    os.kill(following.pid, signal.SIGTERM)
    eventually("its end", partial(is_ended, following), 60)
    done = run([*CHAPERONE, "archive", "fetch", tmp_path / "copy", "--conf", conf])
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": intact" in done.stdout
    assert files(tmp_path / "copy") == files(ours.state)
    assert audit.verify(tmp_path / "copy") == 0
    assert (tmp_path / "copy" / "sessions" / "unidentified-a").exists()


def test_once_and_what_it_says(evidence: MakeEvidence, cloud: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    ours = evidence()
    conf = configured(ours)
    ours.record("a")
    assert trouble(read_status(ours.state), time.time()) == [
        "archive: no archiver has ever run here; start it with: chaperone archive --follow"
    ]
    assert command.archive(once=True, conf=conf) == 0
    where = f"s3://{ours.options.bucket}/gateway-1/"
    assert capsys.readouterr().out.startswith(f"{where}: 5 parts, ")
    told = read_status(ours.state)
    assert told is not None
    assert trouble(told, time.time()) == []
    assert summary(told).startswith(f"archive {where}: 5 parts, ")
    assert trouble(told, time.time() + 600)[0].startswith("archive: the archiver has been silent for 10 minutes")
    assert command.verify(conf=conf) == 0
    assert "verified: 1 sessions, 5 parts" in capsys.readouterr().out
    key = "gateway-1/sessions/unidentified-a/0/audit.jsonl/0000000000000000"
    cloud.s3.put_object(Bucket=ours.options.bucket, Key=key, Body=b"forged")
    assert command.verify(conf=conf, output="json") == 1
    said = json.loads(capsys.readouterr().out)
    assert [(each["what"], each["file"]) for each in said["findings"]] == [("duplicate", key)]
    with pytest.raises(ValueError, match="--follow"):
        command.archive(conf=conf)
    conf.write_text("state: state\n")
    with pytest.raises(LookupError, match="set archive_bucket"):
        command.archive(once=True, conf=conf)


class Log:
    """Keeps the events."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def error(self, event: str, **_: object) -> None:
        self._events.append(event)

    info = error


def test_an_outage_is_told_once_and_when_it_is_over(
    evidence: MakeEvidence, cloud: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(archive_run, "log", Log(logged))
    ours = evidence()
    ours.record("a")
    runner = Runner(archiver=ours.archiver(), state=ours.state, where="s3://b/", every=1, tend=lambda: None)
    (ours.state / "archive").mkdir()
    cloud.gate.shut()
    try:
        for _ in range(2):
            assert runner.once().error is not None
        told = read_status(ours.state)
        (said,) = trouble(told, time.time() + 240)
        assert said.startswith("archive: nothing gets there for 4 minutes: ")
    finally:
        cloud.gate.open()
    assert runner.once().error is None
    assert trouble(read_status(ours.state), time.time()) == []
    assert logged == ["archive unreachable: evidence waits here", "archive reachable again"]


def test_a_session_is_removed_here_when_it_is_wholly_there(
    evidence: MakeEvidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = evidence()
    conf = configured(ours)
    ours.record("a", "b")
    with pytest.raises(Kept, match="not archived from byte 0 on: copy it with chaperone archive --once"):
        audit.remove("unidentified-a", conf=conf)
    command.archive(once=True, conf=conf)
    ours.record("a")
    with pytest.raises(Kept, match=r"unidentified-a/audit.jsonl is not archived from byte \d\d+ on"):
        audit.remove("unidentified-a", conf=conf)
    command.archive(once=True, conf=conf)
    before = files(ours.state)
    audit.remove("unidentified-a", conf=conf)
    assert "removed unidentified-a: 2 records" in capsys.readouterr().out
    command.archive(once=True, conf=conf)
    ours.record("a")  # the job goes on
    command.archive(once=True, conf=conf)
    for folder, options, expected in (("now", {}, files(ours.state)), ("before", {"generation": 0}, before)):
        found = ("unidentified-a",)
        assert command.fetch(tmp_path / folder, session=found, conf=conf, **options) == 0  # type: ignore[arg-type]
        restored = files(tmp_path / folder)
        assert {name: restored[name] for name in restored if "unidentified-a" in name} == {
            name: expected[name] for name in expected if "unidentified-a" in name
        }
    assert "--generation 0 fetches what was before" in capsys.readouterr().out
    assert command.fetch(tmp_path / "all", conf=conf) == 0
    assert audit.verify(tmp_path / "all") == 0


def test_what_was_removed_must_still_be_there_whole(evidence: MakeEvidence, cloud: Aws, tmp_path: Path) -> None:
    """What is cut off at the end of a file that is in no chain is found for sessions that were removed."""
    ours = evidence(lock="")
    conf = configured(ours)
    ours.record("a")
    command.archive(once=True, conf=conf)
    audit.remove("unidentified-a", conf=conf)
    command.archive(once=True, conf=conf)
    (flows,) = (each["Key"] for each in cloud.versions(ours.options.bucket) if "flows-" in each["Key"])
    cloud.s3.delete_object(Bucket=ours.options.bucket, Key=flows)
    (finding,) = ours.fetch(tmp_path / "copy").report.findings
    assert (finding.what, finding.file) == ("missing", flows.removeprefix("gateway-1/").rpartition("/")[0])


@pytest.mark.parametrize("goes_on", [False, True], ids=["ended", "went on"])
def test_what_was_removed_and_is_gone_from_there_is_named(
    goes_on: bool, evidence: MakeEvidence, cloud: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = evidence(lock="")
    conf, bucket = configured(ours), ours.options.bucket
    ours.record("a")
    (ours.state / "sessions" / "unidentified-a" / "empty.cast").touch()
    command.archive(once=True, conf=conf)
    audit.remove("unidentified-a", conf=conf)
    ours.record("a" if goes_on else "b")
    command.archive(once=True, conf=conf)
    assert command.verify(conf=conf) == 0  # a file without a byte has no object
    before = [each["Key"] for each in cloud.versions(bucket, "gateway-1/sessions/unidentified-a/0/")]
    cloud.s3.delete_object(Bucket=bucket, Key=before.pop())
    capsys.readouterr()
    assert command.verify(conf=conf) == 1
    for key in before:
        cloud.s3.delete_object(Bucket=bucket, Key=key)
    assert command.verify(conf=conf) == 1
    assert capsys.readouterr().out.count("it was copied, and is not here") == 1 + len(before) + 1
    assert command.fetch(tmp_path / "copy", conf=conf) == (0 if goes_on else 1)


def test_a_session_that_cannot_be_removed_stops_nobody(
    evidence: MakeEvidence, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = evidence()
    conf = configured(ours, keep_days=1)
    ours.record("a", "b")
    past = time.time() - 2 * 86400
    (ours.state / "sessions" / "unidentified-a" / "folder").mkdir()
    for path in ours.state.glob("sessions/*/*"):
        os.utime(path, (past, past))
    assert command.archive(once=True, conf=conf) == 0
    assert [path.name for path in (ours.state / "sessions").iterdir()] == ["unidentified-a"]
    assert "session kept" in capsys.readouterr().err


def test_a_hold_keeps_a_session_here_and_there(
    evidence: MakeEvidence, cloud: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = evidence(lock="GOVERNANCE")
    conf = configured(ours, keep_days=1)
    ours.record("a", "b")
    command.archive(once=True, conf=conf)
    holds.hold("unidentified-a", reason="case 42", conf=conf)
    said = capsys.readouterr().out
    assert "unidentified-a is under legal hold: signed in the ledger, by user " in said
    assert ": 4 objects held" in said
    ours.record("a")
    command.archive(once=True, conf=conf)
    assert held(ours, cloud, "unidentified-a") == {"ON"}
    assert held(ours, cloud, "unidentified-b") == {None}
    with pytest.raises(Kept, match=r"under legal hold since .* case 42; lift it with: chaperone sessions release"):
        audit.remove("unidentified-a", conf=conf)
    with pytest.raises(ValueError, match="under legal hold already"):
        holds.hold("unidentified-a", reason="again", conf=conf)
    bypass = {"Bucket": ours.options.bucket, "BypassGovernanceRetention": True}
    for each in cloud.versions(ours.options.bucket, "gateway-1/sessions/unidentified-a"):
        with pytest.raises(ClientError, match="AccessDenied"):
            cloud.s3.delete_object(Key=each["Key"], VersionId=each["VersionId"], **bypass)
    old(ours)
    capsys.readouterr()
    assert holds.prune(dry_run=True, conf=conf) == 0
    assert capsys.readouterr().out.count("older than 1 days") == 2
    assert holds.prune(conf=conf) == 1
    assert "removed unidentified-b: 1 records\n" in capsys.readouterr().out
    sessions.show("unidentified-a", conf=conf)
    assert "under legal hold" in capsys.readouterr().out
    holds.release("unidentified-a", reason="closed", conf=conf)
    assert held(ours, cloud, "unidentified-a") == {"OFF"}
    with pytest.raises(ValueError, match="under no legal hold"):
        holds.release("unidentified-a", reason="closed", conf=conf)
    command.archive(once=True, conf=conf)  # which removes what is due, too
    assert list((ours.state / "sessions").iterdir()) == []
    command.archive(once=True, conf=conf)
    holds.hold("unidentified-b", reason="case 43", conf=conf)  # which is only there
    assert held(ours, cloud, "unidentified-b") == {"ON"}
    with pytest.raises(LookupError, match="no session"):
        holds.hold("unidentified-c", reason="case 44", conf=conf)
    assert command.fetch(tmp_path / "copy", conf=conf) == 0
    assert audit.verify(tmp_path / "copy") == 0


def held(ours: Evidence, cloud: Aws, session: str) -> set[str | None]:
    """The legal hold of each object of a session."""
    found = cloud.versions(ours.options.bucket, f"gateway-1/sessions/{session}/")
    assert found
    return {cloud.s3.head_object(Bucket=ours.options.bucket, Key=each["Key"]).get("ObjectLockLegalHoldStatus")
            for each in found}  # fmt: skip


def old(ours: Evidence) -> None:
    """As if nothing had happened for two days."""
    past = time.time() - 2 * 86400
    for path in ours.state.glob("sessions/*/*"):
        os.utime(path, (past, past))


def test_without_an_archive_old_sessions_are_pruned_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Evidence(tmp_path / "state", None)  # type: ignore[arg-type]
    conf = tmp_path / "mitm.conf"
    conf.write_text("state: state\n")
    ours.record("a")
    with pytest.raises(LookupError, match="keep_days is not set"):
        holds.prune(conf=conf)
    conf.write_text("state: state\nkeep_days: 1\n")
    holds.hold("unidentified-a", reason="case", conf=conf)
    with pytest.raises(ValueError, match="say why"):
        holds.release("unidentified-a", reason=" ", conf=conf)
    old(ours)
    assert holds.prune(conf=conf) == 1
    holds.release("unidentified-a", reason="closed", conf=conf)
    assert holds.prune(conf=conf) == 0
    assert capsys.readouterr().out.endswith("removed unidentified-a: 1 records\n")
    assert audit.verify(conf=conf) == 0


def test_a_key_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.make_key(tmp_path / "key")
    assert "keep a copy elsewhere" in capsys.readouterr().out
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        command.make_key(tmp_path / "key")
    shutil.rmtree(tmp_path)
