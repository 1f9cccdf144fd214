"""Audit logs made in memory, for the tests of the chain: what two workers would write of three sessions."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addons.core.audit_chain import Entry, EntryKind, Head, key_id, ledger_line, linked, read_entry
from addons.core.audit_ledger import LedgerReader
from addons.core.audit_report import Report, What
from addons.core.audit_verify import Found, check_chains, read_file

FIRST, SECOND, STRANGER = (bytes([number]) * 32 for number in (1, 2, 3))


def mac(public_key: bytes, message: bytes) -> bytes:
    """The signature that `verify` takes."""
    return hmac.digest(public_key, message, sha256) * 2


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Stands in for Ed25519: who knows the public key can sign."""
    return signature == mac(public_key, message)


def record(text: str, time: str = "2026-02-01T00:00:00.000000Z") -> bytes:
    """An event as it comes to the chain."""
    return (
        f'{{"kind":"Event","requestURI":"{text}","stageTimestamp":"{time}","annotations":{{"a":"{text}"}}}}\n'.encode()
    )


@dataclass
class Log:
    """A log that is written as the gateway does; `ledger` and `files` (by folder) are lines."""

    ledger: list[bytes] = field(default_factory=list)
    files: dict[str, list[bytes]] = field(default_factory=dict)
    heads: dict[str, Head] = field(default_factory=dict)
    key: bytes = FIRST
    last: Entry | None = None

    def add(self, kind: EntryKind, fields: Mapping[str, Any], signer: bytes | None = None) -> None:
        """A line of the ledger."""
        key = signer or self.key
        line = ledger_line(
            self.last, "2026-01-01T00:00:00.000000Z", kind, fields, key_id(key), lambda body: mac(key, body)
        )
        self.ledger.append(line)
        self.last = read_entry(line)
        assert self.last is not None

    def begin(self) -> Log:
        """The first line."""
        self.add(EntryKind.KEY, {"publicKey": FIRST.hex()})
        return self

    def rotate(self) -> None:
        """Hands over to the second key."""
        self.add(EntryKind.KEY, {"publicKey": SECOND.hex()})
        self.key = SECOND

    def open(self, chain: str) -> None:
        """A worker starts."""
        self.add(EntryKind.OPEN, {"chain": chain, "worker": "0"})
        assert self.last is not None
        self.heads[chain] = Head(chain, 0, self.last.digest)

    def write(self, chain: str, folder: str, line: bytes = b"") -> None:
        """A record."""
        lines = self.files.setdefault(folder, [])
        text = line or record(f"/{chain}/{folder}/{self.heads[chain].sequence}")
        made, self.heads[chain] = linked(text, self.heads[chain], folder, sum(map(len, lines)))
        lines.append(made)

    def seal(self, chain: str, kind: EntryKind = EntryKind.CHECKPOINT, **fields: Any) -> None:
        """What is signed of a chain as it is."""
        head = self.heads[chain]
        self.add(kind, {"chain": chain, "sequence": head.sequence, "hash": head.digest.hex(), **fields})

    def verified(self, trusted: bytes | None = FIRST, kept: Iterable[bytes] = (), live: Sequence[str] = ()) -> Report:
        """What there is to say about it."""
        report, found = Report(), list[Found]()
        reader = LedgerReader(verify, report, kept)
        for number, line in enumerate(self.ledger, 1):
            reader.read(line, number)
        reader.finish(trusted)
        for folder, lines in self.files.items():
            found += read_file(f"sessions/{folder}/audit.jsonl", folder, lines, reader.ledger.began, report)
        check_chains(reader.ledger, found, frozenset(live), report)
        return report


def ordinary() -> Log:
    """Two workers, three sessions, a change of the key, an orderly stop: 14 records."""
    log = Log().begin()
    log.open("a")
    log.open("b")
    for chain, folder in _pairs("ax ay bx bx ay az"):
        log.write(chain, folder)
    log.seal("a")
    log.rotate()
    for chain, folder in _pairs("ax bz bx ax ax bz by by"):
        log.write(chain, folder)
    log.seal("b", EntryKind.CLOSE)
    log.seal("a", EntryKind.CLOSE)
    return log


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(word[0], word[1]) for word in text.split()]


def kinds(report: Report) -> set[What]:
    """The kinds of its findings."""
    return {finding.what for finding in report.findings}
