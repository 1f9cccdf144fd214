"""Parts: what the objects of an archive are called, what they say of themselves, and whether they make a whole file.

A file of evidence only grows, so its bytes are stored in parts: the object `FILE/OFFSET` holds what begins there. FILE
is `audit/ledger.jsonl`, or `sessions/SESSION/GENERATION/NAME`; the generation is how often the session had been removed
from the state folder before, as a session that goes on after that begins its files anew. The key has no length in it,
so that of two writers that saw different ends only one can be first (`If-None-Match: *`).

Each part is signed by the key of the audit ledger: archive, file, offset, length, how long the ledger was when the part
was made, and the SHA-256 of the object. What reads a bucket therefore needs to trust nobody who may write to it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

FORMAT = "chaperone.dev/archive/v1"
LEDGER = "audit/ledger.jsonl"
ENCRYPTED = ".aes256gcm"
TAG_BYTES, NONCE_BYTES = 16, 12
NAME = r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}"
_FILE = re.compile(
    rf"(?P<ledger>{re.escape(LEDGER)})|sessions/(?P<session>{NAME})/(?P<number>\d{{1,6}})/(?P<name>{NAME})"
)
_KEY = re.compile(rf"(?P<file>.+)/(?P<offset>\d{{16}})(?P<encrypted>{re.escape(ENCRYPTED)})?")


class File(NamedTuple):
    """A file of evidence; the ledger is of no session."""

    session: str
    generation: int
    name: str

    @property
    def path(self) -> str:
        """Below the prefix of the archive."""
        return f"sessions/{self.session}/{self.generation}/{self.name}" if self.session else LEDGER

    @property
    def restored(self) -> str:
        """Below a state folder."""
        return f"sessions/{self.session}/{self.name}" if self.session else LEDGER


THE_LEDGER = File("", 0, LEDGER)


class Part(NamedTuple):
    """An object of the archive, as a bucket lists it: its first version, and what happened after that.

    `size` is that of the object, `versions` how many there are, `deleted` is true if a delete marker hides them.
    """

    file: File
    offset: int
    encrypted: bool
    key: str
    version: str
    size: int
    versions: int = 1
    deleted: bool = False

    @property
    def end(self) -> int:
        """Where in the file it ends."""
        return self.offset + self.size - (TAG_BYTES if self.encrypted else 0)


class Span(NamedTuple):
    """Bytes of a file, from `start` to before `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a part says of itself: `ledger` is the ledger's length when it was made, `wrapped` its data key."""

    archive: str
    ledger: int
    signer: str
    signature: bytes
    wrapping: str = ""
    wrapped: bytes = b""
    nonce: bytes = b""

    def metadata(self) -> dict[str, str]:
        """As it is stored beside the object."""
        told = {
            "format": FORMAT,
            "archive": self.archive,
            "ledger": str(self.ledger),
            "signer": self.signer,
            "signature": self.signature.hex(),
        }
        if self.wrapping:
            told |= {"wrapping-key": self.wrapping, "wrapped-key": b64encode(self.wrapped).decode()}
            told |= {"nonce": b64encode(self.nonce).decode()}
        return told


def read_label(metadata: Mapping[str, str]) -> Label:
    """Raises ValueError for the metadata of an object that no archiver has written."""
    try:
        if metadata["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return Label(
            archive=metadata["archive"],
            ledger=int(metadata["ledger"]),
            signer=metadata["signer"],
            signature=bytes.fromhex(metadata["signature"]),
            wrapping=metadata.get("wrapping-key", ""),
            wrapped=b64decode(metadata.get("wrapped-key", ""), validate=True),
            nonce=b64decode(metadata.get("nonce", ""), validate=True),
        )
    except KeyError as error:
        raise ValueError(f"it does not say its {error.args[0]}") from error
    except BadBase64 as error:
        raise ValueError("its wrapped key is not in base64") from error


def place(archive: str, file: File, offset: int, length: int, ledger: int) -> bytes:
    """Where a part belongs: what encryption binds it to, and the beginning of what is signed."""
    return f"{FORMAT}\n{archive}\n{file.path}\n{offset}\n{length}\n{ledger}\n".encode()


def signed(where: bytes, digest: bytes) -> bytes:
    """What the signature of a part is over; `digest` is the SHA-256 of the object as it is stored."""
    return where + digest.hex().encode()


def part_key(prefix: str, file: File, offset: int, encrypted: bool) -> str:
    """The key of the object that begins at this offset of a file."""
    return f"{prefix}{file.path}/{offset:016d}{ENCRYPTED if encrypted else ''}"


def read_key(prefix: str, key: str) -> tuple[File, int, bool] | None:
    """File, offset, and whether it is encrypted; None for a key that no archiver writes."""
    if not key.startswith(prefix) or (found := _KEY.fullmatch(key, len(prefix))) is None:
        return None
    file = read_file(found["file"])
    return (file, int(found["offset"]), found["encrypted"] is not None) if file is not None else None


def read_file(path: str) -> File | None:
    """The file that a path below the prefix is of; None if it is of none."""
    if (found := _FILE.fullmatch(path)) is None:
        return None
    if found["ledger"]:
        return THE_LEDGER
    number = int(found["number"])
    return File(found["session"], number, found["name"]) if found["number"] == str(number) else None


def covered(parts: Iterable[Part]) -> list[Span]:
    """Which bytes of a file are there, as spans in order that do not touch."""
    spans: list[Span] = []
    for part in sorted(parts, key=lambda part: part.offset):
        if spans and part.offset <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(spans[-1].end, part.end))
        elif part.end > part.offset:
            spans.append(Span(part.offset, part.end))
    return spans


def first_gap(spans: Sequence[Span], size: int) -> Span | None:
    """The first bytes of a file of this size that are not there; None if all are."""
    start = spans[0].end if spans and spans[0].start == 0 else 0
    rest = [span.start for span in spans if span.start > start]
    end = min([size, *rest])
    return Span(start, end) if start < end else None


def added(spans: Iterable[Span], new: Span) -> list[Span]:
    """The spans, with another."""
    merged: list[Span] = []
    for span in sorted([*spans, new]):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged
