"""Bundles of real files: written as they are, and nothing that is done to one is taken for the original."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.audit_report import What
from addons.core.bundle import END, MANIFEST, SIGNATURE, header, padding
from addons.edge import bundle_write
from addons.edge.audit_check import StillWritten
from addons.edge.audit_key import SigningKey
from addons.edge.audit_ledger import AuditLedger
from addons.edge.bundle_read import UnfitBundle, unpack_flows, verify_bundle
from addons.edge.bundle_write import export
from addons.edge.recordings import Recordings

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a gateway that was stopped: sessions a and b, with a file of every kind."""
    state = tmp_path_factory.mktemp("gateway") / "state"

    async def work() -> None:
        recordings = Recordings(state, "0", time.time(), AuditLedger(state))
        for number, name in enumerate("aabaab"):
            event = {"auditID": str(number), "stage": "ResponseComplete", "annotations": {"n": "x" * number}}
            await recordings.commit(recordings.folder(None, name), orjson.dumps(event) + b"\n", b"{}\n")
        for name in "ab":
            recordings.flow(recordings.folder(None, name), b"4:flow,", lambda fault: None)
            recordings.tape(recordings.folder(None, name), "exec-1.cast", b"[]\n" * 200, lambda fault: None)
        recordings.close()

    asyncio.run(work())
    (folder(state, "a") / "forward-1.jsonl").write_bytes(b"")
    (folder(state, "a") / ".session.json.1.1").write_bytes(b"half")
    return state


def folder(state: Path, name: str) -> Path:
    return state / "sessions" / f"unidentified-{name}"


@pytest.fixture(scope="module")
def bundle(state: Path) -> Path:
    file = state.parent / "bundle.tar.gz"
    export([folder(state, name) for name in "ba"], AuditLedger(state), file, False, 1.0)
    return file


@pytest.fixture(scope="module")
def key(state: Path) -> SigningKey:
    return AuditLedger(state).check()


@pytest.fixture(scope="module")
def files(bundle: Path) -> Files:
    return unpacked(bundle)


def unpacked(bundle: Path) -> Files:
    with tarfile.open(bundle) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def packed(files: Files) -> bytes:
    parts = [header(path, len(data)) + data + bytes(padding(len(data))) for path, data in files.items()]
    return gzip.compress(b"".join(parts) + END, 1)


def found(content: bytes, tmp_path: Path, trusted: bytes | None = None) -> set[What]:
    file = tmp_path / "other.tar.gz"
    file.write_bytes(content)
    return {finding.what for finding in verify_bundle(file, trusted).findings}


def test_a_bundle_holds_what_the_folders_hold(state: Path, files: Files, bundle: Path, key: SigningKey) -> None:
    for name in "ab":
        for path in folder(state, name).glob("[!.]*"):
            assert files.pop(f"sessions/unidentified-{name}/{path.name}") == path.read_bytes()
    assert list(files) == [MANIFEST, SIGNATURE, "audit/ledger.jsonl"]
    report = verify_bundle(bundle, key.public)
    assert (report.findings, report.notes, report.records, report.chains) == ([], [], 6, 1)
    assert bundle.stat().st_mode & 0o777 == 0o600


