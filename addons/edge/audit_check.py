"""Verifying the audit log of a state folder, and removing a session from it on purpose."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from addons.core.audit_chain import EntryKind, ranges, read_link
from addons.core.audit_ledger import Ledger, LedgerReader
from addons.core.audit_report import Report
from addons.core.audit_verify import Found, check_chains, check_recordings, read_file
from addons.edge.audit_key import verify
from addons.edge.audit_ledger import AuditLedger
from addons.edge.audit_log import AUDIT_FILE, live_chains
from addons.edge.durable import locked_end


class Kept(OSError):
    """A session is not removed, and the reason."""


class StillWritten(Kept):
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
            read = list(read_file(str(path.relative_to(state)), path.parent.name, lines, signed.began, report))
        check_recordings(read, lambda file, name: _measured((state / file).with_name(name)), report)
        found += read
    check_chains(signed, found, live | live_chains(ledger), report)
    return report


def _measured(file: Path) -> tuple[int, str] | None:
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
            return opened.tell(), digest
    except FileNotFoundError:
        return None


def _ledger(ledger: AuditLedger, trusted: bytes | None, kept: Iterable[bytes], report: Report) -> Ledger:
    reader = LedgerReader(verify, report, kept)
    if ledger.file.exists():
        with ledger.file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                reader.read(line, number)
    reader.finish(trusted)
    return reader.ledger


class SignedLedger:
    """What is signed in a ledger, read on from where it was read to."""

    def __init__(self, ledger: AuditLedger) -> None:
        self._file, self._reader = ledger.file, LedgerReader(verify, Report())
        self._position = self._lines = 0

    def read_on(self) -> Ledger:
        """As it is now. Takes 0.2 ms a line. Raises OSError."""
        if self._file.exists():
            with self._file.open("rb") as lines:
                lines.seek(self._position)
                for line in lines:
                    if line.endswith(b"\n"):
                        self._lines, self._position = self._lines + 1, self._position + len(line)
                        self._reader.read(line, self._lines)
        return self._reader.ledger


def remove_session(
    folder: Path,
    ledger: AuditLedger,
    archived: Mapping[str, list[int | str]] | None = None,
    reading: SignedLedger | None = None,
) -> int:
    """Removes a session's folder after it is signed which records go with it; how many. Raises Kept, OSError.

    `archived` is size and SHA-256 of each of its files as they are in an archive; what is larger by now stays.
    """
    reading = reading or SignedLedger(ledger)
    must_not_be_held(folder.name, reading.read_on())  # most of it is read before anybody has to wait
    with ledger.locked() as opened:
        signed = reading.read_on()
        must_not_be_held(folder.name, signed)
        with _locked_audit(folder) as lines:
            numbers = _numbers(lines, folder.name)
            _must_be_sealed(folder.name, numbers, signed)
            _must_be_archived(folder, archived)
            removed = [[chain, *both] for chain, sequences in sorted(numbers.items()) for both in ranges(sequences)]
            files = {"files": archived} if archived is not None else {}
            if removed or files:
                opened.add(EntryKind.REMOVED, {"session": folder.name, "records": removed, **files})
            shutil.rmtree(folder)
    return sum(map(len, numbers.values()))


def must_not_be_held(session: str, signed: Ledger) -> None:
    """Returns if a session is under no legal hold. Raises Kept."""
    if (hold := signed.held.get(session)) is not None:
        raise Kept(
            f"{session} is under legal hold since {hold.time} by {hold.fields['by']}: {hold.fields['reason']};"
            f" lift it with: chaperone sessions release {session} --reason WHY"
        )


@contextmanager
def _locked_audit(folder: Path) -> Iterator[Iterable[bytes]]:
    """The lines of a session's audit log, while nobody adds to it; none where there is none."""
    if not (folder / AUDIT_FILE).exists():
        yield ()
        return
    with (folder / AUDIT_FILE).open("rb") as lines, locked_end(lines.fileno()):
        yield lines


def _must_be_sealed(session: str, numbers: Mapping[str, set[int]], signed: Ledger) -> None:
    for chain, sequences in numbers.items():
        if chain not in signed.chains or max(sequences) > signed.chains[chain].sealed:
            raise StillWritten(f"{session} has records that are not sealed yet: try again in a few seconds")


def _must_be_archived(folder: Path, archived: Mapping[str, list[int | str]] | None) -> None:
    for path in folder.iterdir() if archived is not None else ():
        size, _ = (archived or {}).get(path.name, (-1, ""))
        if path.stat().st_size != size and not path.name.startswith("."):
            raise StillWritten(f"{folder.name}/{path.name} was written to meanwhile: try again later")


def _numbers(lines: Iterable[bytes], folder: str) -> dict[str, set[int]]:
    """Sequence numbers by chain."""
    numbers: dict[str, set[int]] = {}
    for link in filter(None, (read_link(line, folder) for line in lines)):
        numbers.setdefault(link.chain, set()).add(link.sequence)
    return numbers
