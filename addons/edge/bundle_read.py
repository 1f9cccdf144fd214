"""Reading bundles of sessions, which come from anywhere: verifying them, and taking flow files out.

Nothing is unpacked before it is known to be a plain file of the manifest's size, and no path of an archive is used.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

from addons.core.audit_ledger import ExtractReader
from addons.core.audit_report import Remark, What
from addons.core.bundle import (
    BLOCK,
    END,
    LEDGER_PATH,
    MANIFEST,
    MAX_MANIFEST,
    SIGNATURE,
    FileEntry,
    Header,
    Manifest,
    padding,
    read_header,
    read_manifest,
    session_of,
)
from addons.core.bundle_verify import BundleReport, SessionJudge, TooMuchWrong, check_file, conclude
from addons.edge.audit_key import verify
from addons.edge.audit_log import AUDIT_FILE

MAX_UNPACKED = 256 * 1024**3
"""Bytes of all files together; who packs more has something else in mind than evidence."""
MAX_LINE = 4 * 1024 * 1024
"""Bytes of a line; a longer one is read as several."""
_PIECE = 1024 * 1024
_ARCHIVE = "the archive"
_SIGNATURE_BYTES = 64


class UnfitBundle(ValueError):
    """A bundle that is not opened: it is not what was exported."""


class _Unpacked:
    """The bytes of an archive, so many at most. Raises EOFError when it ends too soon, ValueError when it does not."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._left = cast(BinaryIO, gzip.GzipFile(fileobj=file)), limit

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes, in pieces."""
        while size:
            yield (piece := self._taken(self._file.read(min(size, _PIECE))))
            size -= len(piece)

    def lines(self, size: int) -> Iterator[bytes]:
        """So many bytes, line by line."""
        while size:
            yield (line := self._taken(self._file.readline(min(size, MAX_LINE))))
            size -= len(line)

    def at_end(self) -> bool:
        """True if nothing follows."""
        return not self._file.read(1)

    def _taken(self, data: bytes) -> bytes:
        if not data:
            raise EOFError("it is cut off")
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("it unpacks to more than any bundle has")
        return data


class _Bundle:
    """One pass over a bundle."""

    def __init__(self, unpacked: _Unpacked, report: BundleReport, trusted: bytes | None) -> None:
        self._unpacked, self._report, self._trusted = unpacked, report, trusted
        self._ledger = ExtractReader(verify, report)
        self._judges: dict[str, SessionJudge] = {}
        self._manifest_bytes = self._small(MANIFEST, MAX_MANIFEST)
        self._signature = self._small(SIGNATURE, _SIGNATURE_BYTES)

    def verify(self) -> None:
        """Raises ValueError, OSError, EOFError, zlib.error and TooMuchWrong when nothing more can be read."""
        try:
            manifest = read_manifest(self._manifest_bytes)
        except ValueError as error:
            self._report.find(What.MANIFEST, MANIFEST, f"this is no manifest: {error}")
            return
        files = {file.path: file for file in manifest.files}
        for session in manifest.sessions:
            self._judges[session.id] = SessionJudge(session, self._ledger.ledger, self._report, files)
        self._files(manifest)
        self._ledger.finish(self._trusted)
        signed = self._ledger.signed_next(self._manifest_bytes, self._signature)
        if not signed or manifest.key != self._ledger.turn:
            self._report.find(What.MANIFEST, MANIFEST, f"it is not signed by the key whose turn it was: {manifest.key}")
        for judge in self._judges.values():
            judge.finish()
        self._report.chains = len(self._ledger.ledger.chains)
        conclude(manifest, self._judges.values(), self._trusted is not None, self._report)

    def _small(self, name: str, limit: int) -> bytes:
        head = read_header(self._unpacked.exactly(BLOCK))
        if head is None or head.odd or head.path != name or head.size > limit:
            raise ValueError(f"{name} is not where it should be")
        content = self._unpacked.exactly(head.size)
        self._pad(head)
        return content

    def _files(self, manifest: Manifest) -> None:
        pending = {file.path: file for file in manifest.files}
        while (head := read_header(self._unpacked.exactly(BLOCK))) is not None:
            wanted = pending.pop(head.path, None)
            if head.odd or wanted is None or head.size != wanted.size:
                self._unwanted(head, wanted)
            else:
                self._content(wanted)
            self._pad(head)
        if self._unpacked.exactly(len(END) - BLOCK).strip(b"\0") or not self._unpacked.at_end():
            self._report.find(What.ADDED, _ARCHIVE, "something follows its end")
        for path in pending:
            self._report.find(What.MISSING, path, "it is in the manifest, and not in the archive")

    def _unwanted(self, head: Header, wanted: FileEntry | None) -> None:
        if head.odd:
            self._report.find(What.ARCHIVE, head.path, f"{head.odd}; it was not looked into")
        elif wanted is None:
            self._report.find(What.ADDED, head.path, "it is not in the manifest, or there twice")
        else:
            check_file(wanted, head.size, "", self._report)
        for _ in self._unpacked.pieces(head.size):
            pass

    def _content(self, file: FileEntry) -> None:
        digest = sha256()

        def hashed(pieces: Iterator[bytes]) -> Iterator[bytes]:
            for piece in pieces:
                digest.update(piece)
                yield piece

        if file.path == LEDGER_PATH:
            for number, line in enumerate(hashed(self._unpacked.lines(file.size)), 1):
                self._ledger.read(line, number)
        elif file.path.endswith(f"/{AUDIT_FILE}"):
            self._judges[session_of(file.path)].read(file.path, hashed(self._unpacked.lines(file.size)))
        else:
            self._report.files += 1
            for _ in hashed(self._unpacked.pieces(file.size)):
                pass
        check_file(file, file.size, digest.hexdigest(), self._report)

    def _pad(self, head: Header) -> None:
        if self._unpacked.exactly(padding(head.size)).strip(b"\0"):
            self._report.find(What.ADDED, head.path, "something is between it and the next file")


def verify_bundle(file: Path, trusted: bytes | None = None, limit: int = MAX_UNPACKED) -> BundleReport:
    """Everything there is to say about a bundle. Raises OSError if the file cannot be read.

    `trusted` is a public key that must have signed it, or have handed over to the one that has; `limit` is how many
    bytes are unpacked at most.
    """
    report = BundleReport()
    with file.open("rb") as packed:
        try:
            _Bundle(_Unpacked(packed, limit), report, trusted).verify()
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            what = "" if isinstance(error, TooMuchWrong) else "this is no bundle, or it is damaged: "
            report.findings.append(Remark(what=What.ARCHIVE, file=_ARCHIVE, text=f"{what}{error}"))
            report.proven.clear()
    return report


def unpack_flows(file: Path, trusted: bytes | None, into: Path, limit: int) -> list[str]:
    """Writes the flow files of a bundle to `into/sessions/SESSION`; the sessions. Raises UnfitBundle, OSError."""
    if findings := verify_bundle(file, trusted).findings:
        raise UnfitBundle(f"{file} is not opened, as it is not what was exported: {findings[0]}")
    found: dict[str, None] = {}
    with file.open("rb") as packed:
        unpacked = _Unpacked(packed, MAX_UNPACKED)
        while (head := read_header(unpacked.exactly(BLOCK))) is not None:
            session, name = session_of(head.path), head.path.rpartition("/")[2]
            pieces = unpacked.pieces(head.size)
            if session and not head.odd and name.startswith("flows-"):
                found[session], limit = None, limit - head.size
                if limit < 0:
                    raise UnfitBundle(f"the flow files of {file} are too large to be opened from a bundle")
                _write(into / "sessions" / session / name, pieces)
            else:
                for _ in pieces:
                    pass
            unpacked.exactly(padding(head.size))
    return list(found)


def _write(path: Path, pieces: Iterator[bytes]) -> None:
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as new:
        for piece in pieces:
            new.write(piece)
