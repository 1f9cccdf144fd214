"""Detectors: how secrets in free text begin, and what of them is masked.

A detector is a public `start` (`ghp_`, `://user:`) followed by the secret. The start stays readable; the secret
reaches at most to the end of its word (white space, control characters, quotes, `<`, `>`). Both facts together
let a stream go on at once and hold back only a word that has begun like a secret.

One RE2 alternation of all secrets with their starts is searched first, and one of all starts in a word that has not
ended; most text has no hit. They are not `re2.Set`s, because a Set that runs out of memory reports no match, while a
search falls back to a slower one.
"""

from __future__ import annotations

import json
import re
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import re2

TERMINATORS = r"""[\x00-\x20\x7f"'`<>]"""
MAX_START_BYTES = 256

_ESCAPE = 0x1B
_COLOUR = r"\x1b\[[0-9;]{0,16}m"
"""Select Graphic Rendition (ECMA-48, 8.3.117)."""
_IN_JSON = r"(?:\b|\\[bfnrt]|\\u[0-9a-fA-F]{4}(?:\[[0-9;]{0,16}m)?)"
_NOTHING = r"[^\x00-\xff]"
_ESCAPED_PRINTABLE = r"\\/|\\u00(?:[4-6][0-9a-fA-F]|7[0-9a-eA-E]|2[013-57-9a-fA-F]|3[0-9abdfABDF])"
"""JSON escapes that Kubernetes never writes: where they occur, JSON text cannot be searched without decoding it."""


class UnsupportedPattern(ValueError):
    """Not RE2, or a start that could not be found in every chunking of a text."""


@dataclass(frozen=True, slots=True)
class Detector:
    """`start` then `secret` then `then`, without white space from the secret on; or all from `start` to `until`."""

    name: str
    source: str
    rest: str
    """The patterns of what follows the start."""
    entropy: float
    start: Any
    secret: Any
    then: Any
    until: Any

    def believes(self, secret: str) -> bool:
        """False if what was matched is too regular for a secret: Shannon's entropy of its characters is too low."""
        if not self.entropy:
            return True
        shares = [count / len(secret) for count in Counter(secret).values()]
        return -sum(share * log2(share) for share in shares) >= self.entropy


class Detectors:
    """All detectors together."""

    __slots__ = ("_by_first_byte", "_starts", "_whole", "_whole_in_json", "all", "in_json")

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.all = tuple(detectors)
        self.in_json = any_of([*map(_in_json, detectors), _ESCAPED_PRINTABLE]) if detectors else ""
        self._starts, self._whole, self._whole_in_json = (
            compile_re2(pattern or _NOTHING)
            for pattern in (
                any_of(_in_text(each.source) for each in detectors),
                any_of(map(_in_text, map(_whole, detectors))),
                self.in_json,
            )
        )
        first = [_first_bytes(detector) for detector in detectors]
        self._by_first_byte = [
            tuple(detector for detector, bytes_ in zip(detectors, first, strict=True) if byte in bytes_)
            for byte in range(256)
        ]

    def may_be_in(self, text: bytes) -> bool:
        """False only if there is no secret in the text, which ends here."""
        return self._whole.search(text) is not None

    def may_be_in_json(self, text: bytes) -> bool:
        """False only if there is no secret in any string of a JSON text."""
        return self._whole_in_json.search(text) is not None

    def at(self, text: bytes, base: int, begin: int, final: bool) -> Iterator[tuple[int, Detector]]:
        """(end of start, detector) for starts in `text[base:]` that end at `begin` or later, in order of that end.

        All those that a secret follows, and all whose secret could go on after the text unless that is `final`.
        What stands before `base` only tells whether a word begins there.
        """
        pending: list[tuple[int, int, Detector]] = []
        open_ = len(text) if final else max(text.rfind(b"\n"), text.rfind(b" ")) + 1 - MAX_START_BYTES
        at = max(base, begin - MAX_START_BYTES)
        while True:
            here = self._next(text, at, max(base, open_))
            while pending and pending[0][0] <= here:
                end, _, detector = pending.pop(0)
                yield end, detector
            if here == len(text):
                return
            at = here + 1
            for order, detector in enumerate(self._by_first_byte[text[here]]):
                match = detector.start.match(text, here)
                if match and match.end() >= begin:
                    insort(pending, (match.end(), here * len(self.all) + order, detector))

    def _next(self, text: bytes, at: int, open_: int) -> int:
        """Where the next start begins: of a whole secret, or from `open_` on of anything. The end if there is none."""
        if at < open_:
            hit = self._whole.search(text, at)
            if hit and hit.start() < open_:
                return int(hit.start())
        hit = self._starts.search(text, max(at, open_))
        return int(hit.start()) if hit else len(text)


def compile_detector(
    name: str, start: str, secret: str = "", then: str = "", until: str = "", entropy: float = 0
) -> Detector:
    """A detector from RE2 patterns. Raises UnsupportedPattern."""
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", start)
    if re.search(r"[\^$]", bare) or re.search(r"\\[ABz]", re.sub(r"\\\\", "", start)):
        raise UnsupportedPattern("start: anchors are not possible, the text may begin anywhere")
    if re.search(r"[*+]|\{\d*,\}", bare):
        raise UnsupportedPattern("start: bound every repetition, such as {0,16} for *")
    if sum(int(most) for most in re.findall(r"(\d+)\}", bare)) + len(bare) > MAX_START_BYTES or re.search(
        r"\)\{", bare
    ):
        raise UnsupportedPattern(f"start: too long, a start has at most {MAX_START_BYTES} bytes; do not repeat groups")
    parts = [compile_re2(pattern) if pattern else None for pattern in (secret, then, until)]
    return Detector(name, start, f"(?:{secret})(?:{then})", entropy, compile_re2(_in_text(start)), *parts)


def any_of(patterns: Iterable[str]) -> str:
    """One pattern that matches where any of them does."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def compile_re2(pattern: str) -> Any:
    """The pattern over bytes. Raises UnsupportedPattern."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise UnsupportedPattern(f"not RE2: {reason}") from error


def as_kubernetes_json(value: Any) -> bytes:
    """`value` as Kubernetes writes JSON, which escapes `<`, `>` and `&` too."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, escape)
    return text.encode("utf-8", "surrogatepass")


def _first_bytes(detector: Detector) -> frozenset[int]:
    """The bytes a start may begin with, or a few more: so that few detectors are tried at each hit."""
    try:
        least, most = compile_re2(_boundaries_as("", detector.source)).possiblematchrange(1)
    except re2.error:
        return frozenset(range(256))
    return frozenset((_ESCAPE, *range(least[0] if least else 0, (most[0] if most else 255) + 1)))


def _in_text(pattern: str) -> str:
    """The pattern for text, where a word may begin after a colour of terminals, which ends in a letter."""
    return _boundaries_as(rf"(?:\b|{_COLOUR})", pattern)


def _whole(detector: Detector) -> str:
    return f"(?:{detector.source}){detector.rest}"


def _in_json(detector: Detector) -> str:
    r"""The pattern for JSON text, where a word may begin after an escape (`\neyJ`, `\u001b[31meyJ`).

    After the start there is the rest as it is, or an escape before the string ends.
    """
    return rf"(?:{_boundaries_as(_IN_JSON, detector.source)})(?:{detector.rest}|[^\"\\]*\\)"


def _boundaries_as(replacement: str, pattern: str) -> str:
    return re.sub(r"\\(.)", lambda escape: replacement if escape[1] == "b" else escape[0], pattern)
