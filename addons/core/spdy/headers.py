"""Header blocks: names and values, compressed as one zlib stream per direction that both ends must keep in step.

Stricter than Go's reader, which leaves what it does not need of a block for the next one: here a block holds its
headers and nothing else, and every name is there once. Draft 3.1, section 2.6.10.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from addons.core.violation import Violation

Fields = tuple[tuple[str, str], ...]
"""Names in lower case, with their values, as latin-1."""

MAX_HEADER_BYTES = 16 * 1024
"""Of one block, decompressed. Kubernetes sends three short headers."""
_NAME = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_LENGTH = 4


class HeaderDesync(Violation):
    """A header block that does not hold exactly its headers: after it, two readers would not read the same."""


class HeaderReader:
    """The blocks of one direction, in order."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def read(self, block: bytes) -> Fields:
        """The headers of one block. Raises HeaderDesync; nothing may be read after that."""
        try:
            plain = self._inflate.decompress(block, MAX_HEADER_BYTES + 1)
        except zlib.error:
            raise HeaderDesync("a header block cannot be decompressed") from None
        if len(plain) > MAX_HEADER_BYTES:
            raise HeaderDesync(f"a header block holds more than {MAX_HEADER_BYTES} bytes")
        if self._inflate.eof:
            raise HeaderDesync("a header block ends the compression")
        fields = tuple(_fields(plain))
        if len(dict(fields)) != len(fields):
            raise HeaderDesync("a header occurs twice")
        return fields


class HeaderWriter:
    """The blocks of one direction, in order."""

    def __init__(self) -> None:
        # Small windows, as browsers had them: the dictionary fits, and a session's headers never fill it.
        self._deflate = zlib.compressobj(level=9, wbits=11, memLevel=1, zdict=DICTIONARY)

    def write(self, fields: Fields) -> bytes:
        """One block."""
        parts = [len(fields).to_bytes(_LENGTH, "big")]
        for field in fields:
            for text in field:
                encoded = text.encode("latin-1")
                parts += [len(encoded).to_bytes(_LENGTH, "big"), encoded]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _fields(plain: bytes) -> Iterator[tuple[str, str]]:
    count, at = _number(plain, 0), _LENGTH
    for _ in range(count):
        name, at = _text(plain, at)
        value, at = _text(plain, at)
        if not _NAME.fullmatch(name) or b"\0" in value:
            raise HeaderDesync("a header's name is not a token in lower case, or it has several values")
        yield name.decode("latin-1"), value.decode("latin-1")
    if at != len(plain):
        raise HeaderDesync("a header block holds more than its headers")


def _text(plain: bytes, at: int) -> tuple[bytes, int]:
    end = at + _LENGTH + _number(plain, at)
    if end > len(plain):
        raise HeaderDesync("a header block ends within a header")
    return plain[at + _LENGTH : end], end


def _number(plain: bytes, at: int) -> int:
    if at + _LENGTH > len(plain):
        raise HeaderDesync("a header block ends within a header")
    return int.from_bytes(plain[at : at + _LENGTH], "big")


_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow"
    " authorization cache-control connection content-base content-encoding content-language content-length"
    " content-location content-md5 content-range content-type date etag expect expires from host if-match"
    " if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma"
    " proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status"
).split()
_LATER_WORDS = ("url", "public", "set-cookie", "keep-alive", "origin")
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _prefixed(word: str) -> bytes:
    return len(word).to_bytes(_LENGTH, "big") + word.encode()


DICTIONARY = b"".join(map(_prefixed, (*_WORDS, "200 OK", "version", "HTTP/1.1", *_LATER_WORDS))) + _TAIL.encode()
"""What both ends know before the first block; zlib refuses a stream that was made with another one."""
