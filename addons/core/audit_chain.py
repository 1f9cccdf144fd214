"""The chain of audit records and the ledger that signs it: how both are written, and read back.

A chain is what one worker records from its start to its stop, in whatever files. Each record has, as its last
annotation, `chaperone.dev/chain`: chain, sequence number, offset in its file, the hash of the chain's record before,
and its own hash:

    SHA-256(hash before ‖ "chain sequence offset folder\\n" ‖ the line as it would be without this annotation)

The ledger is one file of signed lines, each with the hash of the line before. It opens each chain (the hash of that
line is the hash "before" of record 1), says at checkpoints how far the chain had come, and hands over from key to key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

FORMAT = "chaperone.dev/audit-ledger/v1"
ZERO = bytes(32)
"""The hash before the first line of a ledger."""
_END = b"}}\n"
_ANNOTATION = b'"chaperone.dev/chain":"'
_PLACE = re.compile(
    rb'"chaperone\.dev/chain":"([0-9A-Za-z._-]{1,100}) (\d{1,18}) (\d{1,18}) ([0-9a-f]{64}) ([0-9a-f]{64})"}}\n\Z'
)
_SIGNATURE = re.compile(rb',"signature":"([0-9a-f]{128})"}\n\Z')

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes, bytes], bool]
"""True if, under this public key, a message has this signature."""


class Head(NamedTuple):
    """How far a chain has come; sequence 0 is the line of the ledger that opens it."""

    chain: str
    sequence: int
    digest: bytes


class Link(NamedTuple):
    """What a record says about its place, and whether it hashes to what it says."""

    chain: str
    sequence: int
    offset: int
    previous: bytes
    digest: bytes
    genuine: bool


class EntryKind(StrEnum):
    """Lines of the ledger."""

    KEY = "key"
    """The first, with the key that signs it; later, with the key that signs from the next line on."""
    OPEN = "open"
    CHECKPOINT = "checkpoint"
    """Every record up to here is on disk, with this hash."""
    CLOSE = "close"
    """The chain ends here: its worker was stopped in order."""
    FOUND = "found"
    """How far a chain that was not closed had come as a later start found it, and which records were `lost` by then."""
    REMOVED = "removed"
    """These records were taken away with their session, on purpose."""
    HOLD = "hold"
    """A session is under legal hold from here on: nobody removes it."""
    RELEASE = "release"
    """It no longer is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger; `digest` is its hash, `body` what `signature` is over."""

    number: int
    previous: bytes
    time: str
    kind: EntryKind
    key: str
    fields: Mapping[str, Any]
    body: bytes
    signature: bytes
    digest: bytes

    @property
    def signer_after(self) -> str:
        """The id of the key that signs the next line."""
        return key_id(bytes.fromhex(self.fields["publicKey"])) if self.kind is EntryKind.KEY else self.key

    @property
    def head(self) -> Head:
        """Of a checkpoint, close or found: how far the chain had come."""
        return Head(self.fields["chain"], self.fields["sequence"], bytes.fromhex(self.fields["hash"]))

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Of `found`: first and last sequence numbers of what was not there."""
        return [(int(first), int(last)) for first, last in self.fields.get("lost", ())]

    @property
    def session(self) -> str:
        """Of `hold` and `release`: the session."""
        return str(self.fields["session"])

    @property
    def removed(self) -> list[tuple[str, int, int]]:
        """Of `removed`: chain, first and last sequence number."""
        return [(str(chain), int(first), int(last)) for chain, first, last in self.fields["records"]]


def linked(line: bytes, head: Head, folder: str, offset: int) -> tuple[bytes, Head]:
    """An event's line with its place after `head`, to be written at `offset` of a file in `folder`; the new head.

    Raises ValueError if the line is not that of an event, which ends with its annotations.
    """
    if not line.endswith(_END):
        raise ValueError("a record must end with its annotations")
    chain, sequence, before = head.chain, head.sequence + 1, head.digest
    digest = sha256(before + f"{chain} {sequence} {offset} {folder}\n".encode() + line)
    start = line[:-3]
    comma = "" if start.endswith(b"{") else ","
    place = f'{comma}"chaperone.dev/chain":"{chain} {sequence} {offset} {before.hex()} {digest.hexdigest()}"}}}}\n'
    return start + place.encode(), Head(chain, sequence, digest.digest())


