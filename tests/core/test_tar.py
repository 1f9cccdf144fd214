"""Archives as real tars write them, read in any pieces; hostile ones are refused."""

from __future__ import annotations

import hashlib
import io
import itertools
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.tar import Entry, PathTraversal, TarReader, UnreadableArchive

NAMES = st.text("abcdef-é", min_size=1, max_size=150).map(lambda name: f"d/{name}")
FILES = st.dictionaries(NAMES, st.binary(max_size=1200), max_size=5)


def archive(files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def special(*members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            tar.addfile(member)
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@given(FILES, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.lists(st.integers(0, 12000), max_size=8))
def test_any_split_gives_the_same_files(files: dict[str, bytes], kind: int, cuts: list[int]) -> None:
    data, reader = archive(files, kind), TarReader()
    at = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    entries = [entry for begin, end in itertools.pairwise(at) for entry in reader.feed(data[begin:end])]
    assert [(entry.name, entry.size) for entry in entries] == [(name, len(data)) for name, data in files.items()]
    assert [digest for _, digest in reader.copied] == [hashlib.sha256(data).hexdigest() for data in files.values()]


def test_kinds() -> None:
    data = special(
        member("d", tarfile.DIRTYPE), member("d/link", tarfile.SYMTYPE, "/etc/localtime"),
        member("d/hard", tarfile.LNKTYPE, "d/a"), member("d/pipe", tarfile.FIFOTYPE),
    )  # fmt: skip
    assert list(TarReader().feed(data)) == [
        Entry("d/", 0, "directory"), Entry("d/link", 0, "symlink", "/etc/localtime"),
        Entry("d/hard", 0, "hardlink", "d/a"), Entry("d/pipe", 0, "other"),
    ]  # fmt: skip


def test_a_ustar_prefix_counts() -> None:
    assert next(TarReader().feed(archive({f"{'p' * 90}/{'n' * 90}": b""}, tarfile.USTAR_FORMAT))).name.startswith("ppp")


def test_nothing_is_read_behind_the_end() -> None:
    reader = TarReader()
    assert len([*reader.feed(archive({"a": b"x"}) + b"rest")]) == 1
    assert [*reader.feed(archive({"b": b"x"}))] == []


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(archive({"../../etc/passwd": b"x"}), id="b50-up"),
        pytest.param(archive({"a/../../b": b"x"}), id="b50-up-in-the-middle"),
        pytest.param(archive({"/etc/passwd": b"x"}), id="b50-absolute"),
        pytest.param(archive({f"{'long/' * 40}../x": b"x"}), id="b50-up-in-a-pax-name"),
        pytest.param(archive({f"{'long/' * 40}../x": b"x"}, tarfile.GNU_FORMAT), id="b50-up-in-a-gnu-name"),
        pytest.param(special(member("out", tarfile.SYMTYPE, "/etc"), member("out/cron.d/x")), id="b50-behind-a-link"),
        pytest.param(special(member("x", tarfile.LNKTYPE, "../../etc/shadow")), id="b50-hard-link"),
        pytest.param(special(member("x", tarfile.LNKTYPE, "/etc/shadow")), id="b50-hard-link-absolute"),
    ],
)
def test_names_that_lead_elsewhere(hostile: bytes) -> None:
    with pytest.raises(PathTraversal):
        list(TarReader().feed(hostile))


def header(**fields: bytes) -> bytes:
    block = bytearray(archive({"a": b""})[:512])
    for at, value in ((int(name[1:]), value) for name, value in fields.items()):
        block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x1f\x8b" + b"x" * 600, id="gzip"),
        pytest.param(b"x" * 512, id="text"),
        pytest.param(b"b" + archive({"a": b""})[1:512], id="checksum"),
        pytest.param(header(_124=b"0000000000z\0"), id="size-is-no-number"),
        pytest.param(header(_156=b"x", _124=b"00001000000\0"), id="huge-extended-header"),
        pytest.param(header(_156=b"x", _124=b"00000000012\0") + b"nonsense!!" + bytes(502), id="no-pax-record"),
        pytest.param(header(_156=b"x", _124=b"00000000012\0") + b"99 path=x\n" + bytes(502), id="pax-length"),
    ],
)
def test_what_is_no_archive(data: bytes) -> None:
    with pytest.raises(UnreadableArchive):
        list(TarReader().feed(data))


def test_sizes_of_gnu_and_pax() -> None:
    assert next(TarReader().feed(header(_124=b"\x80" + (5).to_bytes(11, "big")))).size == 5
    assert next(TarReader().feed(header(_124=bytes(12)))).size == 0
    record = b"12 size=999\n"
    assert next(TarReader().feed(header(_156=b"x", _124=b"00000000014\0") + record + bytes(500) + header())).size == 999


def test_links_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.core.tar._MAX_LINKS", 1)
    with pytest.raises(UnreadableArchive):
        list(TarReader().feed(special(member("a", tarfile.SYMTYPE, "x"), member("b", tarfile.SYMTYPE, "x"))))
