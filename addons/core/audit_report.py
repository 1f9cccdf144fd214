"""What there is to say about an audit log: findings, and notes about what a crash can do or nobody can know."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from addons.core.printable import printable

LEDGER = "audit/ledger.jsonl"


class What(StrEnum):
    """Kinds of findings and, from TORN on, of notes."""

    CHANGED = "changed"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    REORDERED = "reordered"
    SHIFTED = "shifted"
    BROKEN = "broken"
    ADDED = "added"
    UNSEALED_GAP = "unsealed gap"
    LEDGER = "ledger"
    KEY = "key"
    ARCHIVE = "archive"
    MANIFEST = "manifest"
    TORN = "torn"
    LOST = "lost"
    UNSEALED = "unsealed"
    UNCHAINED = "unchained"
    BELIEVED = "believed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something about a place; line 0 and sequence -1 are none in particular."""

    what: What
    file: str
    line: int = 0
    chain: str = ""
    sequence: int = -1
    text: str

    def __str__(self) -> str:
        """One line for people."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        which = f" [{self.chain}{f' #{self.sequence}' if self.sequence >= 0 else ''}]" if self.chain else ""
        return printable(f"{where}{which} {self.what}: {self.text}")


@dataclass(slots=True)
class Report:
    """What was found and noted, and what was looked at."""

    findings: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)
    files: int = 0
    records: int = 0
    entries: int = 0
    chains: int = 0
    keys: list[str] = field(default_factory=list)
    """Ids of the keys that signed, in order."""

    def find(self, what: What, file: str, text: str, line: int = 0, chain: str = "", sequence: int = -1) -> None:
        """Adds a finding."""
        self.findings.append(Remark(what=what, file=file, line=line, chain=chain, sequence=sequence, text=text))

    def note(self, what: What, file: str, text: str, line: int = 0, chain: str = "", sequence: int = -1) -> None:
        """Adds a note."""
        self.notes.append(Remark(what=what, file=file, line=line, chain=chain, sequence=sequence, text=text))
