"""Following a gateway from outside: the flow records it leaves behind, and those of what is going on. Reads, no more.

Everything read is untrusted text; what is torn, has vanished or is no flow file is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from addons.edge.live import live_folder

MAX_RECORD = 16 * 1024 * 1024
"""Bytes of one record; a longer one is no record."""
_MAX_AT_ONCE = 8 * 1024 * 1024
_LENGTH_DIGITS = 8
_TORN = -1


def complete_records(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole records at the start of part of a flow file, and what is left. Raises ValueError for other bytes."""
    records: list[bytes] = []
    start = 0
    while start < len(data):
        colon = data.find(b":", start, start + _LENGTH_DIGITS + 1)
        length = data[start:colon] if colon > 0 else data[start : start + _LENGTH_DIGITS + 1]
        if not length.isdigit() or len(length) > _LENGTH_DIGITS:
            raise ValueError("not a flow file")
        end = colon + 1 + int(length) + 1
        if colon < 0 or len(data) < end:
            break
        records.append(data[start:end])
        start = end
    return records, data[start:]


@dataclass(slots=True)
class Tail:
    """Follows the flow files of one session, or of all below a folder of sessions."""

    state: Path
    from_start: bool = False
    session: str = "*"
    _offsets: dict[Path, int] = field(default_factory=dict)
    _primed: bool = False

    def files(self) -> list[Path]:
        """Those there are now."""
        return sorted((self.state / "sessions").glob(f"{self.session}/flows-*.mitm"))

    def new_records(self) -> list[bytes]:
        """What was recorded since the last call, in parts: the last is empty. The first call skips what is old."""
        records: list[bytes] = []
        size = 0
        for path in self.files():
            known = self._offsets.get(path)
            with suppress(OSError):  # removed meanwhile
                if known is None and not self._primed and not self.from_start:
                    self._offsets[path] = path.stat().st_size
                elif known != _TORN and size < _MAX_AT_ONCE:
                    found = self._read(path, known or 0)
                    records += found
                    size += sum(map(len, found))
        self._primed = True
        return records

    def _read(self, path: Path, offset: int) -> list[bytes]:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(MAX_RECORD)
        try:
            records, rest = complete_records(data)
        except ValueError:  # torn by a crash, or another's file: nothing behind it can be read
            self._offsets[path] = _TORN
            return []
        self._offsets[path] = _TORN if len(rest) == MAX_RECORD else offset + len(data) - len(rest)
        return records


@dataclass(slots=True)
class LiveTail:
    """Follows what is going on."""

    state: Path
    _known: dict[str, tuple[int, int]] = field(default_factory=dict)

    def changes(self) -> Iterator[tuple[str, bytes | None]]:
        """Flow ids with their new records; None for those that go on no longer."""
        present = {path.stem: path for path in live_folder(self.state).glob("*.mitm")}
        for flow_id in self._known.keys() - present.keys():
            del self._known[flow_id]
            yield flow_id, None
        for flow_id, path in present.items():
            with suppress(OSError):  # over meanwhile
                found = path.stat()
                version = found.st_mtime_ns, found.st_ino
                if self._known.get(flow_id) != version:
                    self._known[flow_id] = version
                    yield flow_id, path.read_bytes()
