"""The manifest of a bundle, and the headers of its archive."""

from __future__ import annotations

import tarfile
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.bundle import (
    BLOCK,
    LEDGER_PATH,
    MAX_SIZE,
    Header,
    Manifest,
    header,
    padding,
    read_header,
    read_manifest,
    session_of,
)

ZERO = "0" * 64
FILES = [LEDGER_PATH, "sessions/a/audit.jsonl", "sessions/b/session.json"]


def manifest(**changed: Any) -> dict[str, Any]:
    return {
        "format": "chaperone.dev/session-bundle/v1",
        "made_at": "2026-01-01T00:00:00.000000Z",
        "gateway": "g",
        "key": "k",
        "sessions": [{"id": name, "running": False, "chains": []} for name in "ab"],
        "files": [{"path": path, "size": 1, "sha256": ZERO} for path in FILES],
        **changed,
    }


def test_a_manifest_is_read_as_it_was_written() -> None:
    read = read_manifest(orjson.dumps(manifest()))
    assert isinstance(read, Manifest)
    assert read_manifest(read.written()) == read


def files(*paths: str) -> list[dict[str, Any]]:
    return [{"path": path, "size": 1, "sha256": ZERO} for path in paths]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"format": "v2"}, "its format is not"),
        ({"more": 1}, "more: Extra inputs"),
        ({"made_at": 1}, "made_at: "),
        ({"files": [{"path": "p", "size": -1, "sha256": ZERO}]}, "files.0.size: "),
        ({"files": [{"path": "p", "size": MAX_SIZE + 1, "sha256": ZERO}]}, "files.0.size: "),
        ({"files": [{"path": "p", "size": 1, "sha256": "x"}]}, "files.0.sha256: "),
        ({"files": []}, "not in order"),
        ({"files": files("sessions/a/b")}, "not in order"),
        ({"files": files(LEDGER_PATH, "sessions/b/x", "sessions/a/x")}, "not in order"),
        ({"files": files(LEDGER_PATH, "sessions/a/x", "sessions/a/x")}, "not in order"),
        ({"sessions": [{"id": name, "running": False, "chains": []} for name in "ba"]}, "not in order"),
        ({"sessions": [{"id": "../a", "running": False, "chains": []}]}, "sessions.0.id: "),
        ({"files": files(LEDGER_PATH, "sessions/c/x")}, "is no file of one"),
        ({"files": files(LEDGER_PATH, "sessions/a/../x")}, "is no file of one"),
        ({"files": files(LEDGER_PATH, "sessions/a/.x")}, "is no file of one"),
        ({"files": files(LEDGER_PATH, "x")}, "is no file of one"),
        ({"files": files(LEDGER_PATH, LEDGER_PATH)}, "is no file of one"),
    ],
)
def test_a_manifest_that_no_export_writes_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_manifest(orjson.dumps(manifest(**changed)))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1"])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_manifest(text)


@given(st.text("az.-_/", min_size=1, max_size=100), st.integers(0, MAX_SIZE))
def test_headers_are_what_tar_writes(path: str, size: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, 0o600
    if not path.endswith("/"):
        assert header(path, size) == member.tobuf(tarfile.USTAR_FORMAT)


def test_a_long_path_is_split_as_tar_does() -> None:
    path = f"sessions/{'a' * 100}/{'b' * 100}"
    found = tarfile.TarInfo.frombuf(header(path, 3), "ascii", "strict")
    assert (found.name, found.size, found.mode, found.isreg()) == (path, 3, 0o600, True)
    assert read_header(header(path, 3)) == Header(path, 3)


@pytest.mark.parametrize(("path", "size"), [("a" * 101, 1), (f"{'a' * 156}/b", 1), ("a", MAX_SIZE + 1), ("a", -1)])
def test_what_has_no_room_is_refused(path: str, size: int) -> None:
    with pytest.raises(ValueError, match="for a bundle"):
        header(path, size)


def odd(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> bytes:
    member = tarfile.TarInfo(name)
    member.mode, member.type = 0o600, kind
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)[:BLOCK]


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (odd("a", tarfile.SYMTYPE, linkname="/etc/passwd"), "it is a link"),
        (odd("a", tarfile.LNKTYPE, linkname="b"), "it is a link"),
        (odd("a", tarfile.CHRTYPE), "it is a device"),
        (odd("a", tarfile.BLKTYPE), "it is a device"),
        (odd("a", tarfile.DIRTYPE), "it is a folder"),
        (odd("a", tarfile.FIFOTYPE), "it is a pipe"),
        (odd("/etc/passwd"), "its path leads elsewhere"),
        (odd("sessions/../x"), "its path leads elsewhere"),
        (odd("a"), "not as an export writes it"),
        (odd("a", tarfile.XHDTYPE), "not as an export writes it"),
        (odd("a", tarfile.GNUTYPE_LONGNAME), "not as an export writes it"),
        (odd("ä"), "not as an export writes it"),
    ],
)
def test_headers_that_no_export_writes_are_told(block: bytes, why: str) -> None:
    found = read_header(block)
    assert found is not None
    assert why in found.odd


@given(st.integers(0, BLOCK - 1), st.integers(1, 255))
def test_no_byte_of_a_header_can_be_changed(place: int, by: int) -> None:
    block = bytearray(header("sessions/a/audit.jsonl", 1000))
    block[place] ^= by
    try:
        found = read_header(bytes(block))
    except ValueError:
        return
    assert found != Header("sessions/a/audit.jsonl", 1000)


def test_what_is_no_header_is_refused_and_the_end_is_known() -> None:
    assert read_header(bytes(BLOCK)) is None
    for block in (b"x" * BLOCK, header("a", 1)[:100], header("a", 1)[:-1]):
        with pytest.raises(ValueError, match="no header"):
            read_header(block)


@pytest.mark.parametrize(
    ("path", "session"), [("sessions/a/b", "a"), (LEDGER_PATH, ""), ("sessions/a", ""), ("sessions/a/b\n", "")]
)
def test_the_session_of_a_path(path: str, session: str) -> None:
    assert session_of(path) == session


@pytest.mark.parametrize(
    ("size", "zeros"), [(0, 0), (1, BLOCK - 1), (BLOCK - 1, 1), (BLOCK, 0), (BLOCK + 1, BLOCK - 1), (3 * BLOCK, 0)]
)
def test_a_file_is_filled_up_to_whole_blocks(size: int, zeros: int) -> None:
    assert padding(size) == zeros


@given(st.integers(0, 5000))
def test_files_end_with_a_block(size: int) -> None:
    assert (size + padding(size)) % BLOCK == 0
    assert padding(size) < BLOCK
