"""The ledger of an audit log: whether it is the one that was signed, and what it says of each chain."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from addons.core.audit_chain import ZERO, Entry, EntryKind, Verify, key_id, read_entry
from addons.core.audit_report import LEDGER, Report, What


@dataclass(slots=True)
class Claims:
    """What the ledger says of one chain. Lines are those of the ledger."""

    opened: bytes
    seals: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    closed: bool = False
    removed: list[tuple[int, int]] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    """What a later start did not find; never what was sealed by then."""

    @property
    def sealed(self) -> int:
        """The last sequence number that is signed for."""
        return max(self.seals, default=0)

    def unexplained(self, first: int, last: int) -> list[tuple[int, int]]:
        """Which of these records were not removed on purpose, as ranges."""
        return _without(first, last, self.removed)


@dataclass(slots=True)
class Ledger:
    """What can be believed of a ledger."""

    began: str = ""
    chains: dict[str, Claims] = field(default_factory=dict)
    held: dict[str, Entry] = field(default_factory=dict)
    """Sessions under legal hold, by the line that says so."""


def _without(first: int, last: int, taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """A range without other ranges."""
    left = []
    for start, end in sorted(taken):
        if end < first or start > last:
            continue
        if start > first:
            left.append((first, start - 1))
        first = max(first, end + 1)
    return [*left, (first, last)] if first <= last else left


class LedgerReader:
    """Reads line after line. What is not signed by the key whose turn it is is reported, and not believed."""

    def __init__(self, verify: Verify, report: Report, kept: Iterable[bytes] = ()) -> None:
        """`kept` are lines that were copied elsewhere, and must be among those that are read."""
        self.ledger = Ledger()
        self._verify, self._report = verify, report
        self._last: Entry | None = None
        self._keys: dict[str, bytes] = {}
        self._kept = {line: number for number, line in enumerate(kept, 1)}

    def read(self, line: bytes, number: int) -> None:
        """The next line."""
        self._kept.pop(line, None)
        if (entry := read_entry(line)) is None:
            self._report.note(What.TORN, LEDGER, "a torn line", number)
            return
        self._report.entries += 1
        if self._last is None:
            self.ledger.began = entry.time
        if not self._follows(entry, self._last):
            self._report.find(
                What.LEDGER, LEDGER, "the lines before this one are not those it was written after", number
            )
        if self._signed(entry):
            self._take(entry, number)
        else:
            self._report.find(What.LEDGER, LEDGER, f"not signed by the key {self._signer(entry)}", number)
        self._last = entry

    @property
    def keys(self) -> Mapping[str, bytes]:
        """The public keys that may sign, or could, by id."""
        return self._keys

    def finish(self, trusted: bytes | None) -> None:
        """The trusted key must have signed something, and what was kept elsewhere must have been here."""
        if trusted is not None and key_id(trusted) not in self._report.keys:
            self._report.find(What.KEY, LEDGER, f"the trusted key {key_id(trusted)} has signed nothing here")
        if trusted is None and self._report.keys:
            text = f"its first key, {self._report.keys[0]}, is believed: no --public-key was given"
            self._report.note(What.BELIEVED, LEDGER, text)
        for number in self._kept.values():
            self._report.find(What.LEDGER, LEDGER, f"line {number} of the copy that was kept is not here")

    def _follows(self, entry: Entry, last: Entry | None) -> bool:
        """True if these are neighbours."""
        return (entry.number, entry.previous) == ((last.number + 1, last.digest) if last is not None else (1, ZERO))

    def _signer(self, entry: Entry) -> str:
        """The id of the key whose turn it is; the first line brings its own."""
        return self._last.signer_after if self._last is not None else entry.signer_after

    def _signed(self, entry: Entry) -> bool:
        key = self._keys.get(entry.key)
        if self._last is None and entry.kind is EntryKind.KEY:
            key = bytes.fromhex(entry.fields["publicKey"])
        turn = entry.key == self._signer(entry)
        return turn and key is not None and self._verify(key, entry.body, entry.signature)

    def _take(self, entry: Entry, line: int) -> None:
        """What a signed line says."""
        chains = self.ledger.chains
        if entry.key not in self._report.keys:
            self._report.keys.append(entry.key)
        match entry.kind:
            case EntryKind.KEY:
                self._keys[entry.signer_after] = bytes.fromhex(entry.fields["publicKey"])
            case EntryKind.OPEN:
                chains[entry.fields["chain"]] = Claims(entry.digest)
            case EntryKind.REMOVED:
                for chain, first, last in entry.removed:
                    chains.setdefault(chain, Claims(ZERO)).removed.append((first, last))
            case EntryKind.HOLD:
                self.ledger.held[entry.session] = entry
            case EntryKind.RELEASE:
                self.ledger.held.pop(entry.session, None)
            case _:
                claims = chains.setdefault(entry.head.chain, Claims(ZERO))
                claims.lost += [(max(first, claims.sealed + 1), last) for first, last in entry.lost]
                claims.seals[entry.head.sequence] = entry.head.digest, line
                claims.closed |= entry.kind is EntryKind.CLOSE


class ExtractReader(LedgerReader):
    """Reads some lines of a ledger, in order: all that hand over to a key, so that whose turn it is is still known."""

    @property
    def turn(self) -> str:
        """The id of the key that signs next; "" without a line."""
        return self._last.signer_after if self._last is not None else ""

    def signed_next(self, message: bytes, signature: bytes) -> bool:
        """True if the key whose turn it is has signed this."""
        key = self._keys.get(self.turn)
        return key is not None and self._verify(key, message, signature)

    def finish(self, trusted: bytes | None) -> None:
        """The trusted key must be one of those that sign, or hand over to one that does."""
        if trusted is not None and key_id(trusted) not in self._keys:
            text = f"neither the trusted key {key_id(trusted)} nor one that it handed over to has signed this"
            self._report.find(What.KEY, LEDGER, text)
        if trusted is None and self._keys:
            text = f"its first key, {next(iter(self._keys))}, is believed: no --public-key was given"
            self._report.note(What.BELIEVED, LEDGER, text)

    def _follows(self, entry: Entry, last: Entry | None) -> bool:
        neighbours = last is None or entry.number == last.number + 1
        return super()._follows(entry, last) if neighbours else last is not None and entry.number > last.number


class Extract:
    """Picks the lines of a ledger that tell of some records: of `chains`, these ranges of sequence numbers each."""

    def __init__(self, chains: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        self.sealed = dict.fromkeys(chains, 0)
        """How far each chain was signed for, once all lines were seen."""
        self._chains = chains
        self._needles = [b'"kind":"key"', *(f'"chain":"{chain}"'.encode() for chain in chains)]

    def wanted(self, line: bytes) -> bool:
        """True for keys, a chain's beginning and end, and what signs for records of it that nothing had signed for."""
        if not any(needle in line for needle in self._needles) or (entry := read_entry(line)) is None:
            return False
        if entry.kind in (EntryKind.KEY, EntryKind.OPEN):
            return True
        return self._signs(*entry.head[:2]) or entry.kind is EntryKind.CLOSE

    def _signs(self, chain: str, sequence: int) -> bool:
        before, self.sealed[chain] = self.sealed[chain], max(self.sealed[chain], sequence)
        spans = self._chains[chain]
        place = bisect_right(spans, before, key=lambda span: span[1])  # the first that ends after it
        return place < len(spans) and spans[place][0] <= sequence