def read_link(line: bytes, folder: str) -> Link | None:
    """The place of a record that is in a file in `folder`; None for a line that is not in a chain.

    It is written anew from what it says: whatever differs in a single byte is not genuine.
    """
    start = line.rfind(_ANNOTATION)
    if start < 0 or (found := _PLACE.match(line, start)) is None:
        return None
    chain, sequence, offset = found[1].decode(), int(found[2]), int(found[3])
    previous, digest = (bytes.fromhex(found[group].decode()) for group in (4, 5))
    again, _ = linked(line[:start].removesuffix(b",") + _END, Head(chain, sequence - 1, previous), folder, offset)
    return Link(chain, sequence, offset, previous, digest, again == line)


def read_place(line: bytes) -> tuple[str, int] | None:
    """Chain and sequence number of a record, as it says; None for a line that is not in a chain."""
    start = line.rfind(_ANNOTATION)
    found = _PLACE.match(line, start) if start >= 0 else None
    return (found[1].decode(), int(found[2])) if found is not None else None


def key_id(public_key: bytes) -> str:
    """The name of a key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes."""
    return sha256(public_key).hexdigest()[:16]


def ledger_line(
    last: Entry | None, time: str, kind: EntryKind, fields: Mapping[str, Any], key: str, sign: Sign
) -> bytes:
    """The line of the ledger after `last`, signed by `key`."""
    number, previous = (last.number + 1, last.digest) if last is not None else (1, ZERO)
    record = {"format": FORMAT, "number": number, "previous": previous.hex(), "time": time, "kind": kind.value}
    body = orjson.dumps({**record, **fields, "key": key})
    return body[:-1] + b',"signature":"' + sign(body).hex().encode() + b'"}\n'


def read_entry(line: bytes) -> Entry | None:
    """A line of the ledger, its signature not yet looked at; None for one that is torn, or none at all."""
    if (found := _SIGNATURE.search(line)) is None:
        return None
    body = line[: found.start()] + b"}"
    try:
        record = orjson.loads(body)
        entry = Entry(
            number=record.pop("number"),
            previous=bytes.fromhex(record.pop("previous")),
            time=record.pop("time"),
            kind=EntryKind(record.pop("kind")),
            key=record.pop("key"),
            fields=record,
            body=body,
            signature=bytes.fromhex(found[1].decode()),
            digest=sha256(line).digest(),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry if record.pop("format", None) == FORMAT and _complete(entry) else None


def _complete(entry: Entry) -> bool:
    """True if the fields of its kind are there, in their types."""
    if not (isinstance(entry.number, int) and isinstance(entry.time, str) and isinstance(entry.key, str)):
        return False
    try:
        match entry.kind:
            case EntryKind.KEY:
                return len(bytes.fromhex(entry.fields["publicKey"])) == 32
            case EntryKind.OPEN:
                return isinstance(entry.fields["chain"], str)
            case EntryKind.REMOVED:
                return bool(entry.removed) or "files" in entry.fields
            case EntryKind.HOLD | EntryKind.RELEASE:
                return all(isinstance(entry.fields[name], str) for name in ("session", "by", "reason"))
            case _:
                return len(entry.head.digest) == 32 and isinstance(entry.head.sequence, int) and entry.lost is not None
    except (KeyError, TypeError, ValueError):
        return False


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Sequence numbers as ranges without a gap: first and last of each."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number <= found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def gaps(first: int, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """What is not there from `first` to the highest of the numbers, as ranges."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if number > first:
            found.append((first, number - 1))
        first = number + 1
    return found
