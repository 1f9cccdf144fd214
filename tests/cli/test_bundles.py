"""Sessions exported, verified without the state folder, and opened."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mitmproxy.test import tflow

from addons.cli import audit
from addons.cli.bundles import export, open_session
from addons.edge.archive import UnknownSession
from addons.edge.audit_check import StillWritten
from addons.edge.audit_ledger import AuditLedger
from addons.edge.bundle_read import UnfitBundle
from addons.edge.flow_file import FlowEncoder
from addons.edge.recordings import Recordings
from tests.support.viewer import command_viewer

A = "unidentified-a"


def event(number: int, stage: str = "ResponseComplete") -> bytes:
    about = {"auditID": str(number), "stage": stage, "stageTimestamp": "2999-01-01T00:00:00.000000Z", "annotations": {}}
    return json.dumps(about, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A gateway that was stopped after four records of two sessions."""
    file, state = tmp_path / "mitm.conf", tmp_path / "state"
    file.write_text("state: state\naudit_key: audit.key\n")

    async def work() -> None:
        recordings = Recordings(state, "0", time.time(), AuditLedger(state, tmp_path / "audit.key"))
        for number, connection in enumerate("aaba"):
            await recordings.commit(recordings.folder(None, connection), event(number))
        recordings.close()

    asyncio.run(work())
    return file


@pytest.fixture
def public(conf: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    audit.key(conf=conf)
    file = conf.with_name("audit.pem")
    file.write_text(capsys.readouterr().out)
    return file


def folder_of(conf: Path, session: str = A) -> Path:
    return conf.parent / "state" / "sessions" / session


def test_an_export_is_verified_on_a_machine_that_has_nothing_else(
    conf: Path, public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "b.tar.gz"
    assert export(A, "unidentified-b", to=bundle, conf=conf) == 0
    assert bundle.stat().st_mode & 0o777 == 0o600
    assert f"{bundle}: {bundle.stat().st_size} bytes, signed by " in capsys.readouterr().out
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    conf.rename(tmp_path / "gone")
    assert audit.verify(bundle, public_key=public) == 0
    told = capsys.readouterr().out
    assert f"proven: {A}: 3 records, each as it was hashed" in told
    assert "proven: unidentified-b: 1 of them lie below a signed checkpoint" in told
    assert "not proven: That the sessions were whole" in told
    assert told.endswith(": intact\n")
    assert audit.verify(bundle, output="json") == 0
    assert [note["what"] for note in json.loads(capsys.readouterr().out)["notes"]] == ["believed"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_was_changed_before_the_export_is_told_at_once(
    conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder_of(conf) / "audit.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"auditID":"1"', b'"auditID":"9"'))
    assert export(A, to=tmp_path / "b.tar.gz", conf=conf) == 1
    assert "FOUND: sessions/unidentified-a/audit.jsonl:2 [0-" in capsys.readouterr().out


def test_a_key_that_was_handed_over_is_trusted_and_no_other(conf: Path, public: Path, tmp_path: Path) -> None:
    audit.rotate_key(conf=conf)
    export(A, to=tmp_path / "b.tar.gz", conf=conf)
    assert audit.verify(tmp_path / "b.tar.gz", public_key=public) == 0
    other = tmp_path / "other" / "mitm.conf"
    other.parent.mkdir()
    other.write_text("state: state\n")
    AuditLedger(tmp_path / "other" / "state").check()
    (tmp_path / "other.pem").write_text(AuditLedger(tmp_path / "other" / "state").check().public_pem)
    assert audit.verify(tmp_path / "b.tar.gz", public_key=tmp_path / "other.pem") == 1


async def write(conf: Path, *stages: str) -> Recordings:
    """A worker that runs, and has recorded these stages of a call."""
    state = conf.parent / "state"
    recordings = Recordings(state, "1", time.time(), AuditLedger(state, conf.parent / "audit.key"))
    for stage in stages:
        await recordings.commit(recordings.folder(None, "c"), event(7, stage))
    return recordings


@pytest.mark.parametrize("stages", [["RequestReceived"], ["RequestReceived", "ResponseComplete"]])
def test_what_is_written_to_is_refused_or_said_to_be(
    stages: list[str], conf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(asyncio.run(write(conf, *stages))):
        bundle = tmp_path / "b.tar.gz"
        with pytest.raises(StillWritten, match="still written to: unidentified-c"):
            export("unidentified-c", to=bundle, conf=conf)
        assert not bundle.exists()
        assert list(tmp_path.glob(".b*")) == []
        assert export("unidentified-c", to=bundle, running=True, conf=conf) == 0
        assert "not proven: unidentified-c: still written to when exported" in capsys.readouterr().out
        assert export(A, to=tmp_path / "a.tar.gz", conf=conf) == 0, "what is over is not refused"
        with pytest.raises(FileExistsError):
            export(A, to=bundle, conf=conf)


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, Path.mkdir], ids=["a link", "a pipe", "a folder"]
)
def test_what_is_no_plain_file_is_not_read(make: Callable[[Path], None], conf: Path, tmp_path: Path) -> None:
    make(folder_of(conf) / "exec-1.cast")
    with pytest.raises(OSError, match=r"exec-1\.cast"):
        export(A, to=tmp_path / "b.tar.gz", conf=conf)


@pytest.fixture
def flows(conf: Path) -> Iterator[list[str]]:
    """Comments of the flows of a session."""
    file = folder_of(conf) / "flows-0-1.mitm"
    encoder = FlowEncoder()
    file.write_bytes(b"".join(encoder.encode(tflow.tflow(resp=True), b"", b"{}", {}, text, "") for text in "xy"))
    yield ["x", "y"]


def test_flows_are_opened_from_the_evidence_and_from_a_bundle(
    conf: Path, flows: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, private = tmp_path / "b.tar.gz", tmp_path / "private"
    private.mkdir()
    monkeypatch.setenv("TMPDIR", str(private))
    export(A, to=bundle, conf=conf)
    for what in (A, str(bundle)):
        with command_viewer("sessions", "open", what, "--port", "0", conf=conf) as web:
            web.await_comments(flows)
            assert [path.stat().st_mode & 0o777 for path in private.iterdir()] == [0o700]
            assert web.end() == 0
        assert list(private.iterdir()) == [], "nothing of it stays"


def test_only_the_names_are_printed(
    conf: Path, flows: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_session(A, print_only=True, conf=conf)
    assert capsys.readouterr().out == f"{folder_of(conf) / 'flows-0-1.mitm'}\n"
    with pytest.raises(UnknownSession, match="unidentified-b has no flow file yet"):
        open_session("unidentified-b", conf=conf)


def test_a_bundle_that_was_changed_is_not_opened(conf: Path, flows: list[str], tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar.gz"
    export(A, to=bundle, conf=conf)
    bundle.write_bytes(bundle.read_bytes()[:-40])
    with pytest.raises(UnfitBundle, match="not opened"):
        open_session(str(bundle), print_only=True)
