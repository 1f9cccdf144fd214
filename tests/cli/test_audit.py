"""The commands about the audit log."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from addons.cli import audit as command
from addons.edge.audit_ledger import AuditLedger
from addons.edge.recordings import Recordings

EVENT = b'{"stageTimestamp":"2999-01-01T00:00:00.000000Z","annotations":{}}\n'


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A gateway that was stopped after three records of two sessions."""
    file, state = tmp_path / "mitm.conf", tmp_path / "state"
    file.write_text("state: state\naudit_key: audit.key\n")

    async def work() -> None:
        recordings = Recordings(state, "0", time.time(), AuditLedger(state, tmp_path / "audit.key"))
        for connection in "aab":
            await recordings.commit(recordings.folder(None, connection), EVENT)
        recordings.close()

    asyncio.run(work())
    return file


def log_of(conf: Path, connection: str) -> Path:
    return conf.parent / "state" / "sessions" / f"unidentified-{connection}" / "audit.jsonl"


def test_what_was_not_touched_is_intact(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.key(conf=conf)
    public = conf.with_name("audit.pem")
    public.write_text(capsys.readouterr().out)
    assert public.read_text().startswith("-----BEGIN PUBLIC KEY-----\n")
    command.key(conf=conf, output="json")
    known = json.loads(capsys.readouterr().out)
    assert known["public_key"].strip() == public.read_text().strip()
    assert command.verify(public_key=public, conf=conf) == 0
    assert capsys.readouterr().out == (
        f"3 records in 2 files, 1 chains, 3 lines of the ledger signed by {known['id']}: intact\n"
    )
    assert command.verify(conf.parent / "state", output="json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["intact"], told["records"], [note["what"] for note in told["notes"]]) == (True, 3, ["believed"])


def test_what_was_changed_is_told(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = log_of(conf, "a")
    file.write_bytes(file.read_bytes().replace(b"2999", b"1999", 1))
    assert command.verify(conf=conf) == 1
    shown = capsys.readouterr().out
    assert "FOUND: sessions/unidentified-a/audit.jsonl:1 [0-" in shown
    assert " #1] changed: the record is not as it was written\n" in shown
    assert shown.endswith(": 1 finding(s)\n")
    assert command.verify(conf=conf, output="json") == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["what"], finding["line"], finding["sequence"]) == ("changed", 1, 1)


def test_a_session_is_removed_with_a_signature_or_missed(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log_of(conf, "b").parent / "flows-1.mitm").write_bytes(b"x")
    command.remove("unidentified-b", conf=conf)
    assert capsys.readouterr().out == "removed unidentified-b: 1 records\n"
    assert command.verify(conf=conf) == 0
    shutil.rmtree(log_of(conf, "a").parent)
    assert command.verify(conf=conf) == 1
    assert "records 1 to 2 missing before this" in capsys.readouterr().out


def test_the_key_is_changed_and_the_old_one_still_trusted(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.key(conf=conf)
    old = conf.with_name("old.pem")
    old.write_text(capsys.readouterr().out)
    kept = conf.with_name("ledger.jsonl")
    shutil.copy(conf.parent / "state" / "audit" / "ledger.jsonl", kept)
    command.rotate_key(conf=conf)
    assert " handed over to " in capsys.readouterr().out
    command.key(conf=conf)
    assert capsys.readouterr().out != old.read_text()
    assert command.verify(public_key=old, ledger_copy=kept, conf=conf) == 0
    (conf.parent / "state" / "audit" / "ledger.jsonl").write_bytes(kept.read_bytes().splitlines(keepends=True)[0])
    capsys.readouterr()
    assert command.verify(public_key=old, ledger_copy=kept, conf=conf) == 1
    assert "line 3 of the copy that was kept is not here" in capsys.readouterr().out


def test_a_key_of_another_kind_is_not_trusted(conf: Path) -> None:
    public = conf.with_name("public.pem")
    public.write_text("no key")
    with pytest.raises(ValueError, match="PEM"):
        command.verify(public_key=public, conf=conf)
