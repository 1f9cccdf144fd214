"""Copying evidence to a bucket, on moto's S3: whatever happens on the way, what is there is what is here.

moto cannot show how S3 behaves under load, that a lock outlasts an account's own root user, or a clock that is off.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons.core.archive.options import ArchiveOptions
from addons.edge import archive_upload
from addons.edge.archive_bucket import ArchiveUnavailable, Bucket, Strange
from addons.edge.archive_keys import make_key_file
from addons.edge.archive_status import AlreadyRuns, alone
from addons.edge.audit_check import verify_state
from addons.edge.recordings import Recordings
from tests.support.archives import EVENT, Aws, Evidence, MakeEvidence, MemoryBucket, files, until


def intact(evidence: Evidence, folder: Path) -> None:
    """What the bucket has is what the state folder has, and is taken for a whole log."""
    fetched = evidence.fetch(folder)
    assert (fetched.report.findings, fetched.left_out) == ([], 0)
    assert files(folder) == files(evidence.state)
    assert verify_state(folder).findings == []


@pytest.mark.parametrize("keys", [False, True], ids=["plain", "encrypted"])
def test_a_copy_is_the_same_and_verifies(keys: bool, cloud: Aws, evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence(keys=(f"kms:{cloud.key()}",) if keys else ())
    ours.record("a", "b", "a")
    done = ours.sweep()
    assert (done.parts, done.waiting_bytes, done.conflicts) == (9, 0, {})
    assert ours.sweep().parts == 0
    ours.record("b", "c")
    assert ours.sweep().parts > 0
    intact(ours, tmp_path / "copy")
    assert verify_state(tmp_path / "copy").records == 5
    bodies = [cloud.s3.get_object(Bucket=ours.options.bucket, Key=each["Key"])["Body"].read()
              for each in cloud.versions(ours.options.bucket)]  # fmt: skip
    assert any(b"stageTimestamp" in body for body in bodies) != keys
    assert any(b"chaperone" in body for body in bodies) != keys


def test_large_files_are_several_parts(evidence: MakeEvidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_upload, "PART_BYTES", 700)
    ours = evidence()
    ours.record(*"aaaaaaaab")
    cast = ours.state / "sessions" / "unidentified-a" / "exec-1.cast"
    cast.write_bytes(b"x" * 3000)  # a line that is longer than a part, and has no end
    os.utime(cast, (time.time() - 100,) * 2)
    assert ours.sweep().parts > 15
    intact(ours, tmp_path / "copy")


def test_what_is_not_sealed_waits_while_its_worker_runs(evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence()

    async def work() -> None:
        recordings = Recordings(ours.state, "0", time.time(), ours.ledger)
        for connection in "ab":
            await recordings.commit(recordings.folder(None, connection), EVENT % 1)
        ours.settle()
        done = await asyncio.to_thread(ours.sweep)
        assert (done.running, done.waiting_bytes > 0) == (True, True)
        copy = tmp_path / "while"
        await asyncio.to_thread(ours.fetch, copy)
        assert sorted(path.name for path in copy.glob("sessions/*/*")) == ["session.json"] * 2
        assert verify_state(copy).findings == []
        recordings.close()

    asyncio.run(work())
    assert not ours.sweep().running
    intact(ours, tmp_path / "after")


def test_a_session_that_has_just_begun_is_said_to_wait(evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence()
    ours.record("a")
    begun = ours.state / "sessions" / "unidentified-a" / "session.json"
    os.utime(begun)
    assert ours.sweep().waiting_bytes == begun.stat().st_size
    ours.settle()
    assert ours.sweep().waiting_bytes == 0
    intact(ours, tmp_path / "copy")


KILLED = """
import asyncio, os, pathlib, sys, time
from tests.support.archives import EVENT, Evidence
from addons.edge.recordings import Recordings
from addons.edge.audit_ledger import AuditLedger
async def work():
    state = pathlib.Path(sys.argv[1])
    recordings = Recordings(state, "1", time.time(), AuditLedger(state))
    for name in "ab":
        await recordings.commit(recordings.folder(None, name), EVENT % 1)
    with (state / "sessions/unidentified-b/audit.jsonl").open("ab") as torn:
        torn.write(b'{"torn')
    os._exit(9)
