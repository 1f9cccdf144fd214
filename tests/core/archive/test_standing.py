"""What the archiver reads in a ledger, and how far it may copy an audit log."""

from __future__ import annotations

import pytest

from addons.core.archive.standing import Standing, sealed_bytes
from addons.core.audit_chain import EntryKind, key_id, read_entry, read_place
from addons.core.audit_ledger import LedgerReader
from addons.core.audit_report import Report
from tests.core.audit_logs import FIRST, SECOND, Log, ordinary, verify


def standing(log: Log) -> Standing:
    found = Standing()
    for line in log.ledger:
        entry = read_entry(line)
        assert entry is not None
        found.take(entry)
    return found


def test_what_is_sealed() -> None:
    log = ordinary()
    log.open("c")
    found = standing(log)
    assert (found.archive, found.sealed) == (key_id(FIRST), {"a": 7, "b": 7, "c": 0})
    assert (found.holds, found.removals) == ({}, {})


def test_which_keys_may_sign() -> None:
    reader = LedgerReader(verify, Report())
    for number, line in enumerate(ordinary().ledger, 1):
        reader.read(line, number)
    assert dict(reader.keys) == {key_id(FIRST): FIRST, key_id(SECOND): SECOND}


def test_holds_and_removals() -> None:
    log = ordinary()
    why = {"by": "user root of this machine", "reason": "INC-42"}
    log.add(EntryKind.HOLD, {"session": "x", **why})
    log.add(EntryKind.HOLD, {"session": "y", **why})
    log.add(EntryKind.RELEASE, {"session": "x", **why})
    for _ in range(2):
        log.add(EntryKind.REMOVED, {"session": "z", "records": [["a", 1, 1]]})
    log.add(EntryKind.REMOVED, {"session": "w", "records": [], "files": {}})
    found = standing(log)
    assert (found.holds, found.removals) == ({"x": False, "y": True}, {"z": 2, "w": 1})
    report = log.verified()
    assert report.findings == []


@pytest.mark.parametrize(
    ("sealed", "live", "lines"),
    [
        ({"a": 9, "b": 9}, {"a", "b"}, 3),
        ({"a": 9, "b": 0}, {"a", "b"}, 1),
        ({"a": 9}, {"a", "b"}, 1),  # a chain that the ledger did not know when it was looked at
        ({"a": 9, "b": 0}, {"a"}, 3),  # its worker is gone: nothing else will come
        ({}, {"a", "b"}, 0),
        ({}, set(), 3),
    ],
)
def test_a_record_that_is_not_sealed_waits(sealed: dict[str, int], live: set[str], lines: int) -> None:
    log = Log().begin()
    for chain in "ab":
        log.open(chain)
    for chain in "aba":
        log.write(chain, "x")
    chunk = log.files["x"]
    assert sealed_bytes(b"".join(chunk), sealed, live) == sum(map(len, chunk[:lines]))


def test_lines_that_are_in_no_chain_do_not_wait() -> None:
    text = b'torn {\n{"annotations":{}}\ntorn again'
    assert sealed_bytes(text, {}, {"a"}) == len(text)


def test_the_place_of_a_record() -> None:
    (line,) = ordinary().files["x"][:1]
    assert read_place(line) == ("a", 1)
    assert read_place(line[:-1]) is None
    assert read_place(b"{}\n") is None
