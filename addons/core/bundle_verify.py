"""Whether a bundle of sessions is what a gateway exported, as far as a bundle can show it, and what that proves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from addons.core.audit_chain import Link
from addons.core.audit_ledger import Claims, Ledger
from addons.core.audit_report import Report, What
from addons.core.audit_verify import Found, check_recordings, read_file
from addons.core.bundle import MANIFEST, ChainEntry, FileEntry, Manifest, SessionEntry

MAX_REMARKS = 1000


class TooMuchWrong(ValueError):
    """More was found than anybody reads."""


@dataclass(slots=True)
class BundleReport(Report):
    """What was found, what is proven if nothing was, and what a bundle cannot prove."""

    proven: list[str] = field(default_factory=list)
    not_proven: list[str] = field(default_factory=list)

    def find(self, what: What, file: str, text: str, line: int = 0, chain: str = "", sequence: int = -1) -> None:
        """Adds a finding. Raises TooMuchWrong."""
        Report.find(self, what, file, text, line, chain, sequence)
        self._limit()

    def note(self, what: What, file: str, text: str, line: int = 0, chain: str = "", sequence: int = -1) -> None:
        """Adds a note. Raises TooMuchWrong."""
        Report.note(self, what, file, text, line, chain, sequence)
        self._limit()

    def _limit(self) -> None:
        if len(self.findings) + len(self.notes) >= MAX_REMARKS:
            raise TooMuchWrong(f"after {MAX_REMARKS} remarks nothing further was looked at")


@dataclass(slots=True)
class _Chain:
    """What a session has of one chain, as far as it was read; `open` records wait for one that is signed for."""

    first: int
    last: Link
    records: int = 0
    open: int = 0


@dataclass(slots=True)
class Bound:
    """How many records are bound by hashes to a signature, how many by their number alone, how many not at all."""

    sealed: int = 0
    below: int = 0
    unsealed: int = 0


class SessionJudge:
    """Reads the records of one session, and keeps none of them; `files` are the manifest's, by path."""

    def __init__(self, session: SessionEntry, ledger: Ledger, report: Report, files: Mapping[str, FileEntry]) -> None:
        self.bound, self.session = Bound(), session
        self._ledger, self._report, self._bundled = ledger, report, files
        self._chains: dict[str, _Chain] = {}

    def read(self, file: str, lines: Iterable[bytes]) -> None:
        """Its audit log."""
        for found in read_file(file, self.session.id, lines, self._ledger.began, self._report):
            claims = self._ledger.chains.get(found.link.chain)
            if claims is None:
                self._wrong(What.LEDGER, found, "the ledger knows no such chain")
            else:
                self._take(found, claims)
            check_recordings([found], self._in_manifest, self._report)

    def finish(self) -> None:
        """Nothing follows: what it has must be what the manifest says."""
        for name, chain in self._chains.items():
            self._settle(self._ledger.chains[name], chain)
        have = [
            ChainEntry(chain=name, first=chain.first, last=chain.last.sequence, records=chain.records)
            for name, chain in sorted(self._chains.items())
        ]
        if have != self.session.chains:
            text = f"session {self.session.id} has other records than it says"
            self._report.find(What.MANIFEST, MANIFEST, text)

    def _in_manifest(self, file: str, name: str) -> tuple[int, str] | None:
        bundled = self._bundled.get(f"{file.rpartition('/')[0]}/{name}")
        return None if bundled is None else (bundled.size, bundled.sha256)

    def _take(self, found: Found, claims: Claims) -> None:
        link = found.link
        chain = self._chains.get(link.chain)
        if chain is None:
            chain = self._chains[link.chain] = _Chain(link.sequence, link)
            self._begins(found, claims)
        else:
            self._after(found, chain, claims)
        chain.last = link
        chain.records += 1
        chain.open += 1
        self._against(found, chain, claims)

    def _begins(self, found: Found, claims: Claims) -> None:
        if found.link.sequence == 1 and found.link.previous != claims.opened:
            self._wrong(What.BROKEN, found, "it was not written after the line of the ledger that opened the chain")

    def _after(self, found: Found, chain: _Chain, claims: Claims) -> None:
        """A record and the one before it in this session."""
        link, before = found.link, chain.last
        if link.sequence == before.sequence:
            self._wrong(What.DUPLICATE, found, "the record is there twice")
        elif link.sequence != before.sequence + 1:
            self._settle(claims, chain)
        elif link.previous != before.digest:
            self._wrong(What.BROKEN, found, f"it was not written after record {before.sequence} as that is now")

    def _against(self, found: Found, chain: _Chain, claims: Claims) -> None:
        """A record and what is signed of its chain."""
        link = found.link
        digest, line = claims.seals.get(link.sequence, (b"", 0))
        if digest == link.digest:
            self.bound.sealed += chain.open
            chain.open = 0
        elif digest:
            self._wrong(What.BROKEN, found, f"it is not the record that line {line} of the ledger is signed for")
        if claims.closed and link.sequence > claims.sealed:
            self._wrong(What.ADDED, found, "the chain had been closed before it")

    def _settle(self, claims: Claims, chain: _Chain) -> None:
        """The records of a run that no signature is for."""
        unsealed = min(chain.open, max(0, chain.last.sequence - claims.sealed))
        self.bound.unsealed += unsealed
        self.bound.below += chain.open - unsealed
        chain.open = 0

    def _wrong(self, what: What, found: Found, text: str) -> None:
        self._report.find(what, found.file, text, found.line, found.link.chain, found.link.sequence)


