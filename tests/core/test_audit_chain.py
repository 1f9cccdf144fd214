"""How records and lines of the ledger are written and read back."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson
import pytest

from addons.core.audit_chain import (
    ZERO,
    EntryKind,
    Head,
    gaps,
    key_id,
    ledger_line,
    linked,
    ranges,
    read_entry,
    read_link,
)
from tests.core.audit_logs import FIRST, record

HEAD = Head("0-20260101T000000000-ab", 6, b"\1" * 32)


def test_a_record_hashes_what_comes_before_its_place_and_itself() -> None:
    line, head = linked(record("/x"), HEAD, "s1", 120)
    place = b"0-20260101T000000000-ab 7 120"
    digest = sha256(b"\1" * 32 + place + b" s1\n" + record("/x"))
    assert head == Head(HEAD.chain, 7, digest.digest())
    event = orjson.loads(line)
    assert event["annotations"] == {
        "a": "/x",
        "chaperone.dev/chain": f"{place.decode()} {'01' * 32} {digest.hexdigest()}",
    }
    link = read_link(line, "s1")
    assert link is not None
    assert link == (HEAD.chain, 7, 120, HEAD.digest, head.digest, True)


def test_a_record_without_annotations_has_one_then() -> None:
    line, _ = linked(b'{"annotations":{}}\n', HEAD, "s1", 0)
    assert list(orjson.loads(line)["annotations"]) == ["chaperone.dev/chain"]
    link = read_link(line, "s1")
    assert link is not None
    assert link.genuine


def test_only_an_event_can_be_a_record() -> None:
    with pytest.raises(ValueError, match="annotations"):
        linked(b"{}\n", HEAD, "s1", 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b"/x", b"/y", 1),
        lambda line: line.replace(b" 7 ", b" 8 "),
        lambda line: line.replace(b" 7 ", b" 07 "),
        lambda line: line.replace(b" 120 ", b" 121 "),
        lambda line: line.replace(b',"chaperone.dev/chain"', b'"chaperone.dev/chain"'),
        lambda line: line.replace(b"20260101", b"20260102"),
    ],
)
def test_what_differs_in_a_byte_is_not_genuine(change: Any) -> None:
    line = change(linked(record("/x"), HEAD, "s1", 120)[0])
    link = read_link(line, "s1")
    assert link is not None
    assert not link.genuine


def test_a_record_belongs_to_its_folder() -> None:
    link = read_link(linked(record("/x"), HEAD, "s1", 120)[0], "s2")
    assert link is not None
    assert not link.genuine


@pytest.mark.parametrize("line", [b"", b"\n", b"{}\n", record("/x"), linked(record("/x"), HEAD, "s", 0)[0][:-1]])
def test_what_is_in_no_chain(line: bytes) -> None:
    assert read_link(line, "s") is None


def signed(kind: EntryKind, fields: dict[str, Any]) -> bytes:
    return ledger_line(None, "2026-01-01T00:00:00.000000Z", kind, fields, "k1", lambda _: b"\2" * 64)


def test_a_line_of_the_ledger_is_read_as_it_was_written() -> None:
    line = signed(EntryKind.OPEN, {"chain": "a", "worker": "0"})
    entry = read_entry(line)
    assert entry is not None
    assert (entry.number, entry.previous, entry.kind, entry.key) == (1, ZERO, EntryKind.OPEN, "k1")
    assert (entry.fields, entry.signature, entry.signer_after) == ({"chain": "a", "worker": "0"}, b"\2" * 64, "k1")
    assert entry.digest == sha256(line).digest()
    assert line.startswith(entry.body[:-1])
    after = read_entry(ledger_line(entry, "t", EntryKind.KEY, {"publicKey": FIRST.hex()}, "k1", lambda _: b"\3" * 64))
    assert after is not None
    assert (after.number, after.previous, after.signer_after) == (2, entry.digest, key_id(FIRST))


HASH = "00" * 32


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (EntryKind.KEY, {"publicKey": FIRST.hex()}),
        (EntryKind.CHECKPOINT, {"chain": "a", "sequence": 1, "hash": HASH}),
        (EntryKind.FOUND, {"chain": "a", "sequence": 9, "hash": HASH, "lost": [[2, 3], [5, 5]]}),
        (EntryKind.REMOVED, {"session": "s", "records": [["a", 1, 2]]}),
    ],
)
def test_every_kind_is_read(kind: EntryKind, fields: dict[str, Any]) -> None:
    entry = read_entry(signed(kind, fields))
    assert entry is not None
    assert (entry.kind, entry.fields) == (kind, fields)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (EntryKind.KEY, {}),
        (EntryKind.KEY, {"publicKey": "00"}),
        (EntryKind.KEY, {"publicKey": "no hex"}),
        (EntryKind.KEY, {"publicKey": None}),
        (EntryKind.OPEN, {"chain": 1}),
        (EntryKind.CHECKPOINT, {"chain": "a", "sequence": "1", "hash": HASH}),
        (EntryKind.CHECKPOINT, {"chain": "a", "sequence": 1, "hash": "00"}),
        (EntryKind.FOUND, {"chain": "a", "sequence": 1, "hash": HASH, "lost": [[1]]}),
        (EntryKind.REMOVED, {"session": "s", "records": [["a", 1]]}),
        (EntryKind.REMOVED, {"session": "s", "records": []}),
        (EntryKind.OPEN, {"chain": "a", "time": 5}),
        (EntryKind.OPEN, {"chain": "a", "format": "chaperone.dev/audit-ledger/v9"}),
        (EntryKind.OPEN, {"chain": "a", "kind": "unheard-of"}),
        (EntryKind.OPEN, {"chain": "a", "previous": 5}),
        (EntryKind.OPEN, {"chain": "a", "number": "1"}),
    ],
)
def test_what_is_no_line_of_the_ledger(kind: EntryKind, fields: dict[str, Any]) -> None:
    assert read_entry(signed(kind, fields)) is None


@pytest.mark.parametrize("body", [b'[1],"a":{', b"[1", b'{"number":1'])
def test_what_is_no_line_at_all(body: bytes) -> None:
    assert read_entry(body + b',"signature":"' + b"0" * 128 + b'"}\n') is None
    assert read_entry(body) is None


def test_gaps_are_what_ranges_leave_out() -> None:
    assert gaps(3, [10**17, 9, 5, 4]) == [(3, 3), (6, 8), (10, 10**17 - 1)]
    assert gaps(4, [4, 5]) == []
    assert gaps(1, []) == []


def test_ranges_have_no_gap() -> None:
    assert ranges([5, 1, 2, 2, 9, 4]) == [(1, 2), (4, 5), (9, 9)]
    assert ranges([]) == []
