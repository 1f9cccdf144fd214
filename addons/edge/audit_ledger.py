"""The ledger of the audit log, `state/audit/ledger.jsonl`: appended to by all workers and by `chaperone audit`.

Whoever adds a line holds a lock on the file meanwhile, looks at the last line, and signs with the key whose turn it is
by that line. A line is on disk when `add` returns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from addons.core.audit import timestamp
from addons.core.audit_chain import Entry, EntryKind, ledger_line, read_entry
from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.audit_key import KEY_FILE, NEXT, SigningKey, key_of_turn, make_key, read_key
from addons.edge.durable import append, locked_end, sync_folder

LEDGER_FILE = "ledger.jsonl"
_TAIL_BYTES = 65536


class OpenLedger:
    """A ledger while it is locked. `last` is its last whole line, None before the first."""

    def __init__(self, descriptor: int, size: int, torn: bool, keys: Keys) -> None:
        self._descriptor, self._torn, self._keys = descriptor, torn, keys
        self.last = _last(descriptor, size)

    def add(self, kind: EntryKind, fields: Mapping[str, Any]) -> Entry:
        """Signs and writes a line. Raises OSError, UnusableKey among them."""
        key = self._keys.of_turn(self.last.signer_after if self.last is not None else None)
        line = ledger_line(self.last, timestamp(time.time()), kind, fields, key.id, key.sign)
        append(self._descriptor, b"\n" + line if self._torn else line)
        os.fdatasync(self._descriptor)
        self._torn, self.last = False, read_entry(line)
        assert self.last is not None
        return self.last


class Keys:
    """The signing key, read from its file when its turn begins."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._key: SigningKey | None = None

    def of_turn(self, wanted: str | None) -> SigningKey:
        """The key of this id; without one, the first, which is made if there is none. Raises OSError."""
        if wanted is None:
            self._key = read_key(self.file) if self.file.exists() else make_key(self.file)
        elif self._key is None or self._key.id != wanted:
            self._key = key_of_turn(self.file, wanted)
        return self._key


class AuditLedger:
    """The ledger in the folder `audit` of a state folder. Nothing is kept open."""

    def __init__(self, state: Path, key_file: Path | None = None) -> None:
        """`key_file` is where the signing key is, if not beside the ledger."""
        self.folder = state / "audit"
        self.file = self.folder / LEDGER_FILE
        self.keys = Keys(key_file or self.folder / KEY_FILE)

    @contextmanager
    def locked(self) -> Iterator[OpenLedger]:
        """The ledger, made if need be, while nobody else adds to it. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.file, flags, 0o600)
        try:
            with locked_end(descriptor) as (size, torn):
                opened = OpenLedger(descriptor, size, torn, self.keys)
                if opened.last is None:
                    sync_folder(self.folder)
                    opened.add(EntryKind.KEY, {"publicKey": self.keys.of_turn(None).public.hex()})
                yield opened
        finally:
            os.close(descriptor)

    def check(self) -> SigningKey:
        """The key whose turn it is. Raises InvalidConfiguration if nothing could be signed."""
        try:
            with self.locked() as opened:
                assert opened.last is not None
                return self.keys.of_turn(opened.last.signer_after)
        except OSError as error:
            raise InvalidConfiguration([Problem(str(self.keys.file), 0, f"the audit log: {error}")]) from error

    def rotate(self) -> tuple[SigningKey, SigningKey]:
        """A new key, signed for by the old one: both. Raises OSError."""
        file = self.keys.file
        beside = file.with_name(file.name + NEXT)
        with self.locked() as opened:
            assert opened.last is not None
            old = self.keys.of_turn(opened.last.signer_after)
            beside.unlink(missing_ok=True)  # of a rotation that did not get as far as the ledger
            new = make_key(beside)
            opened.add(EntryKind.KEY, {"publicKey": new.public.hex()})
            return old, key_of_turn(file, new.id)


def _last(descriptor: int, size: int) -> Entry | None:
    """The last line that is whole. Raises OSError if there are lines, and none is."""
    length = min(size, _TAIL_BYTES)
    while length:
        lines = os.pread(descriptor, length, size - length).splitlines(keepends=True)
        for line in reversed(lines if length == size else lines[1:]):
            if (entry := read_entry(line)) is not None:
                return entry
        if length == size and len(lines) > 1:
            raise OSError(f"no line of the {LEDGER_FILE} of the audit log can be read")
        length = 0 if length == size else min(size, 4 * length)
    return None
