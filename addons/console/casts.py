"""Recordings of terminals: for the player as they are, and as plain text for whoever has none."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Iterator
from html import escape
from io import BufferedReader
from pathlib import Path

import orjson
from fastapi.responses import Response, StreamingResponse

from addons.console import html
from addons.console.gate import WATCHING, Refused, Visit, shown
from addons.console.parts import Parts
from addons.console.views import frame
from addons.core.cast_view import told
from addons.edge.archive import StoredSession, UnknownSession, stored_session
from addons.edge.search_rows import whole_lines

CAST = re.compile(r"exec-[0-9A-Za-z][0-9A-Za-z._-]{0,99}\.cast")
_CHUNK = 256 * 1024
_PAGE_BYTES = 128 * 1024
_LEVEL = 1
WATCH_SECONDS = 2


async def find(parts: Parts, session_id: str, name: str) -> tuple[StoredSession, Path]:
    """A session and one of its casts. Raises UnknownSession."""
    stored = await asyncio.to_thread(stored_session, parts.state, session_id)
    path = stored.folder / name
    if not CAST.fullmatch(name) or path.is_symlink() or not path.is_file():
        raise UnknownSession(f"there is no recording {name!r}")
    return stored, path


async def cast(visit: Visit) -> Response:
    """All of it, as far as it is recorded; in pieces, so that it begins at once however long it is."""
    _, path = await find(visit.parts, visit.id, str(visit.request.path_params["name"]))
    zipped = "gzip" in visit.request.headers.get("accept-encoding", "")
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"} if zipped else {"Vary": "Accept-Encoding"}
    return StreamingResponse(_pieces(path, zipped), media_type="application/x-asciicast", headers=headers)


async def as_text(visit: Visit) -> Response:
    """A part of it, from a place in the file on; `watch` is its end, which loads itself again."""
    stored, path = await find(visit.parts, visit.id, str(visit.request.path_params["name"]))
    watching = WATCHING in visit.request.query_params
    try:
        start = int(visit.request.query_params.get("from", "0"))
    except ValueError as error:
        raise Refused(400, "This is no place in a recording.") from error
    content, after = await asyncio.to_thread(_text, path, start, watching)
    page = f"{visit.base}/sessions/{stored.id}"
    here = f"{page}/casts/{path.name}/text"
    ways = [html.link(f"{page}?cast={path.name}", "Session and replay"), html.link(here, "From its beginning")]
    ways.append(html.link(f"{here}?{WATCHING}", "Watch its end"))
    if after:
        ways.append(html.link(f"{here}?from={after}", "Go on"))
    refresh = f'<meta http-equiv="refresh" content="{WATCH_SECONDS};url={here}?{WATCHING}">' if watching else ""
    body = f'<pre dir="ltr" tabindex="0">{content}</pre>'
    way = f"<p>{' · '.join(ways)}</p>"
    return shown(frame(visit, f"Recording {path.name}", way, body, way, refresh=refresh))


async def _pieces(path: Path, zipped: bool) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31) if zipped else None
    with path.open("rb") as file:
        while data := await asyncio.to_thread(_packed, file, packer):
            yield data[0]
    if packer is not None:
        yield packer.flush()


def _packed(file: BufferedReader, packer: zlib._Compress | None) -> tuple[bytes] | None:
    """The next piece, which may be nothing yet; None at the end."""
    data = file.read(_CHUNK)
    if not data:
        return None
    return (data,) if packer is None else (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH),)


def _text(path: Path, start: int, watching: bool) -> tuple[str, int]:
    """HTML of a part, and where the next begins; 0 for nowhere."""
    with path.open("rb") as file:
        lines = whole_lines(file, 0, 1)
        first, header = next(lines, (0, b"{}"))
        size = path.stat().st_size
        begin = max(first, size - _PAGE_BYTES // 4 if watching else start)
        if begin > first:
            file.seek(begin - 1)
            begin += len(file.readline()) - 1
        ends: list[int] = []
        content = _html(_decoded(file, begin, ends), _is_tty(header))
    after = ends[-1] if ends and not watching and ends[-1] < size and ends[-1] - begin >= _PAGE_BYTES else 0
    return content, after


def _decoded(file: BufferedReader, begin: int, ends: list[int]) -> Iterator[str]:
    for end, line in whole_lines(file, begin, _PAGE_BYTES):
        ends.append(end)
        yield line.decode("utf-8", "replace")


def _html(lines: Iterator[str], tty: bool) -> str:
    """Text that was printed as it is; what was typed, and notes, on lines of their own."""
    parts: list[str] = []
    for kind, text, _ in told(lines, tty):
        parts.append(escape(text) if kind != "typed" else f"\n<mark>typed: {escape(text)}</mark>\n")
    return "".join(parts) or "Nothing was typed or printed here."


def _is_tty(header: bytes) -> bool:
    try:
        found = orjson.loads(header)
    except ValueError:
        return False
    return isinstance(found, dict) and "tty" in (found.get("tags") or ())
