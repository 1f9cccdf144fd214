"""The chain on real files: written through the journal, sealed, killed, tampered with, verified."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
import stat
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addons.core.audit_chain import Entry, EntryKind, read_entry, read_link
from addons.core.audit_report import Report, What
from addons.core.problem import InvalidConfiguration
from addons.edge import audit_ledger, audit_log
from addons.edge.audit_check import StillWritten, remove_session, verify_state
from addons.edge.audit_key import NEXT, UnusableKey, key_of_turn, make_key, read_key
from addons.edge.audit_ledger import AuditLedger
from addons.edge.journal import RecordUnavailable
from addons.edge.recordings import Recordings
from tests.support.workers import start_worker

ROOT = Path(__file__).parents[2]
EVENT = b'{"stageTimestamp":"2999-01-01T00:00:00.000000Z","annotations":{}}\n'

Start = Callable[[], Recordings]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Recordings] = []

    def run() -> Recordings:
        started.append(Recordings(tmp_path, "0", time.time(), AuditLedger(tmp_path)))
        return started[-1]

    yield run
    for recordings in started:
        recordings.close()


async def write(recordings: Recordings, *connections: str) -> None:
    for connection in connections:
        await recordings.commit(recordings.folder(None, connection), EVENT)


def crash(recordings: Recordings) -> None:
    """The end of a worker as far as its chain knows: nothing more is signed, and its lock is gone."""
    chain = recordings._journal._chain
    assert chain is not None
    chain.abandon()


def log_of(state: Path, connection: str) -> Path:
    return state / "sessions" / f"unidentified-{connection}" / "audit.jsonl"


def ledger(state: Path) -> list[Entry]:
    lines = (state / "audit" / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    return [entry for line in lines if (entry := read_entry(line)) is not None]


def entries(state: Path) -> list[str]:
    return [entry.kind.value for entry in ledger(state)]


def found(state: Path) -> list[tuple[What, str, int]]:
    return [(finding.what, finding.file, finding.line) for finding in verify_state(state).findings]


def notes(state: Path) -> list[str]:
    return [note.text for note in verify_state(state).notes if note.what is not What.BELIEVED]


def unsealed(state: Path) -> list[str]:
    return [note.text for note in verify_state(state).notes if note.what is What.UNSEALED]


async def test_a_life_of_a_worker_is_a_chain_with_an_end(start: Start, tmp_path: Path) -> None:
    recordings = start()
    await write(recordings, "a", "b", "a")
    assert unsealed(tmp_path) == ["unsealed tail, 3 records since last checkpoint (0); still written to"]
    recordings.close()
    assert entries(tmp_path) == ["key", "open", "close"]
    report = verify_state(tmp_path)
    assert (report.findings, report.records, report.files, report.chains) == ([], 3, 2, 1)
    assert notes(tmp_path) == []
    assert list((tmp_path / "audit" / "running").iterdir()) == []
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit").iterdir() if path.is_file()} == {0o600}


async def test_another_start_is_another_chain(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        recordings = start()
        await write(recordings, "a")
        recordings.close()
    assert entries(tmp_path) == ["key", "open", "close", "open", "close"]
    assert verify_state(tmp_path).chains == 2
    assert found(tmp_path) == []


async def test_checkpoints_follow_time_and_number(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "CHECKPOINT_SECONDS", 0.05)
    recordings = start()
    await write(recordings, "a")
    recordings.log(recordings.folder(None, "b"), EVENT, lambda fault: None)
    await asyncio.sleep(0.4)
    assert entries(tmp_path)[-1] == "checkpoint"
    assert unsealed(tmp_path) == ["unsealed tail, 0 records since last checkpoint (2); still written to"]
    monkeypatch.setattr(audit_log, "CHECKPOINT_SECONDS", 1000)
    monkeypatch.setattr(audit_log, "CHECKPOINT_RECORDS", 3)
    count = len(entries(tmp_path))
    await write(recordings, "a", "a", "a", "a")
    assert len(entries(tmp_path)) == count + 1


async def test_what_was_not_synced_is_before_it_is_sealed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = start()
    await write(recordings, "a")
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().parent.name)
    )
    recordings.log(recordings.folder(None, "b"), EVENT, lambda fault: None)
    recordings.close()
    assert synced == ["unidentified-b", "audit"]


async def test_a_later_start_signs_for_what_a_crash_has_left(start: Start, tmp_path: Path) -> None:
    first = start()
    await write(first, "a", "b", "a")
    crash(first)
    assert notes(tmp_path) == ["unsealed tail, 3 records since last checkpoint (0); never closed"]
    second = start()
    await write(second, "c")
    assert entries(tmp_path) == ["key", "open", "found", "open"]
    assert found(tmp_path) == []
    shutil.rmtree(log_of(tmp_path, "a").parent)
    assert {what for what, _, _ in found(tmp_path)} == {What.MISSING}


async def test_a_start_says_what_a_power_failure_took(start: Start, tmp_path: Path) -> None:
    first = start()
    await write(first, "a", "b", "c")
    crash(first)
    log_of(tmp_path, "b").unlink()
    assert {what for what, _, _ in found(tmp_path)} == {What.UNSEALED_GAP}
    await write(start(), "d")
    assert found(tmp_path) == []
    assert "record 2 of an unsealed tail were lost before the next start, as with the power" in notes(tmp_path)


async def test_a_marker_that_a_crash_has_emptied(start: Start, tmp_path: Path) -> None:
    first = start()
    await write(first, "a", "a")
    crash(first)
    (marker,) = (tmp_path / "audit" / "running").iterdir()
    marker.write_bytes(b"")
    await write(start(), "b")
    assert entries(tmp_path) == ["key", "open", "found", "open"]
    assert found(tmp_path) == []


async def test_after_a_failed_sync_a_chain_begins_anew(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = start()
    await write(recordings, "a")

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(RecordUnavailable, match="disk on fire"):
            await write(recordings, "a")
    await write(recordings, "a")
    recordings.close()
    assert entries(tmp_path) == ["key", "open", "found", "open", "close"]
    assert found(tmp_path) == []


async def test_what_cannot_be_sealed_is_not_recorded(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = start()
    ledger = tmp_path / "audit" / "ledger.jsonl"
    await write(recordings, "a")
    aside = ledger.rename(tmp_path / "aside")
    ledger.mkdir()
    monkeypatch.setattr(audit_log, "CHECKPOINT_SECONDS", 0)
    with contextlib.suppress(RecordUnavailable):  # the first to try a checkpoint may be the record before this one
        await write(recordings, "a")
    with pytest.raises(RecordUnavailable, match="Is a directory"):
        await write(recordings, "a")
    with pytest.raises(RecordUnavailable, match="the audit log cannot be sealed: Is a directory"):
        await recordings.check()
    ledger.rmdir()
    aside.rename(ledger)
    await write(recordings, "a")
    await recordings.check()
    recordings.close()
    assert found(tmp_path) == []
    assert verify_state(tmp_path).records in (2, 3)


async def test_an_unsynced_file_that_cannot_be_synced_ends_the_chain(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "CHECKPOINT_SECONDS", 0.01)
    recordings, tried = start(), threading.Event()

    def on_fire(_: int) -> None:
        tried.set()
        raise OSError(errno.EIO, "on fire")

    await write(recordings, "a")
    await asyncio.sleep(0.2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", on_fire)
        recordings.log(recordings.folder(None, "b"), EVENT, lambda fault: None)
        assert await asyncio.to_thread(tried.wait, 30)
        await asyncio.sleep(0.1)
    await write(recordings, "a")
    recordings.close()
    assert entries(tmp_path).count("open") == 2
    assert found(tmp_path) == []


async def test_a_removed_folder_stops_nobody(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "CHECKPOINT_SECONDS", 0.05)
    recordings = start()
    await write(recordings, "a")
    recordings.log(recordings.folder(None, "a"), EVENT, lambda fault: None)
    shutil.rmtree(log_of(tmp_path, "a").parent)
    with pytest.raises(RecordUnavailable, match="removed"):
        await write(recordings, "a")
    await write(recordings, "a")
    await asyncio.sleep(0.3)
    await write(recordings, "a")
    assert {what for what, _, _ in found(tmp_path)} == {What.MISSING}


def changed(line: bytes) -> bytes:
    return line.replace(b"2999", b"2998")


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (lambda lines: [changed(lines[0]), *lines[1:]], {(What.CHANGED, 1)}),
        (lambda lines: [lines[0], *lines[2:]], {(What.MISSING, 2), (What.SHIFTED, 2)}),
        (lambda lines: lines[:-1], {(What.MISSING, 3)}),
        (lambda lines: [*lines, lines[0]], {(What.DUPLICATE, 5), (What.REORDERED, 5), (What.SHIFTED, 5)}),
        (
            lambda lines: [lines[0], lines[2], lines[1], lines[3]],
            {(What.REORDERED, 3), (What.SHIFTED, 2), (What.SHIFTED, 3), (What.SHIFTED, 4)},
        ),
        (lambda lines: [*lines, EVENT], {(What.ADDED, 5)}),
    ],
    ids=["changed", "removed", "truncated", "doubled", "swapped", "added"],
)
async def test_b83_tampering_is_found_and_located(
    tamper: Callable[[list[bytes]], list[bytes]], expected: set[tuple[What, int]], start: Start, tmp_path: Path
) -> None:
    recordings = start()
    await write(recordings, *"aaaa")
    recordings.close()
    file = log_of(tmp_path, "a")
    file.write_bytes(b"".join(tamper(file.read_bytes().splitlines(keepends=True))))
    assert {(what, line) for what, _, line in found(tmp_path)} == expected


async def test_b83_a_removed_session_is_found_unless_it_was_signed_for(start: Start, tmp_path: Path) -> None:
    recordings, ledger = start(), AuditLedger(tmp_path)
    await write(recordings, "a", "b", "a")
    with pytest.raises(StillWritten, match="not sealed yet"):
        remove_session(log_of(tmp_path, "a").parent, ledger)
    recordings.close()
    whole = tmp_path.with_name("copy")
    shutil.copytree(tmp_path, whole)
    assert remove_session(log_of(tmp_path, "a").parent, ledger) == 2
    assert not log_of(tmp_path, "a").parent.exists()
    assert found(tmp_path) == []
    shutil.rmtree(log_of(whole, "a").parent)
    assert found(whole) == [
        (What.MISSING, "sessions/unidentified-b/audit.jsonl", 1),
        (What.MISSING, "audit/ledger.jsonl", 3),
    ]


async def test_a_session_from_before_there_was_a_chain_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "sessions" / "old"
    folder.mkdir(parents=True)
    (folder / "audit.jsonl").write_bytes(EVENT.replace(b"2999", b"2020"))
    AuditLedger(tmp_path).check()
    assert found(tmp_path) == []
    assert remove_session(folder, AuditLedger(tmp_path)) == 0
    assert entries(tmp_path) == ["key"]


def test_a_session_without_records_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "sessions" / "empty"
    folder.mkdir(parents=True)
    assert remove_session(folder, AuditLedger(tmp_path)) == 0
    assert not folder.exists()


async def test_a_chain_that_could_not_be_opened_leaves_nothing_behind(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = start()
    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "_hold", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(RecordUnavailable, match="full"):
            await write(recordings, "a")
    await write(recordings, "a")
    recordings.close()
    assert entries(tmp_path) == ["key", "open", "open", "close"]
    assert found(tmp_path) == []
    assert notes(tmp_path) == ["unsealed tail, 0 records since last checkpoint (0); never closed"]


def test_what_is_no_state_folder_is_not_intact(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no state folder"):
        verify_state(tmp_path / "nothing")


async def test_keys_follow_each_other(start: Start, tmp_path: Path) -> None:
    ledger, recordings = AuditLedger(tmp_path), start()
    first = ledger.check()
    await write(recordings, "a")
    old, new = ledger.rotate()
    assert (old.id, new.id) == (first.id, ledger.check().id)
    await write(recordings, "a")
    recordings.close()
    assert entries(tmp_path) == ["key", "open", "key", "close"]
    assert verify_state(tmp_path, first.public).findings == []
    assert verify_state(tmp_path, new.public).findings == []
    assert verify_state(tmp_path, b"\1" * 32).findings != []
    kept = (tmp_path / "audit" / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    assert verify_state(tmp_path, kept=kept).findings == []
    (tmp_path / "audit" / "ledger.jsonl").write_bytes(b"".join(kept[:-1]))
    assert len(verify_state(tmp_path, kept=kept).findings) == 1


def test_a_rotation_that_was_cut_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = AuditLedger(tmp_path)
    ledger.check()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            AuditLedger(tmp_path).rotate()
    file = ledger.keys.file
    coming = read_key(file.with_name(file.name + NEXT))
    assert read_key(file).id != coming.id
    assert AuditLedger(tmp_path).check().id == coming.id == read_key(file).id
    make_key(file.with_name(file.name + NEXT))
    AuditLedger(tmp_path).rotate()
    assert len(verify_state(tmp_path).keys) == 2


def _gone(file: Path) -> None:
    file.unlink()


def _nothing(file: Path) -> None:
    file.write_text("nothing")


def _another(file: Path) -> None:
    file.unlink()
    make_key(file)


def _of_another_kind(file: Path) -> None:
    command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_gone, "the key that signs the audit ledger cannot be read"),
        (_nothing, "is no private key in PEM without a password"),
        (_another, "the next line of the audit ledger is for the key"),
        (_of_another_kind, "is a key, but not of Ed25519"),
    ],
)
def test_a_key_that_cannot_be_used_stops_the_start(spoil: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    ledger = AuditLedger(tmp_path)
    ledger.check()
    spoil(ledger.keys.file)
    with pytest.raises(InvalidConfiguration) as caught:
        AuditLedger(tmp_path).check()
    (problem,) = caught.value.problems
    assert problem.file == str(ledger.keys.file)
    assert why in problem.message


def test_a_key_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.key"
    key = make_key(file)
    assert AuditLedger(tmp_path / "state", file).check().id == key.id
    assert not (tmp_path / "state" / "audit" / "signing.key").exists()
    with pytest.raises(FileExistsError):
        make_key(file)
    with pytest.raises(UnusableKey):
        key_of_turn(file, "0" * 16)


def test_a_ledger_of_which_nothing_can_be_read_stops_the_start(tmp_path: Path) -> None:
    ledger = AuditLedger(tmp_path)
    ledger.check()
    ledger.file.write_bytes(b"torn")
    ledger.check()
    assert entries(tmp_path) == ["key"]
    ledger.file.write_bytes(b"nothing\nto\nread\n")
    with pytest.raises(InvalidConfiguration, match="no line of"):
        ledger.check()


def test_long_lines_of_the_ledger_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_ledger, "_TAIL_BYTES", 16)
    ledger = AuditLedger(tmp_path)
    ledger.check()
    ledger.rotate()
    ledger.rotate()
    assert verify_state(tmp_path).findings == []
    assert entries(tmp_path) == ["key"] * 3


WRITER = """
import asyncio, os, sys, time
from pathlib import Path
from addons.edge import audit_log
from addons.edge.audit_ledger import AuditLedger
from addons.edge.recordings import Recordings
state, worker, audit_log.CHECKPOINT_SECONDS = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
recordings = Recordings(state, worker, time.time(), AuditLedger(state))
EVENT = b'{"stageTimestamp":"2999-01-01T00:00:00.000000Z","annotations":{"id":"%s"}}\\n'
async def main():
    async def client(name):
        folder = recordings.folder(None, "c%d" % (int(name[-1:]) % 3))
        number = 0
        while True:
            number += 1
            key = b"%s-%d" % (name, number)
            await recordings.commit(folder, EVENT % key)
            os.write(1, key + b"\\n")
            recordings.log(folder, EVENT % (key + b"-end"), lambda fault: None)
            await asyncio.sleep(0.002)  # else the log is so long, on a fast disk, that verifying it takes minutes
    await asyncio.gather(*(client(b"%d-%d" % (os.getpid(), index)) for index in range(5)))
asyncio.run(main())
"""


def _killed_after(state: Path, seconds: float, checkpoints: float) -> set[bytes]:
    """What two workers said was on record before they were killed; with a checkpoint every so many seconds."""
    said = [state / f"said-{name}" for name in "01"]
    for file in said:
        file.write_bytes(b"")
    # Not to a pipe: whoever has to wait for its reader writes nothing, and all that was written gets sealed.
    workers = [start_worker(WRITER, state, file.name, str(checkpoints), output=file) for file in said]
    while not all(file.stat().st_size for file in said):
        assert all(worker.is_alive() for worker in workers)
        time.sleep(0.005)
    time.sleep(seconds)
    assert verify_state(state).findings == [], "verified while it is written to"
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()
    return {line for file in said for line in file.read_bytes().split(b"\n")[:-1]}


def test_b41_workers_that_are_killed_lose_nothing_and_break_no_chain(start: Start, tmp_path: Path) -> None:
    promised: set[bytes] = set()
    for turn in range(10):
        promised |= _killed_after(tmp_path, 0.02 * turn, checkpoints=60 if turn % 2 else 0.05)
        report: Report = verify_state(tmp_path)
        assert report.findings == []
        assert all(note.what in (What.UNSEALED, What.TORN, What.BELIEVED) for note in report.notes)
    written, last = set(), Counter[str]()
    for file in tmp_path.glob("sessions/*/audit.jsonl"):
        for line in file.read_bytes().splitlines(keepends=True):
            if (link := read_link(line, file.parent.name)) is not None:
                written.add(json.loads(line)["annotations"]["id"].encode())
                last[link.chain] = max(last[link.chain], link.sequence)
    assert len(promised) > 100
    assert promised <= written
    asyncio.run(write(start(), "next"))
    signed = {entry.fields["chain"]: entry for entry in ledger(tmp_path) if entry.kind is not EntryKind.KEY}
    assert {chain: signed[chain].head.sequence for chain in last} == last
    found = [chain for chain in last if signed[chain].kind is EntryKind.FOUND]
    assert len(last) == 20
    assert len(found) >= 10, "those without a checkpoint"
