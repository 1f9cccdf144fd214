"""In which order the parts of an archive are read, where some may be from somebody who wants none to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from addons.core.archive.part import File, Part
from addons.core.audit_chain import Entry, EntryKind, Verify
from addons.core.audit_ledger import LedgerReader
from addons.core.audit_report import Report, What


class Lines(LedgerReader):
    """Reads a ledger in pieces; `removals` are what was signed of each session when it was removed, in order."""

    def __init__(self, check: Verify, report: Report) -> None:
        super().__init__(check, report)
        self.removals: dict[str, list[Mapping[str, Any]]] = {}
        self._rest, self._number = b"", 0

    def feed(self, text: bytes) -> None:
        """What follows."""
        *lines, self._rest = (self._rest + text).split(b"\n")
        for line in lines:
            self._number += 1
            self.read(line + b"\n", self._number)

    def _take(self, entry: Entry, line: int) -> None:
        super()._take(entry, line)
        if entry.kind is EntryKind.REMOVED:
            self.removals.setdefault(str(entry.fields.get("session")), []).append(entry.fields.get("files", {}))


class Order:
    """The parts of a file, each byte once; says what is missing, doubled, written over or deleted.

    Who goes through them says which were sound, with `took`: another part of the same bytes follows one that was not.
    """

    def __init__(self, file: File, parts: Iterable[Part], encrypted: bool, report: Report) -> None:
        """Of two parts, those that are `encrypted`, or not, are first."""
        self._file, self._report = file, report
        self._parts = sorted(parts, key=lambda part: (part.offset, part.encrypted is not encrypted, -part.end))
        self._taken = 0

    def took(self, part: Part) -> None:
        """This one was sound."""
        self._taken = part.end

    def __iter__(self) -> Iterator[Part]:
        seen = 0
        for part in self._parts:
            if part.versions > 1:
                text = f"it was written over: it has {part.versions} versions, of which the first counts"
                self._report.find(What.DUPLICATE, part.key, text)
            if part.deleted:
                self._report.find(What.MISSING, part.key, "a delete marker hides it; what is under it counts")
            if part.offset < self._taken:
                self._report.find(What.DUPLICATE, part.key, "another part has the same bytes")
                continue
            if part.offset > seen:
                self._report.find(What.MISSING, self._file.path, f"bytes {seen} to {part.offset - 1} are not here")
            seen = max(seen, part.end)
            yield part


class Spare:
    """Lines of a part of the ledger that is not sound: they are read, and judged one by one, if no other has them."""

    def __init__(self, reader: Lines) -> None:
        self._reader, self._offset, self._text = reader, 0, b""

    def keep(self, offset: int, text: bytes) -> None:
        """The first that is kept for an offset counts."""
        if not self._text:
            self._offset, self._text = offset, text

    def drop(self) -> None:
        """Another part has them."""
        self._text = b""

    def pass_by(self, offset: int) -> None:
        """The next part begins here."""
        if offset > self._offset:
            self.use()

    def use(self) -> None:
        """No other part has them."""
        self._reader.feed(self._text)
        self._text = b""
