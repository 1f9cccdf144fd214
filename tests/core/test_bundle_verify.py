"""What a bundle shows about the records of a session: tables, on logs that are made in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from addons.core.audit_chain import EntryKind, Link, ranges, read_entry, read_link
from addons.core.audit_ledger import Extract, ExtractReader
from addons.core.audit_report import What
from addons.core.bundle import ChainEntry, FileEntry, Manifest, SessionEntry
from addons.core.bundle_verify import (
    MAX_REMARKS,
    Bound,
    BundleReport,
    SessionJudge,
    TooMuchWrong,
    check_file,
    conclude,
)
from tests.core.audit_logs import FIRST, SECOND, STRANGER, Log, kinds, mac, ordinary, record, verify


def links(log: Log, folder: str) -> list[Link]:
    found = [read_link(line, folder) for line in log.files[folder]]
    return [link for link in found if link is not None]


def entry(log: Log, folder: str, running: bool = False) -> SessionEntry:
    """As an export would have it."""
    chains: dict[str, list[int]] = {}
    for link in links(log, folder):
        chains.setdefault(link.chain, []).append(link.sequence)
    return SessionEntry(
        id=folder,
        running=running,
        chains=[
            ChainEntry(chain=chain, first=numbers[0], last=numbers[-1], records=len(numbers))
            for chain, numbers in sorted(chains.items())
        ],
    )


def extract(log: Log, folder: str) -> list[bytes]:
    """The lines of the ledger that an export would take along."""
    numbers: dict[str, set[int]] = {}
    for link in links(log, folder):
        numbers.setdefault(link.chain, set()).add(link.sequence)
    picked = Extract({chain: ranges(found) for chain, found in numbers.items()})
    return [line for line in log.ledger if picked.wanted(line)]


def judged(
    log: Log,
    folder: str,
    lines: Sequence[bytes] | None = None,
    ledger: Sequence[bytes] | None = None,
    session: SessionEntry | None = None,
    trusted: bytes | None = FIRST,
    files: Sequence[FileEntry] = (),
) -> tuple[BundleReport, Bound]:
    report = BundleReport()
    reader = ExtractReader(verify, report)
    for number, line in enumerate(ledger if ledger is not None else extract(log, folder), 1):
        reader.read(line, number)
    reader.finish(trusted)
    judge = SessionJudge(session or entry(log, folder), reader.ledger, report, {each.path: each for each in files})
    judge.read(f"sessions/{folder}/audit.jsonl", log.files[folder] if lines is None else lines)
    judge.finish()
    return report, judge.bound


@pytest.mark.parametrize("folder", ["x", "y", "z"])
def test_what_was_not_touched_is_bound_as_far_as_it_can_be(folder: str) -> None:
    log = ordinary()
    report, bound = judged(log, folder)
    assert report.findings == []
    sealed = tied(log, folder)
    assert bound == Bound(sealed=sealed, below=len(log.files[folder]) - sealed)


def tied(log: Log, folder: str) -> int:
    """How many records of a folder are followed, up to some signed one, by records of the folder alone."""
    entries = [found for found in map(read_entry, log.ledger) if found is not None]
    seals = {found.head[:2] for found in entries if found.kind in (EntryKind.CHECKPOINT, EntryKind.CLOSE)}
    have = {(link.chain, link.sequence) for link in links(log, folder)}
    return sum(
        any(
            all((chain, each) in have for each in range(sequence, end + 1))
            for sealed, end in seals
            if sealed == chain and end >= sequence
        )
        for chain, sequence in have
    )


def one_session() -> Log:
    """One worker, one session: 3 sealed records, 2 that are not."""
    log = Log().begin()
    log.open("a")
    for _ in range(3):
        log.write("a", "x")
    log.seal("a")
    log.write("a", "x")
    log.write("a", "x")
    return log


def test_a_tail_that_nothing_signs_for_is_counted_apart() -> None:
    log = one_session()
    report, bound = judged(log, "x")
    assert (report.findings, bound) == ([], Bound(sealed=3, below=0, unsealed=2))
    log.write("a", "y")
    log.seal("a")
    assert judged(log, "x")[1] == Bound(sealed=3, below=2, unsealed=0)


TAMPERED: list[tuple[str, Callable[[list[bytes]], list[bytes]], set[What]]] = [
    ("changed", lambda lines: [lines[0].replace(b"Event", b"Evens"), *lines[1:]], {What.CHANGED}),
    ("first gone", lambda lines: lines[1:], {What.SHIFTED, What.MANIFEST}),
    ("middle gone", lambda lines: [lines[0], *lines[2:]], {What.SHIFTED, What.MANIFEST}),
    ("last gone", lambda lines: lines[:-1], {What.MANIFEST}),
    ("doubled", lambda lines: [*lines, lines[-1]], {What.DUPLICATE, What.SHIFTED, What.MANIFEST}),
    ("swapped", lambda lines: [lines[1], lines[0], *lines[2:]], {What.REORDERED, What.SHIFTED, What.MANIFEST}),
    ("one more", lambda lines: [*lines, record("/new")], {What.ADDED}),
    ("none", lambda lines: [], {What.MANIFEST}),
]


@pytest.mark.parametrize(("tamper", "expected"), [each[1:] for each in TAMPERED], ids=[each[0] for each in TAMPERED])
def test_what_is_done_to_records_is_found(tamper: Callable[[list[bytes]], list[bytes]], expected: set[What]) -> None:
    log = one_session()
    assert kinds(judged(log, "x", tamper(log.files["x"]))[0]) == expected


def test_another_history_does_not_fit_the_ledger() -> None:
    log = one_session()
    forged = Log().begin()
    forged.open("a")
    for number in range(5):
        forged.write("a", "x", record(f"/forged/{number}"))
    report, _ = judged(forged, "x", ledger=log.ledger)
    assert kinds(report) == {What.BROKEN}
    [broken] = report.findings
    assert (broken.line, broken.sequence) == (3, 3)


def test_a_chain_that_began_otherwise_is_found() -> None:
    log, other = one_session(), Log().begin()
    other.rotate()
    other.open("a")
    other.write("a", "x")
    report, _ = judged(other, "x", ledger=log.ledger)
    assert [(found.what, found.line) for found in report.findings] == [(What.BROKEN, 1)]


def test_records_that_do_not_follow_each_other_are_found() -> None:
    log, other = one_session(), one_session()
    other.heads["a"] = other.heads["a"]._replace(digest=bytes(32))
    other.write("a", "x")
    report, _ = judged(other, "x", ledger=log.ledger)
    assert [(found.what, found.line) for found in report.findings] == [(What.BROKEN, 6)]


def test_nothing_follows_the_end_of_a_chain() -> None:
    log = one_session()
    log.seal("a", EntryKind.CLOSE)
    log.write("a", "x")
    assert kinds(judged(log, "x")[0]) == {What.ADDED}


def test_a_chain_that_the_ledger_does_not_know_is_found() -> None:
    log = one_session()
    report, _ = judged(log, "x", ledger=log.ledger[:1])
    assert kinds(report) == {What.LEDGER, What.MANIFEST}


@pytest.mark.parametrize("folder", ["x", "y", "z"])
def test_an_extract_is_enough_and_no_more_than_that(folder: str) -> None:
    log = ordinary()
    taken = extract(log, folder)
    whole, part = judged(log, folder, ledger=log.ledger), judged(log, folder, ledger=taken)
    assert whole[1] == part[1]
    assert part[0].findings == []
    assert set(taken) <= set(log.ledger)


def test_an_extract_leaves_out_what_others_did() -> None:
    log = Log().begin()
    log.open("a")
    log.open("b")
    log.write("a", "x")
    for _ in range(5):
        log.write("a", "y")
        log.seal("a")
        log.write("b", "y")
        log.seal("b")
    log.rotate()
    log.add(EntryKind.REMOVED, {"session": "q", "records": [["a", 100, 101]]})
    log.write("a", "x")
    log.seal("a")
    log.seal("a", EntryKind.CLOSE)
    log.ledger.append(b"torn")
    taken = extract(log, "x")
    assert [log.ledger.index(line) for line in taken] == [0, 1, 3, 13, 15, 16]
    assert judged(log, "x")[0].findings == []


@pytest.mark.parametrize(
    ("trusted", "expected"), [(FIRST, set()), (SECOND, set()), (STRANGER, {What.KEY}), (None, set())]
)
def test_whose_signature_counts(trusted: bytes | None, expected: set[What]) -> None:
    report, _ = judged(ordinary(), "x", trusted=trusted)
    assert kinds(report) == expected
    assert [note.what for note in report.notes] == ([What.BELIEVED] if trusted is None else [])


def test_whose_turn_it_is() -> None:
    log = ordinary()
    reader = ExtractReader(verify, BundleReport())
    assert (reader.turn, reader.signed_next(b"m", b"")) == ("", False)
    reader.finish(None)
    for line in extract(log, "x"):
        reader.read(line, 1)
    assert reader.signed_next(b"m", mac(SECOND, b"m"))
    assert not reader.signed_next(b"m", mac(FIRST, b"m"))


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: [lines[0], *lines],
        lambda lines: [lines[0], lines[1].replace(b'"time":"2026', b'"time":"2027'), *lines[2:]],
        lambda lines: [line for line in lines if b"publicKey" not in line or line == lines[0]],
    ],
    ids=["first gone", "swapped", "doubled", "changed", "a key gone"],
)
def test_an_extract_that_was_changed_is_found(change: Callable[[list[bytes]], list[bytes]]) -> None:
    log = ordinary()
    assert What.LEDGER in kinds(judged(log, "x", ledger=change(extract(log, "x")))[0])


@pytest.mark.parametrize(("size", "digest", "found"), [(3, "0" * 64, 0), (4, "0" * 64, 1), (3, "1" * 64, 1)])
def test_a_file_against_the_manifest(size: int, digest: str, found: int) -> None:
    report = BundleReport()
    check_file(FileEntry(path="p", size=3, sha256="0" * 64), size, digest, report)
    assert len(report.findings) == found


@pytest.mark.parametrize(("digest", "what"), [("a" * 64, None), ("b" * 64, What.CHANGED), ("", What.MISSING)])
def test_a_record_seals_a_file_of_the_bundle(digest: str, what: What | None) -> None:
    log, notes = Log().begin(), {"cast": "exec-1.cast", "record-sha256": "a" * 64, "record-bytes": "9"}
    log.open("c")
    said = {f"chaperone.dev/{name}": value for name, value in notes.items()}
    text = json.dumps({"stageTimestamp": "2999-01-01T00:00:00.000000Z", "annotations": said}, separators=(",", ":"))
    log.write("c", "x", f"{text}\n".encode())
    log.seal("c")
    files = [FileEntry(path="sessions/x/exec-1.cast", size=9, sha256=digest)] if digest else []
    report, _ = judged(log, "x", files=files)
    assert kinds(report) == ({what} if what else set())


def test_too_much_is_too_much() -> None:
    report = BundleReport()
    with pytest.raises(TooMuchWrong, match="1000 remarks"):
        for number in range(MAX_REMARKS + 1):
            (report.find if number % 2 else report.note)(What.CHANGED, "f", "t")
    assert len(report.findings) + len(report.notes) == MAX_REMARKS


def concluded(log: Log, running: bool = False, trusted: bool = True, wrong: bool = False) -> BundleReport:
    session = entry(log, "x", running)
    report, reader = BundleReport(), ExtractReader(verify, BundleReport())
    for line in extract(log, "x"):
        reader.read(line, 1)
    judge = SessionJudge(session, reader.ledger, report, {})
    judge.read("sessions/x/audit.jsonl", log.files["x"])
    judge.finish()
    if wrong:
        report.find(What.CHANGED, "f", "t")
    conclude(Manifest(made_at="T", gateway="g", key="k", sessions=[session], files=[]), [judge], trusted, report)
    return report


def test_what_is_proven_is_said_in_words() -> None:
    told = concluded(one_session())
    assert told.proven == [
        "The manifest of T is signed by the key k, which you trust or a trusted key handed over to.",
        "All 0 files are as they were then; none is missing, none was added.",
        "x: 5 records, each as it was hashed, and at its place in its file: none before it is gone.",
        "x: 3 of them are tied by unbroken hashes to checkpoints that were signed as the log was written.",
        "x: 2 of them had no checkpoint yet: they rest on the signature of the export.",
    ]
    assert len(told.not_proven) == 3
    assert "which the bundle itself brings" in concluded(one_session(), trusted=False).proven[0]
    assert "x: still written to when exported" in concluded(one_session(), running=True).not_proven[-1]
    assert [line for line in concluded(ordinary()).proven if "below a signed checkpoint" in line]


def test_nothing_is_said_of_checkpoints_where_there_are_none() -> None:
    log = Log().begin()
    log.open("a")
    log.write("a", "x")
    assert concluded(log).proven[2:] == [
        "x: 1 records, each as it was hashed, and at its place in its file: none before it is gone.",
        "x: 1 of them had no checkpoint yet: they rest on the signature of the export.",
    ]


def test_nothing_is_proven_of_what_was_changed() -> None:
    told = concluded(one_session(), wrong=True)
    assert (told.proven, len(told.not_proven)) == ([], 3)