asyncio.run(work())
"""


def test_what_a_killed_worker_left_is_copied_without_a_seal(evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence()
    ours.record("a")
    done = subprocess.run([sys.executable, "-c", KILLED, ours.state], check=False)
    assert done.returncode == 9
    ours.settle()
    torn = ours.state / "sessions" / "unidentified-b" / "audit.jsonl"
    assert ours.sweep().waiting_bytes == len(b'{"torn')
    os.utime(torn, (time.time() - 100,) * 2)
    assert ours.sweep().waiting_bytes == 0
    intact(ours, tmp_path / "copy")
    ours.record("b")  # signs for it, and ends the torn line
    ours.sweep()
    intact(ours, tmp_path / "later")


class Crash(BaseException):
    """The archiver is killed."""


def crashing(monkeypatch: pytest.MonkeyPatch, puts: int, took: bool) -> None:
    """The process ends at this PUT, after the bucket took the object or before."""
    left, put = [puts], MemoryBucket.put

    def counted(self: MemoryBucket, *arguments: Any) -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise Crash
        if left[0] == 0:
            if took:
                put(self, *arguments)
            raise Crash
        return put(self, *arguments)

    monkeypatch.setattr(MemoryBucket, "put", counted)


Step = tuple[str, int, bool]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("crash"), st.integers(1, 9), st.booleans()),
        st.tuples(st.sampled_from(["a", "b", "ab", "cab"]), st.just(0), st.just(False)),
    ),
    min_size=2,
    max_size=7,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, part_bytes=st.sampled_from([600, 8 << 20]), keys=st.booleans())
def test_however_it_grows_and_wherever_it_crashes_the_copy_is_whole(
    steps: list[Step], part_bytes: int, keys: bool
) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive_upload, "_LOOK_AGAIN_SECONDS", 0)
        _grow(Path(name), steps, part_bytes, keys)


def _grow(folder: Path, steps: list[Step], part_bytes: int, keys: bool) -> None:
    make_key_file(folder / "key")
    options = ArchiveOptions(bucket="b", prefix="p/", keys=(f"file:{folder / 'key'}",) if keys else ())
    ours = Evidence(folder / "state", options)
    ours.bucket = MemoryBucket(options)
    ours.record("a")
    ours.sweep()
    for number, (what, puts, took) in enumerate(steps):
        if what != "crash":
            ours.record(*what)
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archive_upload, "PART_BYTES", part_bytes)
            crashing(patch, puts, took)
            with suppress(Crash):
                ours.sweep()
        between = folder / f"between-{number}"
        assert ours.fetch(between).report.findings == []
        assert verify_state(between).findings == [], "a copy is never behind so that it looks like a forgery"
    ours.sweep()
    intact(ours, folder / "copy")


def test_a_part_that_was_taken_without_an_answer_is_found(
    evidence: MakeEvidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, put, lost = evidence(), Bucket.put, [True]
    ours.record("a")
    archiver = ours.archiver()

    def answers_once(self: Bucket, *arguments: Any) -> bool:
        put(self, *arguments)
        if lost:
            lost.clear()
            raise ArchiveUnavailable("no answer", "ReadTimeoutError", "")
        return True

    monkeypatch.setattr(Bucket, "put", answers_once)
    assert archiver.sweep().error is not None
    monkeypatch.setattr(Bucket, "put", put)
    ours.record("a", "b")
    assert archiver.sweep().error is None
    intact(ours, tmp_path / "copy")


def test_one_that_comes_late_is_taken_for_what_it_is(
    cloud: Aws, evidence: MakeEvidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed archiver's last PUT arrives after the next one has looked, and is shorter than what that has."""
    ours = evidence()
    ours.record("a")
    archiver = ours.archiver()
    parts = Bucket.parts
    monkeypatch.setattr(Bucket, "parts", lambda self, below, strange=None: iter(()))
    late = ours.archiver()
    assert late.sweep().error is None
    ours.record("a")
    monkeypatch.setattr(Bucket, "parts", lambda self, below: parts(self, below) if "/0000" in below else iter(()))
    done = archiver.sweep()
    assert (done.conflicts, done.error) == ({}, None)
    monkeypatch.setattr(Bucket, "parts", parts)
    assert len(cloud.versions(ours.options.bucket)) == len(
        {each["Key"] for each in cloud.versions(ours.options.bucket)}
    )
    intact(ours, tmp_path / "copy")


