"""A tar archive that passes by: names, sizes and digests of what is in it, read without I/O and without holding it.

Names are those that an unpacking tar would use: ustar's prefix, pax records and GNU's long names count.
Source: POSIX.1, pax; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from addons.core.violation import Violation

_BLOCK = 512
_MAX_EXTENDED = 64 * 1024
_MAX_LINKS = 10_000
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}
_LONG = {b"L": "path", b"K": "linkpath"}
_RECORD = re.compile(rb"(\d+) ([^=]+)=")


class UnreadableArchive(Violation):
    """Bytes that are no tar archive, or one of a kind that is not read here."""


class PathTraversal(Violation):
    """A name that leads out of the folder an archive is unpacked in."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member, as its header says."""

    name: str
    size: int
    kind: str
    link: str = ""
    """Where a link leads."""


class TarReader:
    """One archive. Raises UnreadableArchive and PathTraversal; nothing may be fed after that."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = self._padding = 0
        self._entry = Entry("", 0, "")
        self._digest: Any = None
        self._extended: bytes | None = None
        self._type = b""
        self._overrides: dict[str, str] = {}
        self._links: set[str] = set()
        self._over = False
        self.copied: list[tuple[Entry, str]] = []
        """Members that have passed whole since it was last emptied, with their SHA-256."""

    def feed(self, data: bytes) -> Iterator[Entry]:
        """The members whose headers are complete after `data`."""
        self._buffer += data
        while not self._over:
            if self._left or self._padding:
                if not self._content():
                    break
            elif len(self._buffer) < _BLOCK:
                break
            else:
                block, self._buffer = self._buffer[:_BLOCK], self._buffer[_BLOCK:]
                if (entry := self._header(block)) is not None:
                    yield entry
        if self._over:
            self._buffer = b""

    def _content(self) -> bool:
        """Take what is there of a member; False when more has to come."""
        piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(piece)
        if self._extended is not None:
            self._extended += piece
        else:
            self._digest.update(piece)
        skipped = min(self._padding, len(self._buffer)) if not self._left else 0
        self._padding -= skipped
        self._buffer = self._buffer[skipped:]
        if self._left or self._padding:
            return False
        self._finish()
        return True

    def _finish(self) -> None:
        if self._extended is not None:
            self._overrides |= _records(self._type, self._extended)
            self._extended = None
        else:
            self.copied.append((self._entry, self._digest.hexdigest()))

    def _header(self, block: bytes) -> Entry | None:
        if not block.strip(b"\0"):
            self._over = True
            return None
        if _number(block[148:156]) != sum(block) - sum(block[148:156]) + 8 * 32:
            raise UnreadableArchive("not a tar header")
        self._type = block[156:157]
        size = _number(block[124:136])
        if self._type in (b"x", b"g", *_LONG):
            if size > _MAX_EXTENDED:
                raise UnreadableArchive("a header of a tar archive is too large")
            self._extended = b""
            self._expect(size)
            return None
        entry = self._member(block, size)
        self._overrides = {}
        self._check(entry)
        self._entry, self._digest = entry, hashlib.sha256()
        self._expect(entry.size)
        return entry

    def _member(self, block: bytes, size: int) -> Entry:
        name = _text(block[:100])
        prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
        name = self._overrides.get("path", f"{prefix}/{name}" if prefix else name)
        kind = _KINDS.get(self._type, "other")
        link = self._overrides.get("linkpath", _text(block[157:257])) if kind.endswith("link") else ""
        if "size" in self._overrides and self._overrides["size"].isdigit():
            size = int(self._overrides["size"])
        return Entry(name, 0 if kind in ("hardlink", "symlink", "directory") else size, kind, link)

    def _check(self, entry: Entry) -> None:
        """Refuses names that lead elsewhere, or through a link that the archive itself makes."""
        parts = [part for part in entry.name.split("/") if part not in ("", ".")]
        if entry.name.startswith("/") or ".." in parts or (entry.kind == "hardlink" and _leads_out(entry.link)):
            raise PathTraversal(f"the archive holds {entry.name[:200]!r}, which leads out of its folder")
        if any("/".join(parts[:end]) in self._links for end in range(1, len(parts))):
            raise PathTraversal(f"the archive holds {entry.name[:200]!r}, behind a link of its own")
        if entry.kind == "symlink":
            self._links.add("/".join(parts))
            if len(self._links) > _MAX_LINKS:
                raise UnreadableArchive("more links than are kept track of")

    def _expect(self, size: int) -> None:
        self._left, self._padding = size, -size % _BLOCK
        if not size:
            self._finish()


def _leads_out(link: str) -> bool:
    return link.startswith("/") or ".." in link.split("/")


def _number(field: bytes) -> int:
    """Octal, or GNU's base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text:
        return 0
    if not re.fullmatch(rb"[0-7]+", text):
        raise UnreadableArchive("a number of a tar header is none")
    return int(text, 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _records(kind: bytes, data: bytes) -> dict[str, str]:
    if kind in _LONG:
        return {_LONG[kind]: _text(data)}
    found: dict[str, str] = {}
    while data:
        match = _RECORD.match(data)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(data):
            raise UnreadableArchive("a pax header that is none")
        found[match[2].decode("utf-8", "replace")] = data[match.end() : length - 1].decode("utf-8", "replace")
        data = data[length:]
    return found