def test_the_same_bundle_is_the_same_bytes(state: Path, bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.gz"
    for name in "ab":
        for path in folder(state, name).iterdir():
            os.utime(path)
    export([folder(state, name) for name in "abb"], AuditLedger(state), again, False, 1.0)
    assert again.read_bytes() == bundle.read_bytes()


def test_the_files_packed_again_are_the_bundle(bundle: Path, key: SigningKey, tmp_path: Path) -> None:
    """What the tests below change is otherwise intact."""
    assert found(packed(unpacked(bundle)), tmp_path, key.public) == set()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_one_byte_of_any_file_that_is_changed_is_found(
    data: st.DataObject, bundle: Path, key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = unpacked(bundle)
    path = data.draw(st.sampled_from([path for path, content in changed.items() if content]))
    place = data.draw(st.integers(0, len(changed[path]) - 1))
    content = bytearray(changed[path])
    content[place] ^= data.draw(st.integers(1, 255))
    changed[path] = bytes(content)
    for trusted in (key.public, None):
        assert found(packed(changed), tmp_path_factory.getbasetemp(), trusted)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_one_byte_of_the_archive_that_is_changed_is_found(
    data: st.DataObject, bundle: Path, key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Headers and padding included."""
    content = bytearray(gzip.decompress(bundle.read_bytes()))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert found(gzip.compress(content, 1), tmp_path_factory.getbasetemp(), key.public)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_bundle_that_is_cut_off_is_found(
    data: st.DataObject, bundle: Path, key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bundle.read_bytes()
    assert found(content[: data.draw(st.integers(0, len(content) - 1))], tmp_path_factory.getbasetemp(), key.public)


def without(path: str) -> Callable[[Files], Files]:
    return lambda files: {name: data for name, data in files.items() if name != path}


AUDIT = "sessions/unidentified-a/audit.jsonl"
CAST = "sessions/unidentified-b/exec-1.cast"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without(CAST), {What.MISSING}),
        (without("audit/ledger.jsonl"), {What.MISSING, What.LEDGER, What.MANIFEST, What.KEY}),
        (without(MANIFEST), {What.ARCHIVE}),
        (without(SIGNATURE), {What.ARCHIVE}),
        (lambda files: {**files, "sessions/unidentified-a/more": b"1"}, {What.ADDED}),
        (lambda files: {**files, CAST: files[CAST] + b"x"}, {What.CHANGED}),
        (lambda files: {**files, AUDIT: files[AUDIT][:-1] + b" "}, {What.CHANGED, What.MANIFEST}),
        (lambda files: {**files, SIGNATURE: b""}, {What.MANIFEST}),
        (lambda files: {**files, MANIFEST: b"{}"}, {What.MANIFEST}),
        (lambda files: {**files, MANIFEST: files[MANIFEST].replace(b'"running": false', b'"running": true')},
         {What.MANIFEST}),
    ],
)  # fmt: skip
def test_files_that_are_not_those_of_the_manifest_are_found(
    change: Callable[[Files], Files], expected: set[What], bundle: Path, key: SigningKey, tmp_path: Path
) -> None:
    assert found(packed(change(unpacked(bundle))), tmp_path, key.public) == expected


def test_a_record_that_was_changed_is_found_with_its_line_even_if_the_manifest_was_written_anew(
    bundle: Path, key: SigningKey, tmp_path: Path
) -> None:
    changed = unpacked(bundle)
    before = changed[AUDIT]
    changed[AUDIT] = before.replace(b'"auditID":"1"', b'"auditID":"9"')
    then, now = (sha256(content).hexdigest().encode() for content in (before, changed[AUDIT]))
    changed[MANIFEST] = changed[MANIFEST].replace(then, now)
    changed[SIGNATURE] = SigningKey(Ed25519PrivateKey.generate()).sign(changed[MANIFEST])
    file = tmp_path / "b.tar.gz"
    file.write_bytes(packed(changed))
    findings = verify_bundle(file, key.public).findings
    assert [(each.what, each.file, each.line) for each in findings] == [
        (What.CHANGED, AUDIT, 2), (What.MANIFEST, MANIFEST, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sessions/unidentified-a/link", tarfile.SYMTYPE),
        ("sessions/unidentified-a/link", tarfile.LNKTYPE),
        ("sessions/unidentified-a/null", tarfile.CHRTYPE),
        ("sessions/unidentified-a/pipe", tarfile.FIFOTYPE),
        ("sessions/unidentified-a", tarfile.DIRTYPE),
        ("../../etc/cron.d/x", tarfile.REGTYPE),
        ("/etc/cron.d/x", tarfile.REGTYPE),
    ],
)
def test_what_is_no_plain_file_below_the_sessions_is_found_and_not_opened(
    name: str, kind: bytes, bundle: Path, key: SigningKey, tmp_path: Path
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in unpacked(bundle).items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode = kind, "/etc/passwd", 0o600
        archive.addfile(member)
    assert found(out.getvalue(), tmp_path, key.public) == {What.ARCHIVE, What.ADDED}, "and zeros at the end"
    (tmp_path / "into").mkdir()
    with pytest.raises(UnfitBundle):
        unpack_flows(tmp_path / "other.tar.gz", key.public, tmp_path / "into", 1000)
    assert list((tmp_path / "into").iterdir()) == []


def test_flow_files_are_taken_out_up_to_a_limit(bundle: Path, key: SigningKey, tmp_path: Path) -> None:
    assert unpack_flows(bundle, key.public, tmp_path, 14) == ["unidentified-a", "unidentified-b"]
    taken = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name[:6] for path in taken} == {"flows-"}
    assert {path.read_bytes() for path in taken} == {b"4:flow,"}
    assert {path.stat().st_mode & 0o777 for path in taken} == {0o600}
    (tmp_path / "less").mkdir()
    with pytest.raises(UnfitBundle, match="too large"):
        unpack_flows(bundle, key.public, tmp_path / "less", 13)


def bomb(manifest: bytes, signature: bytes, path: str, size: int) -> bytes:
    """Small when packed."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as archive:
        for name, content in ((MANIFEST, manifest), (SIGNATURE, signature)):
            archive.write(header(name, len(content)) + content + bytes(padding(len(content))))
        archive.write(header(path, size))
        for _ in range(size // 2**20):
            archive.write(bytes(2**20) if path != AUDIT else b"\n" * 2**20)
    return out.getvalue()


@pytest.mark.parametrize("path", [CAST, AUDIT, "audit/ledger.jsonl", "sessions/unidentified-a/more"])
def test_a_bundle_that_unpacks_to_too_much_is_left(path: str, files: Files, tmp_path: Path) -> None:
    content, file = bomb(files[MANIFEST], files[SIGNATURE], path, 64 * 2**20), tmp_path / "bomb.tar.gz"
    file.write_bytes(content)
    assert len(content) < 10**6
    report = verify_bundle(file, limit=2**24)
    assert "it unpacks to more than any bundle has" in str(report.findings[-1])
    assert report.proven == []


def test_a_manifest_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "bomb.tar.gz"
    file.write_bytes(gzip.compress(header(MANIFEST, 2**30) + b"{"))
    assert "manifest.json is not where it should be" in str(verify_bundle(file).findings)


def test_what_is_wrong_everywhere_is_told_a_thousand_times(files: Files, tmp_path: Path) -> None:
    manifest = orjson.loads(files[MANIFEST])
    lines = b"\n" * 5000
    manifest["files"][0]["size"] = len(lines)
    changed = {**files, MANIFEST: orjson.dumps(manifest), "audit/ledger.jsonl": lines}
    file = tmp_path / "b.tar.gz"
    file.write_bytes(packed(changed))
    report = verify_bundle(file)
    assert len(report.notes) == 1000
    assert str(report.findings[-1]) == "the archive archive: after 1000 remarks nothing further was looked at"


def test_a_file_that_is_changed_during_the_export_ends_it(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, copy = "exec-1.cast", tmp_path / "state"
    shutil.copytree(state, copy)
    for content, why in ((b"[]\n" * 199 + b"xx\n", "was changed meanwhile"), (b"", "was cut off meanwhile")):
        again = bundle_write._extract

        def meanwhile(*arguments: Any, content: bytes = content, again: Any = again) -> Any:
            (folder(copy, "a") / cast).write_bytes(content)
            return again(*arguments)

        (folder(copy, "a") / cast).write_bytes(b"[]\n" * 200)
        monkeypatch.setattr(bundle_write, "_extract", meanwhile)
        with pytest.raises(OSError, match=why):
            export([folder(copy, "a")], AuditLedger(copy), tmp_path / "b.tar.gz", False, 1.0)
        monkeypatch.undo()
        assert not (tmp_path / "b.tar.gz").exists()


def test_a_file_that_grows_during_the_export_is_still_written_to(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "state"
    shutil.copytree(state, copy)
    again = bundle_write._extract

    def meanwhile(*arguments: Any) -> Any:
        with (folder(copy, "a") / "exec-1.cast").open("ab") as file:
            file.write(b"more")
        return again(*arguments)

    monkeypatch.setattr(bundle_write, "_extract", meanwhile)
    with pytest.raises(StillWritten):
        export([folder(copy, "a")], AuditLedger(copy), tmp_path / "b.tar.gz", False, 1.0)
    assert not (tmp_path / "b.tar.gz").exists()
    export([folder(copy, "a")], AuditLedger(copy), tmp_path / "b.tar.gz", True, 1.0)
    assert verify_bundle(tmp_path / "b.tar.gz").findings == []


def test_an_old_session_that_is_in_no_chain_is_exported_too(tmp_path: Path) -> None:
    old = folder(tmp_path / "state", "old")
    old.mkdir(parents=True)
    (old / "audit.jsonl").write_bytes(b'{"stageTimestamp":"2000-01-01T00:00:00.000000Z","annotations":{}}\ntorn')
    export([old], AuditLedger(tmp_path / "state"), tmp_path / "b.tar.gz", False, 1.0)
    report = verify_bundle(tmp_path / "b.tar.gz")
    assert report.findings == []
    assert {note.what for note in report.notes} == {What.BELIEVED, What.TORN, What.UNCHAINED}
