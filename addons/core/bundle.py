"""A bundle of sessions, to be verified elsewhere: its manifest, and the one form its archive may have.

The archive is ustar: `manifest.json`, `manifest.sig` (the Ed25519 signature of the manifest's bytes, 64 bytes), and the
files that the manifest lists, as paths below a state folder. Nothing but plain files, and in each header nothing but
path and size: whatever else a header says is not from an export.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT = "chaperone.dev/session-bundle/v1"
MANIFEST, SIGNATURE, LEDGER_PATH = "manifest.json", "manifest.sig", "audit/ledger.jsonl"
BLOCK = 512
END = bytes(2 * BLOCK)
MAX_MANIFEST = 16 * 1024 * 1024
MAX_SIZE = 8**11 - 1
"""Bytes of one file: what a header has room for."""
_NAME = r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}"
_PATH = re.compile(rf"sessions/({_NAME})/{_NAME}|{re.escape(LEDGER_PATH)}")
_TYPES = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"5": "a folder", b"6": "a pipe"}


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class FileEntry(_Model):
    """One file of the bundle."""

    path: Annotated[str, Field(max_length=220)]
    size: Annotated[int, Field(ge=0, le=MAX_SIZE)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ChainEntry(_Model):
    """What a session has of one chain: the first and last sequence number, and how many records."""

    chain: str
    first: int
    last: int
    records: int


class SessionEntry(_Model):
    """One session; `running` if it was still being written to."""

    id: Annotated[str, Field(pattern=rf"^{_NAME}$")]
    running: bool
    chains: list[ChainEntry]


class Manifest(_Model):
    """What the bundle holds. `key` is the id of the key that signs."""

    format: str = FORMAT
    made_at: str
    gateway: str
    key: str
    sessions: list[SessionEntry]
    files: list[FileEntry]

    def written(self) -> bytes:
        """As it is signed."""
        return orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_manifest(text: bytes) -> Manifest:
    """Raises ValueError for one that is none, or lists what no export would."""
    try:
        manifest = Manifest.model_validate(orjson.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}") from error
    if manifest.format != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    paths, ids = [file.path for file in manifest.files], [session.id for session in manifest.sessions]
    if paths[:1] != [LEDGER_PATH] or paths[1:] != sorted(set(paths[1:])) or ids != sorted(set(ids)):
        raise ValueError("its files or sessions are not in order, or not each of them once")
    for path in paths[1:]:
        if session_of(path) not in ids:
            raise ValueError(f"{path!r} is no file of one of its sessions")
    return manifest


def session_of(path: str) -> str:
    """The session that a file is of; "" for one of none, or a path that no export writes."""
    found = _PATH.fullmatch(path)
    return found[1] or "" if found is not None else ""


class Header(NamedTuple):
    """What a header says; `odd` is why it is from no export."""

    path: str
    size: int
    odd: str = ""


def header(path: str, size: int) -> bytes:
    """The header of a file: for its owner alone, of nobody, at no time. Raises ValueError for what has no room."""
    folder, _, name = path.rpartition("/") if len(path) > 100 else ("", "", path)
    if len(name) > 100 or len(folder) > 155 or not 0 <= size <= MAX_SIZE:
        raise ValueError(f"{path} is too long, or too large, for a bundle: {size} bytes")
    head = name.encode().ljust(100, b"\0")
    head += b"0000600\x000000000\x000000000\x00%011o\x0000000000000\x00        0" % size
    head = head.ljust(257, b"\0") + b"ustar\x0000"
    head = (head.ljust(345, b"\0") + folder.encode()).ljust(BLOCK, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def read_header(block: bytes) -> Header | None:
    """What a header says, None for the first block of the end. Raises ValueError if nothing can be read behind it."""
    if not block.strip(b"\0"):
        return None
    name, folder = (part.split(b"\0")[0].decode("ascii", "backslashreplace") for part in (block[:100], block[345:500]))
    path, digits = f"{folder}/{name}" if folder else name, block[124:136].strip(b" \0")
    if len(block) < BLOCK or not re.fullmatch(rb"[0-7]{1,11}", digits):
        raise ValueError("this is no header of a tar archive")
    size = int(digits, 8)
    if (kind := _TYPES.get(block[156:157])) is not None:
        return Header(path, size, f"it is {kind}")
    if path.startswith("/") or ".." in path.split("/"):
        return Header(path, size, "its path leads elsewhere")
    return Header(path, size, "" if block == header(path, size) else "its header is not as an export writes it")


def padding(size: int) -> int:
    """How many bytes follow a file, all of them zero."""
    return -size % BLOCK
