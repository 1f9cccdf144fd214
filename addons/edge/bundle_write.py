"""Exporting sessions: their folders, and what is needed to verify them elsewhere, as one signed archive.

Every file is read twice, once for the manifest and once for the archive, and none is held in memory. What is appended
meanwhile is left out; a file that is otherwise not the same the second time ends the export.
"""

from __future__ import annotations

import gzip
import os
import platform
import stat
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from addons.core.audit import Stage, timestamp
from addons.core.audit_chain import ranges, read_link
from addons.core.audit_ledger import Extract
from addons.core.bundle import (
    END,
    LEDGER_PATH,
    MANIFEST,
    MAX_MANIFEST,
    SIGNATURE,
    ChainEntry,
    FileEntry,
    Manifest,
    SessionEntry,
    header,
    padding,
)
from addons.edge.audit_check import StillWritten
from addons.edge.audit_key import SigningKey
from addons.edge.audit_ledger import AuditLedger
from addons.edge.audit_log import AUDIT_FILE, live_chains
from addons.edge.durable import locked_end, sync_folder

PIECE = 1024 * 1024
_OVER = {Stage.RESPONSE_COMPLETE.value, Stage.PANIC.value}


@dataclass(slots=True)
class _Survey:
    """What a session's folder holds, and which calls of which chains have not ended."""

    folder: Path
    files: list[FileEntry] = field(default_factory=list)
    chains: dict[str, array[int]] = field(default_factory=dict)
    going_on: dict[str, str] = field(default_factory=dict)

    def read(self, line: bytes) -> bytes:
        """A line of the audit log, as it is."""
        if (link := read_link(line, self.folder.name)) is not None:
            self.chains.setdefault(link.chain, array("q")).append(link.sequence)
            event = orjson.loads(line) if link.genuine else {}
            call = event.get("auditID", "")
            if event.get("stage") in _OVER:
                self.going_on.pop(call, None)
            else:
                self.going_on[call] = link.chain
        return line

    def running(self, live: frozenset[str], sealed: dict[str, int]) -> bool:
        """True if a worker that runs has calls here that go on, or records that nothing is signed for yet."""
        unsealed = any(max(numbers) > sealed[chain] for chain, numbers in self.chains.items() if chain in live)
        return unsealed or not live.isdisjoint(self.going_on.values())

    def entry(self, running: bool) -> SessionEntry:
        """As the manifest has it."""
        chains = [
            ChainEntry(chain=chain, first=numbers[0], last=numbers[-1], records=len(numbers))
            for chain, numbers in sorted(self.chains.items())
        ]
        return SessionEntry(id=self.folder.name, running=running, chains=chains)


def export(folders: Iterable[Path], ledger: AuditLedger, out: Path, running: bool, now: float) -> SigningKey:
    """Writes sessions to a new file; the key that signed. Raises StillWritten unless `running` is wanted, OSError."""
    if out.exists():
        raise FileExistsError(f"{out} is there already")
    surveys = [_survey(folder) for folder in sorted(set(folders), key=lambda folder: folder.name)]
    live = live_chains(ledger)
    with tempfile.TemporaryFile() as extract:
        key, sealed = _extract(ledger, surveys, extract)
        sessions = [survey.entry(survey.running(live, sealed)) for survey in surveys]
        if not running:
            _refuse([session.id for session in sessions if session.running])
        size = extract.tell()
        files = [FileEntry(path=LEDGER_PATH, size=size, sha256=_digest(_pieces(extract, size)))]
        files += [file for survey in surveys for file in survey.files]
        manifest = Manifest(
            made_at=timestamp(now), gateway=platform.node(), key=key.id, sessions=sessions, files=files
        ).written()
        if len(manifest) > MAX_MANIFEST:
            raise ValueError("too many files for one bundle: take fewer sessions")
        with _new(out) as archive:
            for name, content in ((MANIFEST, manifest), (SIGNATURE, key.sign(manifest))):
                _add(archive, name, len(content), [content])
            _add(archive, LEDGER_PATH, size, _pieces(extract, size))
            for survey in surveys:
                _add_session(archive, survey)
            archive.write(END)
            if not running:
                _refuse([survey.folder.name for survey in surveys if _changed(survey)])
    return key


def _refuse(ids: list[str]) -> None:
    if ids:
        raise StillWritten(
            f"still written to: {', '.join(ids)}; wait a few seconds, or take it as it is with --running"
        )


def _survey(folder: Path) -> _Survey:
    survey = _Survey(folder)
    for path in _files(folder):
        with opened(path) as file:
            if path.name == AUDIT_FILE:
                with locked_end(file.fileno()) as (size, _):
                    pass
                digest = _digest(map(survey.read, _lines(file, size)))
            else:
                size = os.fstat(file.fileno()).st_size
                digest = _digest(_pieces(file, size))
        survey.files.append(FileEntry(path=f"sessions/{folder.name}/{path.name}", size=size, sha256=digest))
    return survey


def _files(folder: Path) -> list[Path]:
    """What is evidence; what begins with a dot is a file that is being made."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def opened(path: Path) -> BinaryIO:
    """A plain file, to be read. Raises OSError for everything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no plain file")
    return os.fdopen(descriptor, "rb")


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (line := file.readline(size)):
        size -= len(line)
        yield line


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    file.seek(0)
    while size > 0 and (piece := file.read(min(size, PIECE))):
        size -= len(piece)
        yield piece


def _digest(pieces: Iterable[bytes]) -> str:
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _extract(ledger: AuditLedger, surveys: list[_Survey], into: BinaryIO) -> tuple[SigningKey, dict[str, int]]:
    """Writes the lines of the ledger that the records need; the key whose turn it is after them, what was sealed."""
    numbers: dict[str, list[int]] = {}
    for survey in surveys:
        for chain, sequences in survey.chains.items():
            numbers.setdefault(chain, []).extend(sequences)
    extract = Extract({chain: ranges(sequences) for chain, sequences in numbers.items()})
    with ledger.locked() as locked:
        assert locked.last is not None
        key = ledger.keys.of_turn(locked.last.signer_after)
        size = ledger.file.stat().st_size
    with ledger.file.open("rb") as lines:
        into.writelines(line for line in _lines(lines, size) if extract.wanted(line))
    return key, extract.sealed


@contextmanager
def _new(out: Path) -> Iterator[BinaryIO]:
    """A gzip file that is there whole or not at all, for its owner alone."""
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as archive:
                yield cast(BinaryIO, archive)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, out)  # never over a file that came meanwhile
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(out.absolute().parent)


def _add(archive: BinaryIO, path: str, size: int, pieces: Iterable[bytes]) -> str:
    """Writes a file; its SHA-256."""
    archive.write(header(path, size))
    digest, written = sha256(), 0
    for piece in pieces:
        archive.write(piece)
        digest.update(piece)
        written += len(piece)
    if written != size:
        raise OSError(f"{path} was cut off meanwhile")
    archive.write(bytes(padding(size)))
    return digest.hexdigest()


def _add_session(archive: BinaryIO, survey: _Survey) -> None:
    for entry in survey.files:
        path = survey.folder / Path(entry.path).name
        with opened(path) as file:
            if _add(archive, entry.path, entry.size, _pieces(file, entry.size)) != entry.sha256:
                raise OSError(f"{path} was changed meanwhile")


def _changed(survey: _Survey) -> bool:
    """True if more has come since."""
    then = [(Path(entry.path).name, entry.size) for entry in survey.files]
    return [(path.name, path.stat().st_size) for path in _files(survey.folder)] != then
