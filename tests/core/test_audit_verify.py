"""What was done to an audit log is found, and where; what a crash does is told apart from it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.audit_chain import EntryKind, read_link
from addons.core.audit_report import LEDGER, Report, What
from tests.core.audit_logs import FIRST, SECOND, Log, kinds, ordinary, record

FOLDERS = [("x", 7), ("y", 4), ("z", 3)]
PLACES = [(folder, index) for folder, count in FOLDERS for index in range(count)]


def file_of(folder: str) -> str:
    return f"sessions/{folder}/audit.jsonl"


def located(report: Report, folder: str, index: int) -> bool:
    """True if a finding is in this line of the file, in the next, or about this record of its chain."""
    link = read_link(ordinary().files[folder][index], folder)
    assert link is not None
    return any(
        (finding.file == file_of(folder) and finding.line in (index + 1, index + 2))
        or (finding.chain, finding.sequence) == (link.chain, link.sequence)
        for finding in report.findings
    )


def test_what_was_not_touched_is_intact() -> None:
    assert [len(ordinary().files[folder]) for folder, _ in FOLDERS] == [count for _, count in FOLDERS]
    for trusted in (FIRST, SECOND):
        report = ordinary().verified(trusted)
        assert (report.findings, report.notes) == ([], [])
        assert (report.files, report.records, report.entries, report.chains, len(report.keys)) == (3, 14, 7, 2, 2)


@given(place=st.sampled_from(PLACES), at=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=400, deadline=None)
def test_b83_a_changed_byte_is_found(place: tuple[str, int], at: int, byte: int) -> None:
    log, (folder, index) = ordinary(), place
    line = bytearray(log.files[folder][index])
    at %= len(line)
    if line[at] == byte:
        byte = (byte + 1) % 256
    line[at] = byte
    log.files[folder][index : index + 1] = bytes(line).splitlines(keepends=True) if byte == 10 else [bytes(line)]
    report = log.verified()
    assert located(report, folder, index), report


@given(place=st.sampled_from(PLACES))
def test_b83_a_removed_record_is_found(place: tuple[str, int]) -> None:
    log, (folder, index) = ordinary(), place
    del log.files[folder][index]
    report = log.verified()
    assert What.MISSING in kinds(report)
    assert located(report, folder, index)


@given(place=st.sampled_from(PLACES), to=st.sampled_from(PLACES))
def test_b83_a_doubled_record_is_found(place: tuple[str, int], to: tuple[str, int]) -> None:
    log, (folder, index) = ordinary(), place
    log.files[to[0]].insert(to[1], log.files[folder][index])
    report = log.verified()
    assert What.DUPLICATE in kinds(report)
    assert located(report, folder, index)


@pytest.mark.parametrize(("folder", "line"), [("x", 8), ("z", 4)])
def test_a_doubled_record_is_found_where_it_is_the_second_time(folder: str, line: int) -> None:
    log = ordinary()
    log.files[folder].append(log.files["x"][0])
    (finding,) = [each for each in log.verified().findings if each.what is What.DUPLICATE]
    assert (finding.file, finding.line, finding.sequence) == (file_of(folder), line, 1)
    assert finding.text == "it is in sessions/x/audit.jsonl, line 1, too"


@given(one=st.sampled_from(PLACES), other=st.sampled_from(PLACES))
def test_b83_two_swapped_records_are_found(one: tuple[str, int], other: tuple[str, int]) -> None:
    log = ordinary()
    if one == other:
        return
    first, second = log.files[one[0]][one[1]], log.files[other[0]][other[1]]
    log.files[one[0]][one[1]], log.files[other[0]][other[1]] = second, first
    report = log.verified()
    assert located(report, *one) or located(report, *other)
    assert kinds(report) & {What.CHANGED, What.REORDERED, What.SHIFTED}


@given(folder=st.sampled_from([folder for folder, _ in FOLDERS]))
def test_b83_a_removed_session_is_found(folder: str) -> None:
    log = ordinary()
    del log.files[folder]
    assert What.MISSING in kinds(log.verified())


def test_a_chain_that_was_computed_anew_is_found() -> None:
    log = Log().begin()
    log.open("a")
    for _ in range(3):
        log.write("a", "x")
    log.seal("a", EntryKind.CLOSE)
    forged = Log(ledger=log.ledger, heads={"a": log.heads["a"]})
    first = read_link(log.files["x"][0], "x")
    assert first is not None
    forged.heads["a"] = forged.heads["a"]._replace(sequence=0, digest=first.previous)
    for number in range(3):
        forged.write("a", "x", record(f"/forged/{number}"))
    (finding,) = forged.verified().findings
    assert (finding.what, finding.line, finding.sequence) == (What.BROKEN, 3, 3)
    assert finding.text == "it is not the record that line 3 of the ledger is signed for"


def test_one_record_that_was_computed_anew_is_found() -> None:
    log = ordinary()
    line = log.files["x"][0]
    link = read_link(line, "x")
    assert link is not None
    forged = Log(heads={"a": log.heads["a"]._replace(sequence=0, digest=link.previous)})
    forged.write("a", "x", record("/a/x/9"))
    log.files["x"][0] = forged.files["x"][0]
    (finding,) = log.verified().findings
    assert (finding.what, finding.file, finding.line, finding.sequence) == (What.BROKEN, file_of("y"), 1, 2)
    assert finding.text == "it was not written after record 1 as that is now"


def unsealed() -> Log:
    """A worker that was killed after 3 sealed records and 4 others."""
    log = Log().begin()
    log.open("a")
    for folder in "xyx":
        log.write("a", folder)
    log.seal("a")
    for folder in "xyyx":
        log.write("a", folder)
    return log


def test_a_tail_that_nothing_was_signed_for_is_said_to_be_so() -> None:
    report = unsealed().verified()
    assert report.findings == []
    (note,) = report.notes
    assert (note.what, note.file, note.chain, note.sequence) == (What.UNSEALED, LEDGER, "a", 7)
    assert note.text == "unsealed tail, 4 records since last checkpoint (3); never closed"
    assert "still written to" in unsealed().verified(live=["a"]).notes[0].text


def test_a_gap_in_the_unsealed_tail() -> None:
    log = unsealed()
    del log.files["y"][1:]
    (finding,) = log.verified().findings
    assert (finding.what, finding.line, finding.sequence) == (What.UNSEALED_GAP, 4, 5)
    assert finding.text == "records 5 to 6 of an unsealed tail are not here: lost with the power, or taken away"
    assert log.verified(live=["a"]).findings == [], "it was read while it was written to"
    log.seal("a", EntryKind.FOUND, lost=[[5, 6]])
    report = log.verified()
    assert report.findings == []
    assert [note.text for note in report.notes] == [
        "records 5 to 6 of an unsealed tail were lost before the next start, as with the power"
    ]


def test_what_was_sealed_cannot_be_said_to_be_lost() -> None:
    log = unsealed()
    del log.files["y"]
    log.seal("a", EntryKind.FOUND, lost=[[2, 2], [5, 6]])
    (finding,) = log.verified().findings
    assert (finding.what, finding.sequence, finding.text) == (What.MISSING, 2, "record 2 missing before this")


def test_a_torn_last_line_is_a_note() -> None:
    log = unsealed()
    log.files["x"].append(log.files["x"][0][:50])
    report = log.verified()
    assert report.findings == []
    assert [(note.what, note.line) for note in report.notes] == [(What.TORN, 5), (What.UNSEALED, 0)]
    log.files["x"][-1] += b"\n"
    log.write("a", "x")
    assert log.verified().findings == []
    log.files["x"][-2:-1] = []
    assert [finding.text for finding in log.verified().findings] == ["51 bytes are gone before this line"]


def test_a_truncated_file_is_found_as_far_as_it_was_sealed() -> None:
    log = unsealed()
    log.files["x"] = log.files["x"][:1]
    log.files["y"] = log.files["y"][:1]
    (finding,) = log.verified().findings
    assert (finding.what, finding.file, finding.line, finding.sequence) == (What.MISSING, LEDGER, 3, 3)


def test_records_after_the_end_of_a_chain() -> None:
    log = ordinary()
    log.write("a", "x")
    (finding,) = log.verified().findings
    assert (finding.what, finding.line, finding.sequence) == (What.ADDED, 8, 8)


def test_a_chain_that_nobody_opened() -> None:
    log = ordinary()
    log.heads["c"] = log.heads["a"]._replace(chain="c", sequence=0)
    log.write("c", "x")
    (finding,) = log.verified().findings
    assert (finding.what, finding.line, finding.chain) == (What.LEDGER, 8, "c")
    assert log.verified(live=["c"]).findings == [], "it was opened after the ledger was read"


def test_a_session_that_was_removed_on_purpose() -> None:
    log = ordinary()
    records = [read_link(line, "x") for line in log.files.pop("x")]
    taken = [[link.chain, link.sequence, link.sequence] for link in records if link is not None]
    log.add(EntryKind.REMOVED, {"session": "x", "records": taken})
    assert log.verified().findings == []
    del log.files["y"][0]
    assert {(f.chain, f.sequence) for f in log.verified().findings if f.what is What.MISSING} == {("a", 2)}


def test_what_is_signed_about_a_chain_that_was_never_opened() -> None:
    log = Log().begin()
    log.heads["a"] = log.heads.get("a") or unsealed().heads["a"]
    log.seal("a")
    assert kinds(log.verified()) == {What.MISSING}
    log.add(EntryKind.REMOVED, {"session": "x", "records": [["a", 1, 9], ["b", 1, 1]]})
    assert log.verified().findings == []


def test_records_from_before_there_was_a_ledger() -> None:
    log = unsealed()
    old = [record("/old", "2025-12-31T00:00:00.000000Z")] * 2
    assert Log(files={"w": old}).verified(None).notes[0].text == (
        "2 records from before there was a ledger; none is in a chain"
    )
    log.files["w"] = list(old)
    log.write("a", "w")
    assert log.verified().findings == []
    assert [n.text for n in log.verified().notes if n.what is What.UNCHAINED] == [
        "2 records from before there was a ledger; the chain begins at line 3"
    ]
    del log.files["w"][0]
    assert kinds(log.verified()) == {What.SHIFTED}


@pytest.mark.parametrize(
    "line",
    [record("/new"), record("/timeless", ""), record("/old", "2025-12-31T00:00:00.000000Z"), b'{"kind":"Event"}\n'],
)
def test_records_that_are_in_no_chain(line: bytes) -> None:
    log = ordinary()
    log.files["x"].append(line)
    (finding,) = log.verified().findings
    assert (finding.what, finding.file, finding.line) == (What.ADDED, file_of("x"), 8)


@pytest.mark.parametrize("line", [record("/new"), b'{"kind":"Event"}\n'])
def test_a_new_file_that_is_in_no_chain(line: bytes) -> None:
    log = ordinary()
    log.files["w"] = [line]
    assert kinds(log.verified()) == {What.ADDED}


def test_lines_that_were_added_before_others() -> None:
    log = ordinary()
    log.files["x"].insert(2, b"[]\n")
    (finding,) = log.verified().findings
    assert (finding.what, finding.line, finding.text) == (What.SHIFTED, 4, "3 bytes were added before this line")
