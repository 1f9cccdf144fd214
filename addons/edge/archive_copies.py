"""What the bucket has of each file, and adding to it. A part is never written twice, and what is there is the truth."""

from __future__ import annotations

import datetime
from pathlib import Path

import structlog

from addons.core.archive.part import THE_LEDGER, File, Part, Span, added, covered, part_key
from addons.edge.archive_bucket import ArchiveUnavailable, Bucket, Strange
from addons.edge.archive_keys import ArchiveKeys, CannotOpen
from addons.edge.archive_look import LedgerView
from addons.edge.archive_parts import BadPart, Maker, check, read

log = structlog.get_logger()


class Copies:
    """Of one state folder in one archive. For several threads, if each session is one thread's."""

    def __init__(self, bucket: Bucket, keys: ArchiveKeys, view: LedgerView) -> None:
        self.conflicts: dict[File, str] = {}
        """Files of which the bucket has something else, and what."""
        self._bucket, self._keys, self._view = bucket, keys, view
        self._spans: dict[File, list[Span]] = {}
        self._known: set[tuple[str, int]] = set()

    def check_whose(self) -> None:
        """Returns if the bucket has no ledger yet, or this one. Raises Strange, ArchiveUnavailable, OSError."""
        firsts = [part for part in self._bucket.parts(f"{THE_LEDGER.path}/") if part.offset == 0]
        for number, part in enumerate(firsts, 1):
            try:
                self.same(part, self._view.ledger.file)
                break
            except Strange:  # one is encrypted and one is not: anybody could put the other beside ours
                if number == len(firsts):
                    raise

    def same(self, part: Part, path: Path) -> None:
        """Returns if a part is a copy of these bytes of a file. Raises Strange, ArchiveUnavailable, OSError."""
        try:
            body, metadata = self._bucket.get(part)
            stored = read(part, body, metadata, self._view.standing.archive, self._view.key, self._keys)
        except (BadPart, CannotOpen) as error:
            raise Strange(f"{part.key} is not from this gateway: {error}; archive_prefix must be its alone") from error
        with path.open("rb") as file:
            file.seek(part.offset)
            if file.read(len(stored)) != stored:
                raise Strange(f"{part.key} is not what {path} has there")

    def spans(self, file: File) -> list[Span]:
        """What the bucket has of a file that is ours; it is asked once. Raises ArchiveUnavailable, Strange."""
        session = (file.session, file.generation)
        if session not in self._known:
            below = f"sessions/{file.session}/{file.generation}/" if file.session else f"{file.path}/"
            by_file: dict[File, list[Part]] = {}
            for part in self._bucket.parts(below):
                by_file.setdefault(part.file, []).append(part)
            for known, parts in by_file.items():
                self._spans[known] = covered(part for part in parts if self._ours(part))
            self._known.add(session)
        return self._spans.get(file, [])

    def _ours(self, part: Part) -> bool:
        """False for what somebody else has put there: it holds nothing of the file."""
        try:
            check(part, *self._bucket.head(part), self._view.standing.archive, self._view.key)
        except BadPart as error:
            self.conflict(part.file, f"{part.key} is not from this gateway: {error}")
            return False
        return True

    def end(self, file: File) -> int:
        """Where what the bucket has of a file ends."""
        return max((span.end for span in self._spans.get(file, [])), default=0)

    def put(self, file: File, path: Path, offset: int, data: bytes, maker: Maker, held: bool) -> None:
        """A part, or what is there already if it is the same. Raises ArchiveUnavailable, Strange."""
        key = part_key(self._bucket.options.prefix, file, offset, bool(self._keys))
        body, metadata = maker.make(file, offset, data)
        end = offset + len(data)
        try:
            put = self._bucket.put(key, body, metadata, held, datetime.datetime.now(datetime.UTC))
        except ArchiveUnavailable:
            self._known.discard(_session(file))  # it may have been taken all the same: the bucket is asked again
            raise
        if not put:
            there = next(self._bucket.parts(key.removeprefix(self._bucket.options.prefix)), None)
            if there is None:
                self._known.discard(_session(file))
                raise ArchiveUnavailable(f"the bucket does not take {key}", "ConditionalRequestConflict", "not now")
            self.same(there, path)
            end = there.end
        self._spans[file] = added(self._spans.get(file, []), Span(offset, end))

    def conflict(self, file: File, why: str) -> None:
        """Notes, and says once, that nothing more of a file can be copied."""
        if file not in self.conflicts:
            log.error("not archived: the bucket has something else", file=file.restored, error=why)
        self.conflicts[file] = why

    def forget(self, there: set[tuple[str, int]]) -> None:
        """Keeps nothing of sessions that are in the state folder no longer."""
        self._known = {known for known in self._known if known in there or not known[0]}
        self._spans = {file: spans for file, spans in self._spans.items() if _session(file) in self._known}
        self.conflicts = {file: why for file, why in self.conflicts.items() if _session(file) in self._known}


def _session(file: File) -> tuple[str, int]:
    return file.session, file.generation


def set_hold(bucket: Bucket, session: str, held: bool) -> int:
    """Puts all of a session in the bucket under legal hold, or lifts it; of how many objects.

    Nothing is done in an archive without Object Lock, which has no legal hold. Raises ArchiveUnavailable.
    """
    if not bucket.options.lock:
        return 0
    parts = list(bucket.parts(f"sessions/{session}/"))
    for part in parts:
        bucket.hold(part, held)
    return len(parts)
