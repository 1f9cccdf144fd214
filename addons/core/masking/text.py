"""Masking of text that arrives in pieces: logs, output of commands, config values.

Everything is passed on at once except a word that has begun like a secret and has not ended. At the end of such a
piece there are two ways. *Patient* (logs): the word is held back until it ends, so any chunking gives the same
output. *Eager* (an interactive stream that may never send another byte): what is there of the word is masked as a
whole, whether or not it turns out to be a secret, and the rest of the word is dropped.

Memory is bounded: words over 16 KiB are judged by their first 16 KiB, a block by its first 32 KiB.
"""

from __future__ import annotations

from enum import Enum

from addons.core.masking.detectors import MAX_START_BYTES, TERMINATORS, Detector, Detectors, compile_re2
from addons.core.masking.placeholder import NO_FINGERPRINT, PLAIN, At, Fingerprints

MAX_WORD = 16 * 1024
MAX_BLOCK = 32 * 1024
_UNTIL_SLACK = 256
_TERMINATOR = compile_re2(TERMINATORS)


class _Next(Enum):
    GO_ON = 1
    WAIT = 2
    DROP = 3


class TextMasker:
    """One stream of text. `feed` what arrives, then `finish`; both return what may be passed on, [] for nothing."""

    __slots__ = (
        "_base", "_block", "_buffer", "_detectors", "_eager", "_fingerprints", "_max_word", "_out", "_sent",
        "_swallow",
    )  # fmt: skip

    def __init__(
        self, detectors: Detectors, fingerprints: Fingerprints | At, eager: bool = False, max_word: int = MAX_WORD
    ) -> None:
        self._detectors = detectors
        self._fingerprints = fingerprints
        self._eager = eager
        self._max_word = max_word
        self._out: list[bytes] = []
        self._buffer = b""
        self._sent = 0  # how much of the buffer was passed on; kept because a start may reach back into it
        self._base = 0  # what stands before was dropped: nothing may reach back into it
        self._block: Detector | None = None
        self._swallow = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """What may be passed on after `chunk`."""
        self._buffer += chunk
        return self._advance(final=False)

    def finish(self) -> list[bytes]:
        """What was still held back."""
        return self._advance(final=True)

    @staticmethod
    def failure(reason: str) -> bytes:
        """What to send when the stream has to end here."""
        return f"\nchaperone: the output ends here: {reason}\n".encode()

    def _advance(self, final: bool) -> list[bytes]:
        while self._at_text(final) and self._pass_on(final) is _Next.DROP:
            pass
        reach = max(self._base, self._sent - MAX_START_BYTES)
        cut = max(0, reach - 1)  # one byte more, which tells whether a word begins
        self._buffer, self._sent, self._base = self._buffer[cut:], self._sent - cut, reach - cut
        text, self._out = b"".join(self._out), []
        return [text] if text else []

    def _at_text(self, final: bool) -> bool:
        """Drop what is to be dropped, a block or the rest of a word. False while its end has not come."""
        if self._block is not None:
            return self._leave_block(self._block, final)
        if self._swallow:
            end = _TERMINATOR.search(self._buffer, self._sent)
            self._drop(end.start() if end else len(self._buffer))
            self._swallow = end is None
        return not self._swallow

    def _leave_block(self, block: Detector, final: bool) -> bool:
        limit = self._sent + MAX_BLOCK + _UNTIL_SLACK
        end = block.until.search(self._buffer, self._sent, min(limit, len(self._buffer)))
        if end is None and len(self._buffer) < limit and not final:
            return False
        self._drop(end.start() if end else min(self._sent + MAX_BLOCK, len(self._buffer)))
        self._block = None
        return True

    def _pass_on(self, final: bool) -> _Next:
        """Pass on up to the first thing that is not finished, or after which something is to be dropped."""
        for begin, detector in self._detectors.at(self._buffer, self._base, self._sent, final):
            if begin >= self._sent and (then := self._judge(begin, detector, final)) is not _Next.GO_ON:
                return then
        self._emit(len(self._buffer))
        return _Next.WAIT

    def _judge(self, begin: int, detector: Detector, final: bool) -> _Next:
        """Handle the start that ends at `begin`."""
        if detector.until is not None:
            self._mask(begin, begin, NO_FINGERPRINT)
            self._drop(begin)
            self._block = detector
            return _Next.DROP
        limit = begin + self._max_word
        terminator = _TERMINATOR.search(self._buffer, begin, min(limit + 1, len(self._buffer)))
        end = terminator.start() if terminator else len(self._buffer)
        if end > limit:
            return self._long_word(begin, limit, detector)
        if terminator or final:
            return self._word(begin, end, detector)
        if self._eager:
            return self._partial_word(begin, end, detector)
        self._emit(begin)
        return _Next.WAIT

    def _word(self, begin: int, end: int, detector: Detector) -> _Next:
        match = detector.secret.match(self._buffer, begin, end)
        if match and (detector.then is None or detector.then.match(self._buffer, match.end(), end)):
            secret = match.group().decode("latin-1")
            known = PLAIN.fullmatch(secret) or self._within_placeholder(begin)
            if secret and not known and detector.believes(secret):
                self._mask(begin, match.end(), self._fingerprints.placeholder(detector.name, secret))
        return _Next.GO_ON

    def _within_placeholder(self, begin: int) -> bool:
        """True if a start only ends here because a placeholder was put there, as in `://AKIAmasked:`."""
        reach = len(NO_FINGERPRINT) - 1
        around = self._buffer[max(self._base, begin - reach) : begin + reach]
        return PLAIN.search(around.decode("latin-1")) is not None

    def _long_word(self, begin: int, limit: int, detector: Detector) -> _Next:
        match = detector.secret.match(self._buffer, begin, limit)
        if match is None or match.end() < limit:
            return self._word(begin, limit, detector)
        return self._swallow_from(begin, limit, NO_FINGERPRINT)

    def _partial_word(self, begin: int, end: int, detector: Detector) -> _Next:
        match = detector.secret.match(self._buffer, begin, end)
        if begin == end or (match and match.end() < end):
            return self._word(begin, end, detector)
        placeholder = NO_FINGERPRINT
        if match and detector.then is None:
            placeholder = self._fingerprints.placeholder(detector.name, match.group().decode("latin-1"))
        return self._swallow_from(begin, end, placeholder)

    def _swallow_from(self, begin: int, end: int, placeholder: str) -> _Next:
        self._mask(begin, end, placeholder)
        self._drop(end)
        self._swallow = True
        return _Next.DROP

    def _emit(self, to: int) -> None:
        self._out.append(self._buffer[self._sent : to])
        self._sent = to

    def _mask(self, begin: int, end: int, placeholder: str) -> None:
        self._emit(begin)
        self._out.append(placeholder.encode())
        self._sent = end

    def _drop(self, to: int) -> None:
        self._base = self._sent = to


def redact(text: str, detectors: Detectors, fingerprints: Fingerprints | At) -> str:
    """`text` with the secrets that the detectors find masked."""
    raw = text.encode("utf-8", "surrogatepass")
    masked = redact_bytes(raw, detectors, fingerprints)
    return text if masked is raw else masked.decode("utf-8", "surrogatepass")


def redact_bytes(raw: bytes, detectors: Detectors, fingerprints: Fingerprints | At) -> bytes:
    """As `redact`, of bytes; the same ones where there is no secret."""
    if not detectors.may_be_in(raw):
        return raw
    masker = TextMasker(detectors, fingerprints)
    return b"".join([*masker.feed(raw), *masker.finish()])
