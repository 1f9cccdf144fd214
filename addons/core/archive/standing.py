"""What the archiver reads in the ledger: which records are sealed, which sessions are held or were removed.

Its lines are taken as they are: who copies them need not believe them.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from addons.core.audit_chain import Entry, EntryKind, read_place


@dataclass(slots=True)
class Standing:
    """After the lines that were taken. `archive` names the ledger: the id of its first key."""

    archive: str = ""
    sealed: dict[str, int] = field(default_factory=dict)
    holds: dict[str, bool] = field(default_factory=dict)
    """Sessions that are or were under legal hold; true if they are."""
    removals: dict[str, int] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """The next line."""
        match entry.kind:
            case EntryKind.KEY:
                self.archive = self.archive or entry.signer_after
            case EntryKind.OPEN:
                self.sealed.setdefault(str(entry.fields["chain"]), 0)
            case EntryKind.REMOVED:
                session = str(entry.fields.get("session", ""))
                self.removals[session] = self.removals.get(session, 0) + 1
            case EntryKind.HOLD:
                self.holds[entry.session] = True
            case EntryKind.RELEASE:
                self.holds[entry.session] = False
            case _:
                self.sealed[entry.head.chain] = max(self.sealed.get(entry.head.chain, 0), entry.head.sequence)


def sealed_bytes(chunk: bytes, sealed: Mapping[str, int], live: Container[str]) -> int:
    """How many bytes of these lines of an audit log may be copied: up to the first record that may still be alone.

    That is one which is not sealed, of a chain that is written to: of two such records, in two files, the second could
    be copied without the first, and look as if that had been taken away. `live` are the chains that are written to.
    """
    length = 0
    for line in chunk.splitlines(keepends=True):
        if (place := read_place(line)) is not None:
            chain, sequence = place
            if chain in live and sequence > sealed.get(chain, 0):
                break
        length += len(line)
    return length
