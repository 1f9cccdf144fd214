"""The ledger: its lines belong together, and only the key whose turn it is can add to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.audit_chain import EntryKind
from addons.core.audit_ledger import Claims
from addons.core.audit_report import LEDGER, What
from tests.core.audit_logs import FIRST, STRANGER, Log, kinds, ordinary


@pytest.mark.parametrize("number", range(7))
def test_a_removed_line_of_the_ledger_is_found(number: int) -> None:
    """But the last, which says that the chain had its end: that is a note."""
    log = ordinary()
    del log.ledger[number]
    report = log.verified()
    if number == 6:
        assert report.findings == []
        assert [note.text for note in report.notes] == [
            "unsealed tail, 3 records since last checkpoint (4); never closed"
        ]
        assert kinds(log.verified(kept=ordinary().ledger)) == {What.LEDGER}
    else:
        assert (LEDGER, number + 1) in [(finding.file, finding.line) for finding in report.findings]


@given(number=st.integers(0, 6), at=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_ledger_is_found_or_its_last_line_torn(number: int, at: int, byte: int) -> None:
    log = ordinary()
    line = bytearray(log.ledger[number])
    at %= len(line)
    line[at] = byte if line[at] != byte else (byte + 1) % 256
    log.ledger[number] = bytes(line)
    report = log.verified()
    assert report.findings or (number == 6 and report.notes)


@pytest.mark.parametrize(
    ("removed", "left"),
    [
        ([], [(5, 9)]),
        ([(1, 4), (10, 12)], [(5, 9)]),
        ([(1, 6), (8, 8)], [(7, 7), (9, 9)]),
        ([(7, 12), (5, 6)], []),
        ([(5, 8), (6, 7)], [(9, 9)]),
    ],
)
def test_what_is_left_to_explain(removed: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert Claims(b"", removed=removed).unexplained(5, 9) == left


def _of_a_stranger(log: Log) -> None:
    """Somebody's own ledger, which even hands over to the true key."""
    log.ledger.clear()
    log.last = None
    log.add(EntryKind.KEY, {"publicKey": STRANGER.hex()}, STRANGER)
    log.add(EntryKind.KEY, {"publicKey": FIRST.hex()}, STRANGER)


def _another_key_takes_over(log: Log) -> None:
    log.add(EntryKind.KEY, {"publicKey": STRANGER.hex()}, STRANGER)
    log.key = STRANGER
    log.add(EntryKind.OPEN, {"chain": "c"})


def _the_old_key_goes_on(log: Log) -> None:
    log.add(EntryKind.OPEN, {"chain": "c"}, FIRST)


def _no_key_at_first(log: Log) -> None:
    log.ledger.clear()
    log.files.clear()
    log.last = None
    log.add(EntryKind.OPEN, {"chain": "c"}, FIRST)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_of_a_stranger, What.KEY),
        (_another_key_takes_over, What.LEDGER),
        (_the_old_key_goes_on, What.LEDGER),
        (_no_key_at_first, What.LEDGER),
    ],
)
def test_keys_whose_turn_it_is_not(change: Callable[[Log], None], expected: What) -> None:
    log = ordinary()
    change(log)
    assert expected in kinds(log.verified())


def test_what_is_believed_is_said() -> None:
    report = ordinary().verified(None)
    assert [note.what for note in report.notes] == [What.BELIEVED]
    assert Log().verified(None).notes == []
    assert kinds(Log().verified(FIRST)) == {What.KEY}


def test_a_torn_line_of_the_ledger_is_a_note() -> None:
    log = ordinary()
    log.ledger.insert(3, log.ledger[3][:40] + b"\n")
    report = log.verified()
    assert report.findings == []
    assert [(note.what, note.line) for note in report.notes] == [(What.TORN, 4)]
