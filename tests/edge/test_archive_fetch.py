"""Reading an archive that somebody has been at: whatever was done to it is found, named, and not restored."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from addons.core.archive.options import ArchiveOptions
from addons.core.archive.part import ENCRYPTED
from addons.edge import archive_upload
from addons.edge.archive_bucket import ArchiveUnavailable
from addons.edge.archive_keys import ArchiveKeys, CannotOpen, UnusableArchiveKey, make_key_file
from addons.edge.audit_check import verify_state
from tests.support.archives import Aws, Evidence, MakeEvidence, MemoryBucket, files

A = "p/sessions/unidentified-a/0"
FIRST = f"{A}/audit.jsonl/0000000000000000"
DECISIONS = f"{A}/decisions.jsonl/0000000000000000"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_upload, "_LOOK_AGAIN_SECONDS", 0)


@pytest.fixture
def ours(tmp_path: Path) -> Evidence:
    """An archive in memory of three uploads of two sessions."""
    return _three(tmp_path, ())


def _three(folder: Path, keys: tuple[str, ...]) -> Evidence:
    options = ArchiveOptions(bucket="b", prefix="p/", keys=keys)
    made = Evidence(folder / "state", options)
    made.bucket = MemoryBucket(options)
    for sessions in ("ab", "a", "ba"):
        made.record(*sessions)
        made.sweep()
    return made


def objects(evidence: Evidence) -> dict[str, tuple[bytes, Any]]:
    assert isinstance(evidence.bucket, MemoryBucket)
    return evidence.bucket.objects


def nth(evidence: Evidence, name: str, number: int) -> str:
    return sorted(key for key in objects(evidence) if f"{A}/{name}/" in key)[number]


def found(evidence: Evidence, folder: Path, **how: Any) -> set[tuple[str, str]]:
    """What is wrong, and with which file."""
    return {(each.what.value, each.file.removeprefix("p/")) for each in evidence.fetch(folder, **how).report.findings}


def change(evidence: Evidence) -> set[tuple[str, str]]:
    body, metadata = objects(evidence)[DECISIONS]
    objects(evidence)[DECISIONS] = body.replace(b"1", b"7"), metadata
    return {("changed", DECISIONS.removeprefix("p/"))}


def cut(evidence: Evidence) -> set[tuple[str, str]]:
    body, metadata = objects(evidence)[FIRST]
    objects(evidence)[FIRST] = body[:-5], metadata
    file = f"{A}/audit.jsonl".removeprefix("p/")
    return {("changed", FIRST.removeprefix("p/")), ("missing", file)}


def swap(evidence: Evidence) -> set[tuple[str, str]]:
    """Two parts of the same size, of two sessions."""
    there = DECISIONS.replace("unidentified-a", "unidentified-b")
    kept = objects(evidence)
    kept[DECISIONS], kept[there] = kept[there], kept[DECISIONS]
    return {("changed", DECISIONS.removeprefix("p/")), ("changed", there.removeprefix("p/"))}


def lose(evidence: Evidence) -> set[tuple[str, str]]:
    del objects(evidence)[nth(evidence, "audit.jsonl", 1)]
    return {("missing", f"{A}/audit.jsonl".removeprefix("p/"))}


def double(evidence: Evidence) -> set[tuple[str, str]]:
    """The same bytes once more, as if from the beginning."""
    objects(evidence)[f"{DECISIONS}.aes256gcm"] = objects(evidence)[DECISIONS]
    key = f"{DECISIONS}.aes256gcm".removeprefix("p/")
    return {("duplicate", key), ("missing", f"{A}/decisions.jsonl".removeprefix("p/"))}


def forge(evidence: Evidence) -> set[tuple[str, str]]:
    objects(evidence)[f"{A}/exec-1.cast/0000000000000000"] = b"forged", {}
    return {("changed", f"{A}/exec-1.cast/0000000000000000".removeprefix("p/"))}


def sign_anew(evidence: Evidence) -> set[tuple[str, str]]:
    """By a key that the ledger does not know."""
    body, metadata = objects(evidence)[FIRST]
    objects(evidence)[FIRST] = body, {**metadata, "signer": "0" * 16}
    return {("changed", FIRST.removeprefix("p/"))}


def rewrite_ledger(evidence: Evidence) -> set[tuple[str, str]]:
    key = "p/audit/ledger.jsonl/0000000000000000"
    body, metadata = objects(evidence)[key]
    objects(evidence)[key] = body.replace(b'"sequence":2', b'"sequence":1'), metadata
    return {("ledger", "audit/ledger.jsonl"), ("changed", key.removeprefix("p/"))}


@pytest.mark.parametrize(
    "act", [change, cut, swap, lose, forge, sign_anew, rewrite_ledger], ids=lambda act: act.__name__
)
def test_what_was_done_to_it_is_named(
    act: Callable[[Evidence], set[tuple[str, str]]], ours: Evidence, tmp_path: Path
) -> None:
    expected = act(ours)
    assert found(ours, tmp_path / "copy") >= expected
    if act is not rewrite_ledger:  # nothing can be believed without it
        assert found(ours, tmp_path / "again") == expected


def test_a_doubled_part_counts_once(ours: Evidence, tmp_path: Path) -> None:
    expected = double(ours)
    assert ("duplicate", next(file for what, file in expected if what == "duplicate")) in found(ours, tmp_path / "copy")


def twin(key: str) -> str:
    """The other name of a part."""
    return key.removesuffix(ENCRYPTED) if key.endswith(ENCRYPTED) else key + ENCRYPTED


def as_if_later(body: bytes, metadata: Any) -> tuple[bytes, Any]:
    """An object that says it is of an upload that goes on."""
    return body, {**metadata, "ledger": "9" * 15}


def by_a_stranger(body: bytes, metadata: Any) -> tuple[bytes, Any]:
    return body, {**metadata, "signer": "0" * 16}


def with_another_key(body: bytes, metadata: Any) -> tuple[bytes, Any]:
    strange = {"signer": "0" * 16, "wrapping-key": "file:0000000000000000", "wrapped-key": "", "nonce": ""}
    return body, {**metadata, **strange}


@pytest.mark.parametrize("act", [as_if_later, by_a_stranger, with_another_key], ids=lambda act: act.__name__)
@pytest.mark.parametrize("keys", [False, True], ids=["plain", "encrypted"])
def test_whoever_may_only_add_objects_hides_none(
    keys: bool, act: Callable[[bytes, Any], tuple[bytes, Any]], tmp_path: Path
) -> None:
    """Beside each object one of its other name, which is larger, and would be read before it."""
    make_key_file(tmp_path / "key")
    ours = _three(tmp_path, (f"file:{tmp_path / 'key'}",) if keys else ())
    for key, (body, metadata) in list(objects(ours).items()):
        objects(ours)[twin(key)] = act(body + b"x" * 100, metadata)
    done = ours.fetch(tmp_path / "copy")
    assert files(tmp_path / "copy") == files(ours.state)
    assert {each.what for each in done.report.findings} == {"duplicate"}
    assert done.left_out == 0
    ours.record("a")
    assert ours.sweep().parts > 0  # the archiver goes on, too


@pytest.mark.parametrize("act", [as_if_later, by_a_stranger, with_another_key], ids=lambda act: act.__name__)
def test_another_kind_of_part_stays_readable(act: Callable[[bytes, Any], tuple[bytes, Any]], tmp_path: Path) -> None:
    """Encryption was turned on later: what is of the kind that is made now is tried first, and it is forged."""
    ours = _three(tmp_path, ())
    make_key_file(tmp_path / "key")
    ours.options = ArchiveOptions(bucket="b", prefix="p/", keys=(f"file:{tmp_path / 'key'}",))
    for key, (body, metadata) in list(objects(ours).items()):
        objects(ours)[twin(key)] = act(body, metadata)
    forged = {twin(key).removeprefix("p/") for key in objects(ours) if not key.endswith(ENCRYPTED)}
    assert found(ours, tmp_path / "copy") == {("changed", key) for key in forged}
    assert files(tmp_path / "copy") == files(ours.state)


def test_an_object_behind_the_ledger_stops_nothing(ours: Evidence, tmp_path: Path) -> None:
    end = len(ours.ledger.file.read_bytes())
    forged = f"p/audit/ledger.jsonl/{end:016d}"
    objects(ours)[forged + ENCRYPTED] = with_another_key(*objects(ours)["p/audit/ledger.jsonl/0000000000000000"])
    assert found(ours, tmp_path / "copy") == {("changed", forged.removeprefix("p/") + ENCRYPTED)}
    assert files(tmp_path / "copy") == files(ours.state)


def test_without_the_first_key_it_is_said_which_is_missing(tmp_path: Path) -> None:
    for name in ("key", "other"):
        make_key_file(tmp_path / name)
    ours = _three(tmp_path, (f"file:{tmp_path / 'key'}",))
    ours.options = ArchiveOptions(bucket="b", prefix="p/", keys=(f"file:{tmp_path / 'other'}",))
    with pytest.raises(UnusableArchiveKey, match="archive_keys lists no key"):
        ours.fetch(tmp_path / "copy")


def test_an_empty_object_is_no_archive(ours: Evidence, tmp_path: Path) -> None:
    for key in list(objects(ours)):
        del objects(ours)[key]
    objects(ours)["p/audit/ledger.jsonl/0000000000000000"] = b"", {}
    assert found(ours, tmp_path / "copy") == {("changed", "audit/ledger.jsonl/0000000000000000")}


def test_what_is_missing_does_not_move_what_follows(ours: Evidence, tmp_path: Path) -> None:
    lose(ours)
    ours.fetch(tmp_path / "copy")
    whole = files(ours.state)["sessions/unidentified-a/audit.jsonl"]
    restored = files(tmp_path / "copy")["sessions/unidentified-a/audit.jsonl"]
    assert len(restored) == len(whole)
    assert {each.what for each in verify_state(tmp_path / "copy").findings} == {"missing"}


def test_the_parts_of_one_session(ours: Evidence, tmp_path: Path) -> None:
    done = ours.fetch(tmp_path / "copy", "unidentified-b")
    assert (done.sessions, done.report.findings) == (1, [])
    assert [path.name for path in (tmp_path / "copy" / "sessions").iterdir()] == ["unidentified-b"]
    with pytest.raises(LookupError, match="no session unidentified-c"):
        ours.fetch(tmp_path / "other", "unidentified-c")
    with pytest.raises(FileExistsError, match="not empty"):
        ours.fetch(tmp_path / "copy")


def test_an_upload_that_was_cut_off_is_left_out_or_taken(ours: Evidence, tmp_path: Path) -> None:
    kept = {key: value for key, value in objects(ours).items() if "/audit/ledger" in key}
    ours.record("a", "c")
    ours.sweep()
    for key in set(objects(ours)) - set(kept):
        if "/audit/ledger" in key:
            del objects(ours)[key]
    done = ours.fetch(tmp_path / "copy")
    assert (done.report.findings, done.left_out > 0) == ([], True)
    assert verify_state(tmp_path / "copy").findings == []
    done = ours.fetch(tmp_path / "all", unfinished=True)
    assert (done.report.findings, done.left_out) == ([], 0)
    assert len(files(tmp_path / "all")) > len(files(tmp_path / "copy"))
    for key in kept:
        del objects(ours)[key]
    with pytest.raises(LookupError, match="no ledger"):
        ours.fetch(tmp_path / "nothing")


def test_keys_are_changed_and_old_ones_still_open(tmp_path: Path) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    for file in (old, new):
        make_key_file(file)
    ours = _three(tmp_path, (f"file:{old}",))
    changed = ArchiveOptions(bucket="b", prefix="p/", keys=(f"file:{new}", f"file:{old}"))
    before, ours.options = ours.options, changed
    ours.record("a", "c")
    ours.sweep()
    assert found(ours, tmp_path / "copy") == set()
    assert files(tmp_path / "copy") == files(ours.state)
    wrappers = {metadata["wrapping-key"] for _, metadata in objects(ours).values()}
    assert len(wrappers) == 2
    ours.options = before
    with pytest.raises(UnusableArchiveKey, match="add it after the first"):
        ours.fetch(tmp_path / "without")


@pytest.mark.parametrize("what", ["wrapped-key", "nonce", "moved"])
def test_what_is_encrypted_opens_in_its_place_alone(what: str, tmp_path: Path) -> None:
    """Even if the signing key were known: encryption is bound to the place, too."""
    make_key_file(tmp_path / "key")
    ours = _three(tmp_path, (f"file:{tmp_path / 'key'}",))
    key = f"{DECISIONS}.aes256gcm"
    body, metadata = objects(ours)[key]
    if what == "moved":
        other = key.replace("unidentified-a", "unidentified-b")
        body = objects(ours)[other][0]
        objects(ours)[key] = body, {**metadata, "wrapped-key": objects(ours)[other][1]["wrapped-key"]}
    else:
        objects(ours)[key] = body, {**metadata, what: b64encode(b"x" * 12).decode()}
    assert found(ours, tmp_path / "copy") == {("changed", key.removeprefix("p/"))}


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [(None, 0o600, "cannot be read"), (b"short", 0o600, "is no key"), (b"A" * 43 + b"=", 0o604, "chmod 600")],
)
def test_a_key_file_that_is_none(content: bytes | None, mode: int, why: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)
    with pytest.raises(UnusableArchiveKey, match=why):
        ArchiveKeys(ArchiveOptions(bucket="b", keys=(f"file:{file}",)))


def test_on_s3_first_versions_count_and_markers_hide_nothing(
    evidence: MakeEvidence, cloud: Aws, tmp_path: Path
) -> None:
    ours = evidence(keys=(f"kms:{cloud.key()}",), sse_kms_key=cloud.key())
    ours.record("a")
    ours.sweep()
    bucket = ours.options.bucket
    keys = sorted(each["Key"] for each in cloud.versions(bucket, "gateway-1/sessions"))
    assert {cloud.s3.head_object(Bucket=bucket, Key=key)["SSEKMSKeyId"] for key in keys} == {ours.options.sse_kms_key}
    cloud.s3.put_object(Bucket=bucket, Key=keys[0], Body=b"forged")
    cloud.s3.delete_object(Bucket=bucket, Key=keys[1])
    cloud.s3.put_object(Bucket=bucket, Key="gateway-1/sessions/unidentified-a/notes.txt", Body=b"x")
    report = ours.fetch(tmp_path / "copy").report
    assert {(each.what.value, each.file) for each in report.findings} == {
        ("duplicate", keys[0]), ("missing", keys[1]), ("added", "gateway-1/sessions/unidentified-a/notes.txt"),
    }  # fmt: skip
    assert files(tmp_path / "copy") == files(ours.state)
    ours.archiver().sweep()  # which neither is misled nor puts anything over it
    assert len(cloud.versions(bucket, keys[1])) == 1


def test_on_s3_a_session_that_is_wholly_hidden_is_fetched_and_named(
    evidence: MakeEvidence, cloud: Aws, tmp_path: Path
) -> None:
    ours = evidence()
    ours.record("a", "b")
    ours.sweep()
    bucket = ours.options.bucket
    keys = {each["Key"] for each in cloud.versions(bucket, "gateway-1/sessions/unidentified-a/")}
    for key in keys:
        cloud.s3.delete_object(Bucket=bucket, Key=key)
    assert {(each.what.value, each.file) for each in ours.fetch(tmp_path / "copy").report.findings} == {
        ("missing", key) for key in keys
    }
    assert files(tmp_path / "copy") == files(ours.state)


def test_kms_opens_for_its_session_alone(evidence: MakeEvidence, cloud: Aws) -> None:
    ours = evidence(keys=(f"kms:{cloud.key()}", f"kms:{cloud.key()}"))
    keys = ArchiveKeys(ours.options)
    made = keys.of("archive", "a")
    assert keys.unwrap(made.wrapping, made.wrapped, "archive", "a") == made.key
    for wrapping, session in ((made.wrapping, "b"), (f"kms:{ours.options.keys[1][4:]}", "a")):
        with pytest.raises((CannotOpen, ArchiveUnavailable), match="unwraps no data key"):
            keys.unwrap(wrapping, made.wrapped, "archive", session)
    with pytest.raises(CannotOpen, match="InvalidCiphertextException"):  # somebody may have put it there: no outage
        keys.unwrap(made.wrapping, made.wrapped, "archive", "b")
    assert keys.try_out("archive") == list(ours.options.keys)
