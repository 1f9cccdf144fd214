"""How many requests each identity made in the last minute, on this machine: one table that all workers read.

Workers are processes of their own and share the port, so a count in one of them would be a fraction. Each writes a file
of its own, mapped into memory, and reads those of all: no lock, no system call, and no update is ever lost to another
writer. A count covers at least 60 and at most 65 seconds; what another worker writes at this very moment may be missed.
The files survive a restart. Replicas on other machines count for themselves. Callers are in it as keyed hashes only.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from addons.core.guardrails import Rate

BUCKET_SECONDS = 5
_BUCKETS = 13
"""The current one and the twelve before it."""
_RING = 16
SLOTS = 4096
_PROBES = 32
"""Slots in which a caller may be: the one its hash names and those after it."""

# A slot: the caller's hash, the bucket of its last request (Unix seconds / 5), its totals since ever, and what these
# were when each of the last sixteen buckets began. The last minute is a difference of two totals.
_KEY = struct.Struct("<Q")
_LATEST = struct.Struct("<Q4Q")
_COUNTS = struct.Struct("<4Q")
"""Requests, writes, lists, denied."""
_NOW = _KEY.size
_PAST = _NOW + _LATEST.size
_SLOT = _PAST + _RING * _COUNTS.size
_NOTHING = (0, 0, 0, 0)

Caller = tuple[str, str, str, str]
"""`iss`, `sub` and `act` of the identity, and the connection."""


class RateTable:
    """The table of one worker process."""

    def __init__(self, folder: Path, workers: int, worker: int, key: bytes) -> None:
        """Maps the files of all workers, which are made where they are missing. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._maps = [_map(folder / f"{index}.table") for index in range(workers)]
        self._own, self._others = self._maps[worker], [self._maps[i] for i in range(workers) if i != worker]
        self._key = hashlib.blake2b(key, digest_size=32, person=b"rates").digest()
        self._known: dict[Caller, tuple[int, int]] = {}

    def count(self, caller: Caller, now: float, write: bool = False, listing: bool = False) -> Rate | None:
        """The caller's last minute with this request in it; None when more callers are active than the table holds."""
        return self._add(caller, int(now) // BUCKET_SECONDS, (1, int(write), int(listing), 0))

    def denied(self, caller: Caller, now: float) -> None:
        """Adds a denial of a request that was counted already."""
        self._add(caller, int(now) // BUCKET_SECONDS, (0, 0, 0, 1))

    def close(self) -> None:
        """Unmaps the files."""
        for each in self._maps:
            each.close()

    def _add(self, caller: Caller, bucket: int, more: tuple[int, int, int, int]) -> Rate | None:
        key, slot = self._known.get(caller) or (self._hash(caller), -1)
        if slot < 0 or _KEY.unpack_from(self._own, slot)[0] != key:
            slot = _claim(self._own, key, bucket)
            if slot < 0:
                return None
            if len(self._known) >= SLOTS:
                self._known.clear()
            self._known[caller] = key, slot
        latest, requests, writes, lists, denied = _LATEST.unpack_from(self._own, slot + _NOW)
        if not latest - 1 <= bucket <= latest:
            _begin_buckets(self._own, slot, latest, bucket, (requests, writes, lists, denied))
            latest = bucket
        _LATEST.pack_into(
            self._own, slot + _NOW, latest, requests + more[0], writes + more[1], lists + more[2], denied + more[3]
        )
        return self._last_minute(key, slot, bucket)

    def _last_minute(self, key: int, slot: int, bucket: int) -> Rate:
        first = bucket - _BUCKETS + 1
        requests, writes, lists, denied = _since(self._own, slot, first)
        for other in self._others:
            if (slot := _find(other, key)) >= 0:
                more = _since(other, slot, first)
                requests += more[0]
                writes += more[1]
                lists += more[2]
                denied += more[3]
        return Rate(requests=requests, writes=writes, lists=lists, denied=denied)

    def _hash(self, caller: Caller) -> int:
        text = "\0".join(caller).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._key).digest(), "little") or 1


def _map(file: Path) -> mmap.mmap:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, SLOTS * _SLOT)  # always the same size: nobody's mapping is ever cut short
        return mmap.mmap(descriptor, SLOTS * _SLOT)
    finally:
        os.close(descriptor)


def _places(key: int) -> Iterator[int]:
    return ((key + step) % SLOTS * _SLOT for step in range(_PROBES))


def _find(table: mmap.mmap, key: int) -> int:
    """Where the caller is in a worker's table, -1 if it is not. A slot is never emptied, so an empty one is the end."""
    for place in _places(key):
        (found,) = _KEY.unpack_from(table, place)
        if found == key:
            return place
        if not found:
            return -1
    return -1


def _claim(table: mmap.mmap, key: int, bucket: int) -> int:
    """The caller's place in our own table, if need be that of one who was silent for a minute; -1 without any."""
    place = _find(table, key)
    if place >= 0:
        return place
    for place in _places(key):
        if _LATEST.unpack_from(table, place + _NOW)[0] <= bucket - _BUCKETS:
            table[place + _NOW : place + _SLOT] = bytes(_SLOT - _NOW)
            _KEY.pack_into(table, place, key)
            return place
    return -1


def _begin_buckets(table: mmap.mmap, slot: int, latest: int, bucket: int, totals: tuple[int, ...]) -> None:
    """Notes the totals at the beginning of every bucket up to this one: all of them after a clock was set back."""
    first = latest + 1 if 0 < bucket - latest < _RING else bucket - _RING + 1
    for each in range(first, bucket + 1):
        _COUNTS.pack_into(table, slot + _PAST + each % _RING * _COUNTS.size, *totals)


def _since(table: mmap.mmap, slot: int, first: int) -> tuple[int, int, int, int]:
    """What a caller did since the beginning of the bucket `first`."""
    latest, requests, writes, lists, denied = _LATEST.unpack_from(table, slot + _NOW)
    if not first <= latest < first + _RING:
        return _NOTHING
    begun = _COUNTS.unpack_from(table, slot + _PAST + first % _RING * _COUNTS.size)
    return requests - begun[0], writes - begun[1], lists - begun[2], denied - begun[3]
