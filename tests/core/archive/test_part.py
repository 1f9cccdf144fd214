"""Names of parts, what they say of themselves, and which bytes of a file they make up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.archive.options import ArchiveOptions
from addons.core.archive.part import (
    FORMAT,
    THE_LEDGER,
    File,
    Label,
    Part,
    Span,
    added,
    covered,
    first_gap,
    part_key,
    place,
    read_file,
    read_key,
    read_label,
    signed,
)

AUDIT = File("s1", 0, "audit.jsonl")
NAMES = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", fullmatch=True)
FILES = st.one_of(st.just(THE_LEDGER), st.builds(File, NAMES, st.integers(0, 999_999), NAMES))


def part(offset: int, size: int, encrypted: bool = False) -> Part:
    return Part(AUDIT, offset, encrypted, "k", "v", size)


@pytest.mark.parametrize(
    ("file", "offset", "encrypted", "key"),
    [
        (THE_LEDGER, 0, False, "p/audit/ledger.jsonl/0000000000000000"),
        (THE_LEDGER, 12, True, "p/audit/ledger.jsonl/0000000000000012.aes256gcm"),
        (AUDIT, 5, False, "p/sessions/s1/0/audit.jsonl/0000000000000005"),
        (File("s1", 2, "x.cast"), 10**16 - 1, True, "p/sessions/s1/2/x.cast/9999999999999999.aes256gcm"),
    ],
)
def test_a_key_is_file_and_offset_and_is_read_so(file: File, offset: int, encrypted: bool, key: str) -> None:
    assert part_key("p/", file, offset, encrypted) == key
    assert read_key("p/", key) == (file, offset, encrypted)


@given(prefix=st.sampled_from(["", "a/", "a/sessions/b/"]), file=FILES, offset=st.integers(0, 10**16 - 1),
       encrypted=st.booleans())  # fmt: skip
def test_a_key_is_read_as_it_was_made(prefix: str, file: File, offset: int, encrypted: bool) -> None:
    assert read_key(prefix, part_key(prefix, file, offset, encrypted)) == (file, offset, encrypted)


@given(st.text(max_size=60))
def test_no_text_is_read_as_another_key(text: str) -> None:
    if (found := read_key("p/", f"p/{text}")) is not None:
        assert part_key("p/", *found) == f"p/{text}"


@pytest.mark.parametrize(
    "key",
    [
        "audit/ledger.jsonl/0000000000000000",  # another prefix
        "p/audit/ledger.jsonl/0",
        "p/audit/other.jsonl/0000000000000000",
        "p/sessions/s1/0/../0000000000000000",
        "p/sessions/../0/a/0000000000000000",
        "p/sessions/s1/00/a/0000000000000000",
        "p/sessions/s1/a/0000000000000000",
        "p/sessions/s1/0/.hidden/0000000000000000",
        "p/sessions/s1/0/a/0000000000000000.zip",
        "p/sessions/s1/0/a/0000000000000000\n",
    ],
)
def test_what_no_archiver_writes_is_no_part(key: str) -> None:
    assert read_key("p/", key) is None


def test_where_a_file_is_restored() -> None:
    assert (THE_LEDGER.path, THE_LEDGER.restored) == ("audit/ledger.jsonl", "audit/ledger.jsonl")
    later = File("s1", 2, "audit.jsonl")
    assert (later.path, later.restored) == ("sessions/s1/2/audit.jsonl", "sessions/s1/audit.jsonl")
    assert read_file("sessions/s1/2/audit.jsonl") == later


def test_a_label_is_read_as_it_was_written() -> None:
    plain = Label(archive="a", ledger=7, signer="k", signature=b"\1\2")
    wrapped = Label(
        archive="a", ledger=7, signer="k", signature=b"\1", wrapping="kms:x", wrapped=b"\0\xff", nonce=b"n" * 12
    )
    for label in (plain, wrapped):
        assert read_label(label.metadata()) == label


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": "x"}, "its format is not"),
        ({"archive": None}, "does not say its archive"),
        ({"ledger": "x"}, "invalid literal"),
        ({"signature": "xx"}, "hexadecimal"),
        ({"wrapped-key": "!"}, "not in base64"),
    ],
)
def test_other_metadata_is_no_label(change: dict[str, str | None], why: str) -> None:
    metadata = Label(archive="a", ledger=7, signer="k", signature=b"\1").metadata() | change
    with pytest.raises(ValueError, match=why):
        read_label({name: value for name, value in metadata.items() if value is not None})


def test_what_is_signed_names_the_place_and_the_object() -> None:
    where = place("archive", AUDIT, 5, 3, 100)
    assert signed(where, b"\xab") == f"{FORMAT}\narchive\nsessions/s1/0/audit.jsonl\n5\n3\n100\nab".encode()
    others = [place("b", AUDIT, 5, 3, 100), place("archive", AUDIT, 6, 3, 100), place("archive", AUDIT, 5, 4, 100),
              place("archive", AUDIT, 5, 3, 101), place("archive", THE_LEDGER, 5, 3, 100)]  # fmt: skip
    assert len({where, *others}) == 6


@pytest.mark.parametrize(
    ("parts", "spans"),
    [
        ([], []),
        ([part(5, 3), part(0, 5)], [Span(0, 8)]),
        ([part(0, 5), part(7, 1)], [Span(0, 5), Span(7, 8)]),
        ([part(0, 5), part(2, 2)], [Span(0, 5)]),
        ([part(0, 20, encrypted=True)], [Span(0, 4)]),
        ([part(0, 3, encrypted=True), part(0, 0)], []),  # too short to hold anything
    ],
)
def test_which_bytes_are_there(parts: list[Part], spans: list[Span]) -> None:
    assert covered(parts) == spans


@pytest.mark.parametrize(
    ("spans", "size", "gap"),
    [
        ([], 0, None),
        ([], 5, Span(0, 5)),
        ([Span(0, 5)], 5, None),
        ([Span(0, 5)], 3, None),
        ([Span(0, 5)], 9, Span(5, 9)),
        ([Span(2, 5)], 9, Span(0, 2)),
        ([Span(0, 2), Span(4, 5)], 9, Span(2, 4)),
        ([Span(0, 2), Span(14, 15)], 9, Span(2, 9)),
    ],
)
def test_what_is_to_be_copied_next(spans: list[Span], size: int, gap: Span | None) -> None:
    assert first_gap(spans, size) == gap


@pytest.mark.parametrize(
    ("spans", "new", "merged"),
    [
        ([], Span(0, 5), [Span(0, 5)]),
        ([Span(0, 5)], Span(7, 9), [Span(0, 5), Span(7, 9)]),
        ([Span(7, 9)], Span(0, 5), [Span(0, 5), Span(7, 9)]),
        ([Span(0, 5)], Span(5, 9), [Span(0, 9)]),
        ([Span(0, 5)], Span(2, 3), [Span(0, 5)]),
        ([Span(0, 5), Span(7, 9)], Span(4, 8), [Span(0, 9)]),
    ],
)
def test_a_span_that_is_added_joins_what_it_touches(spans: list[Span], new: Span, merged: list[Span]) -> None:
    assert added(spans, new) == merged


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9))))
def test_adding_is_covering(pieces: list[tuple[int, int]]) -> None:
    spans: list[Span] = []
    for start, length in pieces:
        spans = added(spans, Span(start, start + length))
    assert spans == covered(part(start, length) for start, length in pieces)
    there = {byte for start, length in pieces for byte in range(start, start + length)}
    assert {byte for span in spans for byte in range(*span)} == there
    gap = first_gap(spans, 40)
    assert gap is None or not there & set(range(*gap))
    assert gap is not None
    assert all(byte in there for byte in range(gap.start))


def test_an_archive_has_defaults() -> None:
    assert ArchiveOptions(bucket="b").lock == ""