def test_an_outage_ends_where_it_began(evidence: MakeEvidence, cloud: Aws, tmp_path: Path) -> None:
    ours = evidence()
    ours.record("a")
    archiver = ours.archiver()
    archiver.sweep()
    cloud.gate.shut()
    try:
        ours.record("a", "b")
        done = archiver.sweep()
        assert done.error is not None
        assert done.waiting_bytes > 0
        assert "reachable from here?" in str(done.error)
    finally:
        cloud.gate.open()
    assert archiver.sweep().error is None
    intact(ours, tmp_path / "copy")


@pytest.mark.parametrize("lock", ["COMPLIANCE", "GOVERNANCE"])
def test_what_is_locked_cannot_be_deleted(lock: str, evidence: MakeEvidence, cloud: Aws) -> None:
    ours = evidence(lock=lock)
    ours.record("a")
    ours.sweep()
    versions = cloud.versions(ours.options.bucket)
    assert len(versions) == 5
    for each in versions:
        which = {"Bucket": ours.options.bucket, "Key": each["Key"], "VersionId": each["VersionId"]}
        with pytest.raises(ClientError, match="AccessDenied"):
            cloud.s3.delete_object(**which)
        kept = cloud.s3.head_object(**which)
        assert kept["ObjectLockMode"] == lock
        assert until(29.9) < kept["ObjectLockRetainUntilDate"] < until(30)


def test_without_a_lock_what_is_deleted_is_copied_again(evidence: MakeEvidence, cloud: Aws, tmp_path: Path) -> None:
    ours = evidence(lock="")
    for _ in range(3):
        ours.record("a")
        ours.sweep()
    keys = sorted(each["Key"] for each in cloud.versions(ours.options.bucket) if "audit.jsonl" in each["Key"])
    cloud.s3.delete_object(Bucket=ours.options.bucket, Key=keys[1])
    ours.sweep()
    intact(ours, tmp_path / "copy")


def test_two_gateways_with_one_prefix_are_told_apart(evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence()
    ours.record("a")
    ours.sweep()
    other = Evidence(tmp_path / "other", ours.options)
    other.record("a")
    with pytest.raises(Strange, match="archive_prefix must be its alone"):
        other.sweep()


def test_somebody_elses_object_in_the_way_is_named_and_the_rest_goes_on(
    evidence: MakeEvidence, cloud: Aws, tmp_path: Path
) -> None:
    ours = evidence()
    ours.record("a", "b")
    key = "gateway-1/sessions/unidentified-a/0/audit.jsonl/0000000000000000"
    cloud.s3.put_object(Bucket=ours.options.bucket, Key=key, Body=b"forged\n")
    done = ours.archiver().sweep()
    assert list(done.conflicts) == ["sessions/unidentified-a/audit.jsonl"]
    fetched = ours.fetch(tmp_path / "copy")
    assert [(each.what, each.file) for each in fetched.report.findings] == [("changed", key)]
    assert (tmp_path / "copy" / "sessions" / "unidentified-b" / "audit.jsonl").exists()


def test_a_file_that_was_cut_here_is_named(evidence: MakeEvidence, tmp_path: Path) -> None:
    ours = evidence()
    ours.record("a", "a")
    ours.sweep()
    whole = files(ours.state)
    audit = ours.state / "sessions" / "unidentified-a" / "audit.jsonl"
    os.truncate(audit, 100)
    (why,) = ours.archiver().sweep().conflicts.values()
    assert "shorter than what was copied" in why
    ours.fetch(tmp_path / "copy")
    assert files(tmp_path / "copy") == whole


def test_links_and_other_names_are_not_followed(evidence: MakeEvidence, cloud: Aws, tmp_path: Path) -> None:
    ours = evidence()
    ours.record("a")
    folder = ours.state / "sessions" / "unidentified-a"
    (tmp_path / "secret").write_text("secret")
    (folder / "linked.jsonl").symlink_to(tmp_path / "secret")
    (folder / ".hidden").write_text("secret")
    (ours.state / "sessions" / "linked").symlink_to(tmp_path)
    ours.sweep()
    assert len(cloud.versions(ours.options.bucket)) == 5


def test_one_archiver_for_a_state_folder(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(AlreadyRuns, match="one is enough"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass
