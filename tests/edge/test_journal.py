"""What was committed is on disk; what is not on disk was not committed (B-41)."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.edge import journal as edge_journal
from addons.edge import journal_files
from addons.edge.durable import Folder
from addons.edge.journal import Entry, Journal, RecordUnavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def journal() -> Iterator[Journal]:
    made = Journal()
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "state" / "sessions" / "s", b'{"id":"s"}\n')


async def test_folder_and_files_are_private(journal: Journal, folder: Folder) -> None:
    await journal.commit(Entry(folder, "audit.jsonl", b"one\n", shared=True))
    assert {path.name for path in folder.path.iterdir()} == {"session.json", "audit.jsonl"}
    assert (folder.path / "session.json").read_bytes() == folder.description
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.path, folder.path.parent)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}


async def test_order_is_kept_across_kinds_of_entries(journal: Journal, folder: Folder) -> None:
    for number in range(50):
        journal.submit(Entry(folder, "a", b"%d\n" % number))
    await journal.commit(Entry(folder, "a", b"last\n"))
    assert (folder.path / "a").read_bytes() == b"".join(b"%d\n" % number for number in range(50)) + b"last\n"


async def test_concurrent_commits_share_a_sync(
    journal: Journal, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await journal.commit(Entry(folder, "a", b""))
    synced = []

    def slow_sync(descriptor: int) -> None:
        time.sleep(0.02)
        synced.append(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    await asyncio.gather(*(journal.commit(Entry(folder, "a", b"x")) for _ in range(100)))
    assert 1 <= len(synced) <= 3
    assert (folder.path / "a").stat().st_size == 100


async def test_what_nobody_waits_for_is_not_synced(
    journal: Journal, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    journal.submit(Entry(folder, "flows", b"x"))
    journal.close()
    assert synced == []
    assert (folder.path / "flows").read_bytes() == b"x"


async def test_a_torn_last_line_is_ended_first(journal: Journal, folder: Folder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "audit.jsonl").write_bytes(b'{"torn')
    await journal.commit(Entry(folder, "audit.jsonl", b"{}\n", shared=True))
    assert (folder.path / "audit.jsonl").read_bytes() == b'{"torn\n{}\n'


async def test_a_failed_sync_is_a_failed_commit(
    journal: Journal, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "disk on fire")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(RecordUnavailable, match="cannot record in a: disk on fire"):
            await journal.commit(Entry(folder, "a", b"x\n"))
    await journal.commit(Entry(folder, "a", b"y\n"))


async def test_one_broken_file_does_not_fail_another(journal: Journal, folder: Folder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "bad").mkdir()
    results = await asyncio.gather(
        journal.commit(Entry(folder, "bad", b"x")), journal.commit(Entry(folder, "good", b"x")), return_exceptions=True
    )
    assert isinstance(results[0], RecordUnavailable)
    assert results[1] is None


async def test_what_comes_before_is_written_first_and_not_synced(
    journal: Journal, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fdatasync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
    )
    before = [Entry(folder, "early", b"%d\n" % number, shared=True) for number in range(20)]
    await asyncio.gather(*(journal.commit(Entry(folder, "a", entry.data, before=entry)) for entry in before))
    assert (folder.path / "early").read_bytes() == (folder.path / "a").read_bytes()
    assert set(synced) == {"a"}


async def test_without_what_comes_before_there_is_no_commit(journal: Journal, folder: Folder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "early").mkdir()
    results = await asyncio.gather(
        journal.commit(Entry(folder, "a", b"one\n", before=Entry(folder, "early", b"x\n"))),
        journal.commit(Entry(folder, "a", b"two\n")),
        journal.commit(Entry(folder, "a", b"three\n", before=Entry(folder, "other", b"x\n"))),
        return_exceptions=True,
    )
    assert isinstance(results[0], RecordUnavailable)
    assert str(results[0]).endswith("cannot record in early: Is a directory")
    assert results[1] is results[2] is None
    assert (folder.path / "a").read_bytes() == b"two\nthree\n"


async def test_what_comes_before_counts_towards_the_limit(folder: Folder) -> None:
    journal = Journal(max_queued_bytes=10)
    with pytest.raises(RecordUnavailable, match="too much waits"):
        await journal.commit(Entry(folder, "a", b"12345", before=Entry(folder, "early", b"123456")))
    await journal.commit(Entry(folder, "a", b"12345", before=Entry(folder, "early", b"12345")))
    await journal.commit(Entry(folder, "a", b"12345", before=Entry(folder, "early", b"12345")))
    journal.close()


async def test_a_link_is_not_followed(journal: Journal, folder: Folder, tmp_path: Path) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordUnavailable):
        await journal.commit(Entry(folder, "audit.jsonl", b"x"))
    assert not (tmp_path / "elsewhere").exists()


async def test_errors_of_queued_entries_are_told(journal: Journal, folder: Folder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "cast").mkdir()
    told: asyncio.Future[RecordUnavailable] = asyncio.get_running_loop().create_future()
    journal.submit(Entry(folder, "cast", b"x", on_error=told.set_result))
    assert isinstance(await told, RecordUnavailable)


async def test_the_queue_is_bounded(folder: Folder) -> None:
    journal = Journal(max_queued_bytes=10)
    journal.submit(Entry(folder, "a", b"123456"))
    with pytest.raises(RecordUnavailable, match="too much waits"):
        journal.submit(Entry(folder, "a", b"78901"))
    await journal.commit(Entry(folder, "a", b""))
    await journal.commit(Entry(folder, "a", b"78901"))
    journal.close()


async def test_relief_comes_when_the_disk_has_caught_up(
    journal: Journal, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_journal, "PRESSURE_BYTES", 5)
    await journal.relieved()
    journal.submit(Entry(folder, "a", b"1234567"))
    assert journal.pressed
    await journal.relieved()
    assert not journal.pressed


async def test_a_closed_journal_refuses(folder: Folder) -> None:
    journal = Journal()
    await journal.commit(Entry(folder, "a", b"x"))
    journal.close()
    with pytest.raises(RecordUnavailable, match="closed"):
        await journal.commit(Entry(folder, "a", b"x"))


async def test_a_broken_writer_leaves_nobody_waiting(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal()

    def bug(*_: object) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(journal, "_write", bug)
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    results = await asyncio.gather(
        *(journal.commit(Entry(folder, "a", b"x")) for _ in range(5)), return_exceptions=True
    )
    assert {type(result) for result in results} == {RecordUnavailable}
    with pytest.raises(RecordUnavailable):
        await journal.commit(Entry(folder, "a", b"x"))
    journal.close()


async def test_a_cancelled_caller_does_no_harm(journal: Journal, folder: Folder) -> None:
    waiting = asyncio.create_task(journal.commit(Entry(folder, "a", b"x")))
    await asyncio.sleep(0)
    waiting.cancel()
    await journal.commit(Entry(folder, "a", b"y"))
    assert (folder.path / "a").read_bytes() == b"xy"


async def test_few_files_stay_open(journal: Journal, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_files, "MAX_OPEN_FILES", 2)
    for _ in range(2):
        for name in "abcd":
            await journal.commit(Entry(folder, name, b"x"))
    assert {(folder.path / name).read_bytes() for name in "abcd"} == {b"xx"}
    assert len(journal._files._open) == 2


COMMON = """
import asyncio, os, resource, sys
from pathlib import Path
from addons.edge.durable import Folder
from addons.edge.journal import Entry, Journal, RecordUnavailable
folder = Folder(Path(sys.argv[1]), b"{}")
journal = Journal()
"""
WRITER = (
    COMMON
    + """
