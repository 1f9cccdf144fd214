"""Verifying the audit log of a state folder, and removing a session from it on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from addons.core.audit_chain import EntryKind, ranges, read_link
from addons.core.audit_ledger import Ledger, LedgerReader
from addons.core.audit_report import Report
from addons.core.audit_verify import Found, check_chains, read_file
from addons.edge.audit_key import verify
from addons.edge.audit_ledger import AuditLedger
from addons.edge.audit_log import AUDIT_FILE, live_chains
from addons.edge.durable import locked_end


class StillWritten(OSError):
    """A session has records that are not sealed yet."""


def verify_state(state: Path, trusted: bytes | None = None, kept: Iterable[bytes] = ()) -> Report:
    """Everything there is to say about the audit log below `state`, which may be in use. Raises OSError.

    `trusted` is a public key that must have signed the ledger, `kept` are lines of it from a copy elsewhere.
    """
    if not (state / "sessions").is_dir() and not (state / "audit").is_dir():
        raise FileNotFoundError(f"{state} is no state folder: it has neither sessions nor audit")
    report, ledger = Report(), AuditLedger(state)
    live = live_chains(ledger)
    signed = _ledger(ledger, trusted, kept, report)
    found: list[Found] = []
    for path in sorted((state / "sessions").glob(f"*/{AUDIT_FILE}")):
        with path.open("rb") as lines:
            found += read_file(str(path.relative_to(state)), path.parent.name, lines, signed.began, report)
    check_chains(signed, found, live | live_chains(ledger), report)
    return report


def _ledger(ledger: AuditLedger, trusted: bytes | None, kept: Iterable[bytes], report: Report) -> Ledger:
    reader = LedgerReader(verify, report, kept)
    if ledger.file.exists():
        with ledger.file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                reader.read(line, number)
    reader.finish(trusted)
    return reader.ledger


def remove_session(folder: Path, ledger: AuditLedger) -> int:
    """Removes a session's folder after it is signed which records go with it; how many. Raises OSError."""
    if not (folder / AUDIT_FILE).exists():
        shutil.rmtree(folder)
        return 0
    with ledger.locked() as opened, (folder / AUDIT_FILE).open("rb") as lines, locked_end(lines.fileno()):
        signed, numbers = _ledger(ledger, None, (), Report()), _numbers(lines, folder.name)
        for chain, sequences in numbers.items():
            if chain not in signed.chains or max(sequences) > signed.chains[chain].sealed:
                raise StillWritten(f"{folder.name} has records that are not sealed yet: try again in a few seconds")
        removed = [[chain, *both] for chain, sequences in sorted(numbers.items()) for both in ranges(sequences)]
        if removed:
            opened.add(EntryKind.REMOVED, {"session": folder.name, "records": removed})
        shutil.rmtree(folder)
    return sum(map(len, numbers.values()))


def _numbers(lines: Iterable[bytes], folder: str) -> dict[str, set[int]]:
    """Sequence numbers by chain."""
    numbers: dict[str, set[int]] = {}
    for link in filter(None, (read_link(line, folder) for line in lines)):
        numbers.setdefault(link.chain, set()).add(link.sequence)
    return numbers
