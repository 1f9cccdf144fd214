"""Whether the records of an audit log are those that were written: each by itself, in its file, and in its chain.

What the ledger says of the chains is read before (`audit_ledger`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from addons.core.audit_chain import Link, read_link
from addons.core.audit_ledger import Claims, Ledger
from addons.core.audit_report import LEDGER, Report, What
from addons.core.recording import Recording, recording_of


@dataclass(frozen=True, slots=True)
class Found:
    """A record that is in a chain, and where it is."""

    link: Link
    file: str
    line: int
    recording: Recording | None = None
    """The file that it seals, if it is the last of a session that was recorded."""


def read_file(file: str, folder: str, lines: Iterable[bytes], began: str, report: Report) -> Iterator[Found]:
    """The records of one file of a session's `folder`, each looked at by itself and in its place in the file.

    What is older than `began`, when the ledger was, need not be in a chain.
    """
    first: Found | None = None
    highest: dict[str, int] = defaultdict(int)
    offset = shift = unchained = 0
    report.files += 1
    for number, line in enumerate(lines, 1):
        if (link := read_link(line, folder)) is not None:
            found = Found(link, file, number, recording_of(line))
            first = first or found
            report.records += 1
            _alone(found, highest, report)
            if offset - link.offset != shift:
                shift = _shifted(found, offset, shift, report)
            yield found
        elif (written := _written(line)) is None:
            report.note(What.TORN, file, "a torn line, as a crash leaves it", number)
        elif first or (began and not "" < written < began):
            report.find(What.ADDED, file, "a record that is in no chain", number)
        else:
            unchained += 1
        offset += len(line)
    if unchained:
        begins = f"the chain begins at line {first.line}" if first else "none is in a chain"
        report.note(What.UNCHAINED, file, f"{unchained} records from before there was a ledger; {begins}")


def _alone(record: Found, highest: dict[str, int], report: Report) -> None:
    link = record.link
    if not link.genuine:
        _wrong(What.CHANGED, record, "the record is not as it was written", report)
    if link.sequence < highest[link.chain]:
        _wrong(What.REORDERED, record, f"it comes after record {highest[link.chain]}", report)
    highest[link.chain] = max(highest[link.chain], link.sequence)


def _shifted(record: Found, offset: int, shift: int, report: Report) -> int:
    """Says what happened before a record that is not where it was written; by how much things are shifted from here."""
    now = offset - record.link.offset
    what = f"{now - shift} bytes were added" if now > shift else f"{shift - now} bytes are gone"
    _wrong(What.SHIFTED, record, f"{what} before this line", report)
    return now


def _written(line: bytes) -> str | None:
    """When an event was written that is in no chain; None if the line is no event."""
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    return str(event.get("stageTimestamp", "")) if isinstance(event, dict) and line.endswith(b"\n") else None


def check_recordings(
    found: Iterable[Found], measured: Callable[[str, str], tuple[int, str] | None], report: Report
) -> None:
    """The files that records seal: there, and as they were. `measured` says size and SHA-256 of one beside a file."""
    for record in found:
        if (sealed := record.recording) is None:
            continue
        is_now = measured(record.file, sealed.name)
        if is_now is None:
            _wrong(What.MISSING, record, f"{sealed.name}, which it seals, is not here", report)
        elif is_now != (sealed.size, sealed.digest):
            change = (
                "is not as it was written" if is_now[0] == sealed.size else f"has {is_now[0]} bytes of {sealed.size}"
            )
            _wrong(What.CHANGED, record, f"{sealed.name}, which it seals, {change}", report)


def check_chains(ledger: Ledger, found: Iterable[Found], live: frozenset[str], report: Report) -> None:
    """Every chain: its records in order and without a gap, as the ledger says. To `live` ones is written meanwhile."""
    by_chain: dict[str, list[Found]] = defaultdict(list)
    for record in found:
        by_chain[record.link.chain].append(record)
    report.chains = len(ledger.chains.keys() | by_chain.keys())
    for chain, records in sorted(by_chain.items()):
        if chain not in ledger.chains and chain not in live:
            first = records[0]
            report.find(What.LEDGER, first.file, "the ledger knows no such chain", first.line, chain)
    for chain, claims in ledger.chains.items():
        _check(chain, claims, _once(by_chain.get(chain, []), report), chain in live, report)


def _once(records: list[Found], report: Report) -> dict[int, Found]:
    """Each record once, by sequence number, in order."""
    by_sequence: dict[int, Found] = {}
    for record in sorted(records, key=lambda record: record.link.sequence):
        kept = by_sequence.setdefault(record.link.sequence, record)
        if kept is not record:
            _wrong(What.DUPLICATE, record, f"it is in {kept.file}, line {kept.line}, too", report)
    return by_sequence


def _check(chain: str, claims: Claims, records: Mapping[int, Found], live: bool, report: Report) -> None:
    last, digest = 0, claims.opened
    for sequence, record in records.items():
        if live and sequence > last + 1 > claims.sealed:
            break  # read while it is written to: of two files, the second may be further
        if sequence > last + 1:
            _gap(claims, chain, last + 1, sequence - 1, (record.file, record.line), report)
        elif record.link.previous != digest:
            _wrong(What.BROKEN, record, f"it was not written after record {last} as that is now", report)
        _against(claims, record, report)
        last, digest = sequence, record.link.digest
    if last < claims.sealed:
        _gap(claims, chain, last + 1, claims.sealed, (LEDGER, claims.seals[claims.sealed][1]), report)
    tail = sum(claims.sealed < sequence <= last for sequence in records)
    _ending(claims, chain, tail, last, live, report)


def _against(claims: Claims, record: Found, report: Report) -> None:
    """A record against what is signed of its chain."""
    sequence = record.link.sequence
    digest, line = claims.seals.get(sequence, (record.link.digest, 0))
    if digest != record.link.digest:
        _wrong(What.BROKEN, record, f"it is not the record that line {line} of the ledger is signed for", report)
    if claims.closed and sequence > claims.sealed:
        _wrong(What.ADDED, record, "the chain had been closed before it", report)


def _wrong(what: What, record: Found, text: str, report: Report) -> None:
    report.find(what, record.file, text, record.line, record.link.chain, record.link.sequence)


def _gap(claims: Claims, chain: str, first: int, last: int, place: tuple[str, int], report: Report) -> None:
    """Records that are not there, before this place."""
    for start, end in claims.unexplained(first, last):
        numbers = f"record {start}" if start == end else f"records {start} to {end}"
        if any(begin <= start and end <= stop for begin, stop in claims.lost):
            text = f"{numbers} of an unsealed tail were lost before the next start, as with the power"
            report.note(What.LOST, place[0], text, place[1], chain, start)
        elif start > claims.sealed:
            text = f"{numbers} of an unsealed tail are not here: lost with the power, or taken away"
            report.find(What.UNSEALED_GAP, place[0], text, place[1], chain, start)
        else:
            report.find(What.MISSING, place[0], f"{numbers} missing before this", place[1], chain, start)


def _ending(claims: Claims, chain: str, tail: int, last: int, live: bool, report: Report) -> None:
    """What cannot be known of a chain's end."""
    if not claims.closed and (tail or live or not claims.seals):
        state = "still written to" if live else "never closed"
        text = f"unsealed tail, {tail} records since last checkpoint ({claims.sealed}); {state}"
        report.note(What.UNSEALED, LEDGER, text, 0, chain, last)
