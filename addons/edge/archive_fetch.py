"""Reading an archive back: every part verified, and a state folder made of them that `chaperone audit verify` takes.

The bucket is believed nothing. What counts of an object is its first version, which Object Lock keeps; later ones are
named. Parts of an upload that was not finished are left out, so that the ledger that is there knows every record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addons.core.archive.part import LEDGER, THE_LEDGER, File, Part, covered, place, read_label
from addons.core.audit_report import Report, What
from addons.edge.archive_bucket import Bucket, Strange
from addons.edge.archive_keys import ArchiveKeys, CannotOpen, UnusableArchiveKey
from addons.edge.archive_order import Lines, Order, Spare
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
        parts = list(self._listed(f"{LEDGER}/", done.report))
        if not parts:
            where = f"{self._bucket.options.bucket}/{self._bucket.options.prefix}"
            raise LookupError(f"{where} has no ledger: is it an archive, and archive_prefix right?")
        spans = covered(parts)
        end = spans[0].end if spans and spans[0].start == 0 else 0
        reader = Lines(verify, done.report)
        self._ledger_parts(Order(THE_LEDGER, parts, bool(self._keys), done.report), end, reader, done)
        reader.finish(trusted)
        if not done.parts and done.left_out:
            raise LookupError("the first upload to this archive was not finished: --unfinished takes what there is")
        self._public, self._removals = reader.keys, reader.removals
        return done

    def _ledger_parts(self, order: Order, end: int, reader: Lines, done: Fetched) -> None:
        """Reads the lines of each part that is sound, and of those that are not, where no other has their place."""
        spare, sealed = Spare(reader), None
        for part in order:
            spare.pass_by(part.offset)
            try:
                found = self._ledger_part(part, end, reader, spare)
            except (BadPart, CannotOpen, Strange, ValueError) as error:
                sealed = sealed or error.__cause__
                done.report.find(What.CHANGED, part.key, str(error))
                continue
            spare.drop()
            if found is None:
                done.left_out += part.end - part.offset
                break
            reader.feed(found)
            order.took(part)
            self._sink(THE_LEDGER, part.offset, found)
            done.parts, done.bytes = done.parts + 1, done.bytes + len(found)
        spare.use()
        if isinstance(sealed, UnusableArchiveKey) and not (done.parts or done.left_out):
            raise sealed

    def _ledger_part(self, part: Part, end: int, reader: Lines, spare: Spare) -> bytes | None:
        """Bytes of the ledger, verified; None for the part of an upload without its end.

        It may bring the key that it is signed by. Before it is verified it stops nothing: anybody who may write to the
        bucket can put something like it in the way.
        """
        body, metadata = self._bucket.get(part)
        label, digest = read_label(metadata), sha256(body).digest()
        archive = self.archive or label.archive
        where = place(archive, part.file, part.offset, part.end - part.offset, label.ledger)
        if label.signer in reader.keys:
            check(part, digest, metadata, archive, reader.keys.get)
        try:
            text = content(part, label, where, body, self._keys)
        except UnusableArchiveKey as error:
            if label.signer in reader.keys:
                raise
            raise BadPart(f"the lines before it do not name the key {label.signer} that signed it; {error}") from error
        if label.signer not in reader.keys:
            spare.keep(part.offset, text)
            trial = deepcopy(reader)
            trial.feed(text)
            check(part, digest, metadata, next(iter(trial.keys), ""), trial.keys.get)
        if label.ledger > end and not self._unfinished:
            return None
        self._size, self.archive = max(self._size, label.ledger), archive
        return text

    @property
    def removed(self) -> set[str]:
        """Sessions that must be in the archive, by the ledger: they were removed once they were."""
        return {session for session, removals in self._removals.items() if any(removals)}

    def session(self, session: str, generation: int | None = None, every: bool = False) -> Fetched:
        """Reads a session: what was written since it was last removed from the state folder, or before a removal.

        With `every`, all of that, one after the other. Raises ArchiveUnavailable, UnusableArchiveKey, OSError, and
        LookupError if there is none.
        """
        done, by_file = Fetched(sessions=1), dict[File, list[Part]]()
        for part in self._listed(f"sessions/{session}/", done.report):
            by_file.setdefault(part.file, []).append(part)
        there = {file.generation for file in by_file}
        copied = {number: files for number, files in enumerate(self._removals.get(session, [])) if files}
        wanted = max(there | set(copied), default=0) if generation is None else generation
        if not (by_file or copied) and done.report.findings:
            return done
        if wanted not in there | set(copied):
            raise LookupError(f"the archive has no session {session}" + (f", generation {wanted}" if wanted else ""))
        for number in sorted(there | set(copied)) if every else [wanted]:
            self._generation(session, number, by_file, copied.get(number, {}), done)
        if generation is None and not every and (earlier := (there | set(copied)) - {wanted}):
            text = f"it had been removed, and went on: --generation {max(earlier)} fetches what was before"
            done.report.note(What.LOST, f"sessions/{session}", text)
        return done

    def _generation(
        self,
        session: str,
        number: int,
        by_file: Mapping[File, list[Part]],
        expected: Mapping[str, Any],
        done: Fetched,
    ) -> None:
        for file, parts in sorted(by_file.items()):
            if file.generation == number:
                self._file(file, parts, expected.get(file.name), done)
        for name, (size, _) in sorted(expected.items()):
            if size and File(session, number, name) not in by_file:
                done.report.find(What.MISSING, File(session, number, name).path, "it was copied, and is not here")

    def _file(self, file: File, parts: list[Part], expected: list[Any] | None, done: Fetched) -> None:
        digest, size = sha256(), 0
        order = Order(file, parts, bool(self._keys), done.report)
        for part in order:
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
            order.took(part)
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
