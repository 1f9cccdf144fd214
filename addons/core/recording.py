"""The file that holds what a session carried, as its last audit event seals it: name, size and SHA-256.

The event is in the chain, so whoever changes the file, cuts it or takes it away is found out like who changes an event.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import orjson

_PREFIX = "chaperone.dev/"
_DIGEST, _SIZE = "record-sha256", "record-bytes"
_MARK = f'"{_PREFIX}{_DIGEST}":"'.encode()
_NAME = re.compile(r"(exec|forward)-[0-9A-Za-z-]{1,80}\.(cast|jsonl)")
_KINDS = ("cast", "forward")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file beside the audit log that an event is about."""

    name: str
    size: int
    digest: str


class Seal:
    """What was written to a recording so far."""

    def __init__(self) -> None:
        self._hash, self._size = sha256(), 0

    def add(self, data: bytes) -> None:
        """More of it."""
        self._hash.update(data)
        self._size += len(data)

    def annotations(self) -> Mapping[str, str]:
        """What the last event of the session says."""
        return {_DIGEST: self._hash.hexdigest(), _SIZE: str(self._size)}


def recording_of(line: bytes) -> Recording | None:
    """What a line of the audit log says of a file; None for most lines, and for one that says it in no readable way."""
    if _MARK not in line:
        return None
    try:
        notes = orjson.loads(line)["annotations"]
        name = next(str(notes[f"{_PREFIX}{kind}"]) for kind in _KINDS if f"{_PREFIX}{kind}" in notes)
        found = Recording(name, int(notes[f"{_PREFIX}{_SIZE}"]), str(notes[f"{_PREFIX}{_DIGEST}"]))
    except (ValueError, KeyError, TypeError, StopIteration):
        return None
    return found if _NAME.fullmatch(name) else None