async def main():
    async def client(name):
        number = 0
        while True:
            number += 1
            await journal.commit(Entry(folder, "audit.jsonl", b"%s-%d\\n" % (name, number), shared=True))
            os.write(1, b"%s-%d\\n" % (name, number))
    await asyncio.gather(*(client(b"%d-%d" % (os.getpid(), index)) for index in range(5)))
asyncio.run(main())
"""
)


def test_b41_killed_workers_lose_nothing_they_committed(folder: Folder) -> None:
    command = [sys.executable, "-c", WRITER, str(folder.path)]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    promised = [worker.stdout.readline() for worker in workers if worker.stdout is not None]
    time.sleep(1)
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    promised += [line for worker in workers for line in worker.communicate()[0].splitlines(keepends=True)]
    written = (folder.path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    assert len(promised) > 50
    assert {line for line in promised if line.endswith(b"\n")} <= set(written)
    assert len(written) == len(set(written))
    assert {line.split(b"-")[0] for line in written} == {b"%d" % worker.pid for worker in workers}


FULL = (
    COMMON
    + """
async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    outcomes = []
    for number in range(8):
        try:
            await journal.commit(Entry(folder, "audit.jsonl", b"x" * 299 + b"\\n", shared=True))
            outcomes.append("ok")
        except RecordUnavailable as error:
            outcomes.append("refused")
    await journal.commit(Entry(folder, "small", b"room\\n"))
    print(*outcomes)
asyncio.run(main())
"""
)


def test_b41_a_full_disk_refuses_and_tears_no_line(folder: Folder) -> None:
    command = [sys.executable, "-c", FULL, str(folder.path)]
    result = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
    assert result.stdout.split() == [b"ok"] * 3 + [b"refused"] * 5
    assert (folder.path / "audit.jsonl").read_bytes() == (b"x" * 299 + b"\n") * 3