def check_file(file: FileEntry, size: int, sha256: str, report: Report) -> None:
    """A file against the manifest."""
    if size != file.size:
        report.find(What.CHANGED, file.path, f"it has {size} bytes, the manifest says {file.size}")
    elif sha256 != file.sha256:
        report.find(What.CHANGED, file.path, "its SHA-256 is not the one in the manifest")


def conclude(manifest: Manifest, judges: Iterable[SessionJudge], trusted: bool, report: BundleReport) -> None:
    """Says in words what follows, if nothing was found."""
    report.not_proven += _NOT_PROVEN
    running = [session.id for session in manifest.sessions if session.running]
    if running:
        report.not_proven.append(f"{', '.join(running)}: still written to when exported; what came later is not here.")
    if report.findings:
        return
    whose = "which you trust or a trusted key handed over to" if trusted else "which the bundle itself brings"
    report.proven.append(f"The manifest of {manifest.made_at} is signed by the key {manifest.key}, {whose}.")
    report.proven.append(f"All {len(manifest.files)} files are as they were then; none is missing, none was added.")
    for judge in judges:
        report.proven += _of_session(judge)


def _of_session(judge: SessionJudge) -> Iterator[str]:
    bound, session = judge.bound, judge.session
    total = bound.sealed + bound.below + bound.unsealed
    yield f"{session.id}: {total} records, each as it was hashed, and at its place in its file: none before it is gone."
    if bound.sealed:
        yield (
            f"{session.id}: {bound.sealed} of them are tied by unbroken hashes to checkpoints that were signed as the"
            " log was written."
        )
    if bound.below:
        yield (
            f"{session.id}: {bound.below} of them lie below a signed checkpoint, with records of other sessions in"
            " between: that they are as they were written rests on the signature of the export."
        )
    if bound.unsealed:
        yield f"{session.id}: {bound.unsealed} of them had no checkpoint yet: they rest on the signature of the export."


_NOT_PROVEN = [
    "That the sessions were whole when they were exported: records that were cut off at their end, and those of other"
    " sessions, can only be missed where the whole log is (chaperone audit verify).",
    "That flow files and decisions were as they are before the export: they are in no chain. Casts and logs of"
    " port-forwards are sealed by the last record of their call, if the gateway lived to write it.",
    "That nobody else had the signing key: whoever has it can make another bundle.",
]
