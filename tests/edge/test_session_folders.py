"""A session whose log has grown large goes on in another folder: in one chain, found, locked and removed as ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from addons.core.identity import Identity
from addons.core.session import Session
from addons.edge import recordings as edge_recordings
from addons.edge import session_folders
from addons.edge.archive import session, sessions
from addons.edge.audit_check import remove_session, verify_state
from addons.edge.audit_ledger import AuditLedger
from addons.edge.recordings import Recordings
from addons.edge.session_folders import current, folder_of, session_of

IDENTITY = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=1)
SESSION = Session(id="5e551011", identity=IDENTITY, connection="prod", started_at=5.0)
EVENT = b'{"stageTimestamp":"2999-01-01T00:00:00.000000Z","annotations":{"n":"%s"}}\n' % (b"x" * 100)


@pytest.mark.parametrize(
    ("folder", "whole"),
    [
        ("5e551011", "5e551011"),
        ("5e551011.part2", "5e551011"),
        ("5e551011.part20", "5e551011"),
        ("unidentified-prod.eu.part3", "unidentified-prod.eu"),
        ("unidentified-prod.eu", "unidentified-prod.eu"),
        (".part2", ".part2"),
        ("a.part", "a.part"),
        ("a.part2.b", "a.part2.b"),
    ],
)
def test_whose_folder_it_is(folder: str, whole: str) -> None:
    assert session_of(folder) == whole


@pytest.mark.parametrize("number", [1, 2, 17])
def test_a_part_is_of_its_session(number: int) -> None:
    assert session_of(folder_of("5e551011", number)) == "5e551011"


def test_the_folder_that_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_folders, "ROLL_BYTES", 10)
    assert current(tmp_path, "s") == "s"
    for number, size, now in (
        (1, 9, "s"),
        (1, 10, "s.part2"),
        (2, 9, "s.part2"),
        (2, 11, "s.part3"),
        (3, 0, "s.part3"),
    ):
        folder = tmp_path / folder_of("s", number)
        folder.mkdir(exist_ok=True)
        (folder / "audit.jsonl").write_bytes(b"x" * size)
        assert current(tmp_path, "s") == now
    assert current(tmp_path, "other") == "other"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is full with some twenty events, and workers look after each."""
    monkeypatch.setattr(session_folders, "ROLL_BYTES", 20 * len(EVENT))
    monkeypatch.setattr(edge_recordings, "_LOOK_AGAIN_BYTES", 1)


async def write(recordings: Recordings, count: int) -> None:
    for number in range(count):
        recordings.log(recordings.folder(SESSION, "prod"), EVENT, lambda fault: None)
        if number % 5 == 4:
            await recordings.commit(recordings.folder(SESSION, "prod"), EVENT)


async def test_two_workers_roll_on_in_unbroken_chains(tmp_path: Path, small: None) -> None:
    workers = [Recordings(tmp_path, name, 1.0, AuditLedger(tmp_path)) for name in "01"]
    for _ in range(10):
        for worker in workers:
            await write(worker, 5)
    for worker in workers:
        worker.close()
    names = sorted(path.name for path in (tmp_path / "sessions").iterdir())
    assert names[0] == "5e551011" and len(names) >= 3
    assert names == sorted(folder_of("5e551011", number) for number in range(1, len(names) + 1))
    report = verify_state(tmp_path)
    assert (report.findings, report.records) == ([], 120)
    about = json.loads((tmp_path / "sessions" / "5e551011.part2" / "session.json").read_text())
    assert (about["id"], about["session"], about["identity"]["sub"]) == ("5e551011.part2", "5e551011", "agent")
    assert {stored.session for stored in sessions(tmp_path)} == {"5e551011"}
    assert session(tmp_path, "5e551011").id == "5e551011", "not another that begins like it"


async def test_parts_that_are_over_can_be_removed_while_the_session_goes_on(tmp_path: Path, small: None) -> None:
    recordings, ledger = Recordings(tmp_path, "0", 1.0, AuditLedger(tmp_path)), AuditLedger(tmp_path)
    await write(recordings, 100)
    recordings.close()
    again = Recordings(tmp_path, "0", 2.0, ledger)
    await write(again, 5)
    first = tmp_path / "sessions" / "5e551011"
    assert remove_session(first, ledger) >= 5
    await write(again, 5)
    again.close()
    assert not first.exists()
    assert verify_state(tmp_path).findings == []


async def test_what_has_begun_stays_in_its_folder(tmp_path: Path, small: None) -> None:
    recordings = Recordings(tmp_path, "0", 1.0, AuditLedger(tmp_path))
    begun = recordings.folder(SESSION, "prod")
    await write(recordings, 60)
    recordings.tape(begun, "exec-1.cast", b"cast", lambda fault: None)
    await recordings.commit(begun, EVENT)
    recordings.close()
    assert (tmp_path / "sessions" / "5e551011" / "exec-1.cast").read_bytes() == b"cast"
    assert verify_state(tmp_path).findings == []
