"""Reading an archive back: every part verified, and a state folder made of them that `chaperone audit verify` takes.

The bucket is believed nothing. What counts of an object is its first version, which Object Lock keeps; later ones are
named. Parts of an upload that was not finished are left out, so that the ledger that is there knows every record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addons.core.archive.part import LEDGER, THE_LEDGER, File, Part, covered, place, read_label
from addons.core.audit_chain import Entry, EntryKind, Verify
from addons.core.audit_ledger import LedgerReader
from addons.core.audit_report import Report, What
from addons.edge.archive_bucket import Bucket, Strange
from addons.edge.archive_keys import ArchiveKeys, CannotOpen
from addons.edge.archive_parts import BadPart, check, content
from addons.edge.audit_key import verify

Sink = Callable[[File, int, bytes], None]
"""Takes bytes of a file that begin at an offset."""


@dataclass(slots=True)
class Fetched:
    """What was read. `left_out` are bytes of an upload that was not finished."""

    report: Report = field(default_factory=Report)
    sessions: int = 0
    parts: int = 0
    bytes: int = 0
    left_out: int = 0

    def add(self, other: Fetched) -> None:
        """Both together."""
        self.sessions, self.parts = self.sessions + other.sessions, self.parts + other.parts
        self.bytes, self.left_out = self.bytes + other.bytes, self.left_out + other.left_out
        self.report.findings += other.report.findings
        self.report.notes += other.report.notes


class _Lines(LedgerReader):
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


class Fetcher:
    """One reading of an archive. With `unfinished`, all that is there is taken."""

    def __init__(self, bucket: Bucket, keys: ArchiveKeys, sink: Sink, unfinished: bool = False) -> None:
        self.archive = ""
        self._bucket, self._keys, self._sink, self._unfinished = bucket, keys, sink, unfinished
        self._size = 0
        self._public: Mapping[str, bytes] = {}
        self._removals: dict[str, list[Mapping[str, Any]]] = {}

    def ledger(self, trusted: bytes | None = None) -> Fetched:
        """Reads the ledger, which the rest is judged by. Raises ArchiveUnavailable, and LookupError if there is none.

        `trusted` is a public key that must have signed it.
        """
        done = Fetched()
        parts = list(_sound(THE_LEDGER, self._listed(f"{LEDGER}/", done.report), done.report))
        if not parts:
            where = f"{self._bucket.options.bucket}/{self._bucket.options.prefix}"
            raise LookupError(f"{where} has no ledger: is it an archive, and archive_prefix right?")
        spans = covered(parts)
        end = spans[0].end if spans[0].start == 0 else 0
        reader = _Lines(verify, done.report)
        for part in parts:
            try:
                text = self._ledger_part(part, end, reader, done)
            except (BadPart, CannotOpen, Strange, ValueError) as error:
                done.report.find(What.CHANGED, part.key, str(error))
                break
            if text is None:
                break
            self._sink(THE_LEDGER, part.offset, text)
        reader.finish(trusted)
        if not done.parts and done.left_out:
            raise LookupError("the first upload to this archive was not finished: --unfinished takes what there is")
        self._public, self._removals = reader.keys, reader.removals
        return done

    def _ledger_part(self, part: Part, end: int, reader: _Lines, done: Fetched) -> bytes | None:
        """Bytes of the ledger, read and verified; None for the part of an upload without its end."""
        body, metadata = self._bucket.get(part)
        label = read_label(metadata)
        if label.ledger > end and not self._unfinished:
            done.left_out += part.end - part.offset
            return None
        archive = self.archive or label.archive
        where = place(archive, part.file, part.offset, part.end - part.offset, label.ledger)
        text = content(part, label, where, body, self._keys)
        reader.feed(text)  # it brings the key that it is signed by
        check(part, sha256(body).digest(), metadata, next(iter(reader.keys), ""), reader.keys.get)
        self._size, self.archive = max(self._size, label.ledger), archive
        done.parts, done.bytes = done.parts + 1, done.bytes + len(text)
        return text

    def session(self, session: str, generation: int | None = None) -> Fetched:
        """Reads a session: what was written since it was last removed from the state folder, or before a removal.

        Raises ArchiveUnavailable, UnusableArchiveKey, OSError, and LookupError if there is none.
        """
        done, by_file = Fetched(sessions=1), dict[File, list[Part]]()
        for part in self._listed(f"sessions/{session}/", done.report):
            by_file.setdefault(part.file, []).append(part)
        numbers = {file.generation for file in by_file}
        wanted = max(numbers, default=0) if generation is None else generation
        if not by_file and done.report.findings:
            return done
        if wanted not in numbers:
            raise LookupError(f"the archive has no session {session}" + (f", generation {wanted}" if wanted else ""))
        expected = dict(enumerate(self._removals.get(session, []))).get(wanted, {})
        for file, parts in sorted(by_file.items()):
            if file.generation == wanted:
                self._file(file, parts, expected.get(file.name), done)
        for name in sorted(set(expected) - {file.name for file in by_file if file.generation == wanted}):
            done.report.find(What.MISSING, File(session, wanted, name).path, "it was copied, and is not here")
        if generation is None and (earlier := numbers - {wanted}):
            text = f"it had been removed, and went on: --generation {max(earlier)} fetches what was before"
            done.report.note(What.LOST, f"sessions/{session}", text)
        return done

    def _file(self, file: File, parts: list[Part], expected: list[Any] | None, done: Fetched) -> None:
        digest, size = sha256(), 0
        for part in _sound(file, parts, done.report):
            try:
                body, metadata = self._bucket.get(part)
                label, where = check(part, sha256(body).digest(), metadata, self.archive, self._public.get)
                if label.ledger > self._size and not self._unfinished:
                    done.left_out += part.end - part.offset
                    continue
                data = content(part, label, where, body, self._keys)
            except (BadPart, CannotOpen, Strange) as error:
                done.report.find(What.CHANGED, part.key, str(error))
                continue
            self._sink(file, part.offset, data)
            digest.update(data)
            size, done.parts, done.bytes = size + len(data), done.parts + 1, done.bytes + len(data)
        done.report.files += 1
        if expected is not None and [size, digest.hexdigest()] != expected:
            done.report.find(What.CHANGED, file.path, "it is not what it was when it was removed from the state folder")

    def _listed(self, below: str, report: Report) -> Iterator[Part]:
        return self._bucket.parts(
            below, lambda key: report.find(What.ADDED, key, "no archiver writes an object of this name")
        )


def _sound(file: File, parts: Iterable[Part], report: Report) -> Iterator[Part]:
    """The parts of a file in order, each byte once; says what is missing, doubled, written over or deleted."""
    end = 0
    for part in sorted(parts, key=lambda part: (part.offset, -part.end)):
        if part.versions > 1:
            text = f"it was written over: it has {part.versions} versions, of which the first counts"
            report.find(What.DUPLICATE, part.key, text)
        if part.deleted:
            report.find(What.MISSING, part.key, "a delete marker hides it; what is under it counts")
        if part.offset > end:
            report.find(What.MISSING, file.path, f"bytes {end} to {part.offset - 1} are not here")
        elif part.offset < end:
            report.find(What.DUPLICATE, part.key, "another part has the same bytes")
            continue
        end = part.end
        yield part
