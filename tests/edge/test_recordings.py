"""Where the evidence of whom is."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.core.audit_chain import read_link
from addons.core.identity import Identity
from addons.core.session import Session
from addons.edge import recordings as edge_recordings
from addons.edge.audit_ledger import AuditLedger
from addons.edge.journal import RecordUnavailable
from addons.edge.recordings import Recordings, cast_name, forward_name

IDENTITY = Identity(iss="https://idp", sub="agent", aud=("gw",), exp=1, groups=("g",), owner="bob")
EVENT = b'{"annotations":{}}\n'
SESSION = Session(id="5e551011", identity=IDENTITY, connection="prod", started_at=5.0, intent="INC-1")


@pytest.fixture
def recordings(tmp_path: Path) -> Iterator[Recordings]:
    made = Recordings(tmp_path, "w0", 1_763_929_000.25, AuditLedger(tmp_path))
    yield made
    made.close()


def _unexpected(fault: RecordUnavailable) -> None:
    raise fault


async def test_one_folder_per_session(recordings: Recordings, tmp_path: Path) -> None:
    folder = recordings.folder(SESSION, "prod")
    await recordings.commit(folder, EVENT)
    recordings.log(folder, EVENT, _unexpected)
    recordings.flow(folder, b"flow", _unexpected)
    recordings.tape(folder, cast_name("abc"), b"cast", _unexpected)
    recordings.tape(folder, forward_name("abc"), b"forward", _unexpected)
    recordings.close()
    files = {path.name: path.read_bytes() for path in (tmp_path / "sessions" / "5e551011").iterdir()}
    about = json.loads(files.pop("session.json"))
    records = files.pop("audit.jsonl").splitlines(keepends=True)
    links = [read_link(record, "5e551011") for record in records]
    assert [(link.sequence, link.genuine) for link in links if link is not None] == [(1, True), (2, True)]
    assert files == {
        "flows-w0-20251123T201640250.mitm": b"flow",
        "exec-abc.cast": b"cast",
        "forward-abc.jsonl": b"forward",
    }
    assert about == {
        "id": "5e551011",
        "connection": "prod",
        "identity": {"iss": "https://idp", "sub": "agent", "act": "", "owner": "bob", "groups": ["g"]},
        "started_at": 5.0,
        "intent": "INC-1",
    }


@pytest.mark.parametrize(("connection", "name"), [("prod", "unidentified-prod"), ("", "unidentified-none")])
async def test_unidentified_callers(recordings: Recordings, tmp_path: Path, connection: str, name: str) -> None:
    await recordings.commit(recordings.folder(None, connection), EVENT)
    assert json.loads((tmp_path / "sessions" / name / "session.json").read_bytes())["id"] == name


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 101, "a\x00"])
def test_names_cannot_leave_the_folder(name: str, tmp_path: Path) -> None:
    session = Session(id=name, identity=IDENTITY, connection="prod", started_at=0)
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        Recordings(tmp_path, "w0", 0, AuditLedger(tmp_path)).folder(session, "prod")
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        cast_name(f"{name}/")


def test_known_folders_are_bounded(recordings: Recordings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_recordings, "_MAX_KNOWN_FOLDERS", 2)
    first = recordings.folder(None, "a")
    assert recordings.folder(None, "a") is first
    recordings.folder(None, "b")
    recordings.folder(None, "c")
    assert recordings.folder(None, "a").path == first.path


async def test_pressure_is_the_journals(recordings: Recordings) -> None:
    assert not recordings.pressed
    await recordings.relieved()


async def test_whether_something_can_be_recorded_is_tried(recordings: Recordings, tmp_path: Path) -> None:
    await recordings.check()
    assert recordings.alive
    assert os.listdir(tmp_path) == [], "it leaves nothing behind"  # noqa: PTH208 - in a coroutine
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(RecordUnavailable, match="cannot be written: File too large"):
            await recordings.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    recordings.close()
    assert not recordings.alive
    with pytest.raises(RecordUnavailable, match="has stopped"):
        await recordings.check()
