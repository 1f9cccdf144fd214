"""Detectors: how secrets in free text begin, and what of them is masked.

A detector is a public `start` (`ghp_`, `://user:`) followed by the secret. The start stays readable; the secret
reaches at most to the end of its word (white space, control characters, quotes, `<`, `>`). Both facts together
let a stream go on at once and hold back only a word that has begun like a secret.

One RE2 alternation of all starts is searched first; most text has no hit. It is not an `re2.Set`, because a Set that
runs out of memory reports no match, while a search falls back to a slower one.
"""

from __future__ import annotations

import json
import re
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import re2

TERMINATORS = r"""[\x00-\x20\x7f"'`<>]"""
MAX_START_BYTES = 256

_COLOUR = r"\x1b\[[0-9;]{0,16}m"
"""Select Graphic Rendition (ECMA-48, 8.3.117)."""
_ESCAPED_PRINTABLE = r"\\/|\\u00(?:[4-6][0-9a-fA-F]|7[0-9a-eA-E]|2[013-57-9a-fA-F]|3[0-9abdfABDF])"
"""JSON escapes that Kubernetes never writes: where they occur, JSON text cannot be searched without decoding it."""


class UnsupportedPattern(ValueError):
    """Not RE2, or a start that could not be found in every chunking of a text."""


@dataclass(frozen=True, slots=True)
class Detector:
    """`start` then `secret` then `then`, without white space from the secret on; or all from `start` to `until`."""

    name: str
    source: str
    start: Any
    secret: Any
    then: Any
    until: Any


class Detectors:
    """All detectors together."""

    __slots__ = ("_anywhere", "_by_first_byte", "all", "in_json", "starts")

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.all = tuple(detectors)
        sources = [detector.source for detector in detectors]
        self.starts = compile_re2(any_of(map(_in_text, sources))) if sources else None
        self.in_json = any_of([*map(_in_json, sources), _ESCAPED_PRINTABLE]) if sources else ""
        self._anywhere = compile_re2(f"{self.in_json}|{any_of(map(_in_text, sources))}") if sources else None
        first = [_first_bytes(detector) for detector in detectors]
        self._by_first_byte = [
            tuple(detector for detector, bytes_ in zip(detectors, first, strict=True) if byte in bytes_)
            for byte in range(256)
        ]

    def may_be_in(self, value: Any) -> bool:
        """False only if no secret begins in any text in an object or a list."""
        if self._anywhere is None or not isinstance(value, (dict, list)):
            return False
        try:
            return self._anywhere.search(orjson.dumps(value)) is not None
        except orjson.JSONEncodeError:  # a lone surrogate, a huge number
            return True

    def at(self, text: bytes, base: int, begin: int) -> Iterator[tuple[int, Detector]]:
        """(end of start, detector) for each start in `text[base:]` that ends at `begin` or later, in order of that end.

        What stands before `base` only tells whether a word begins there.
        """
        pending: list[tuple[int, int, Detector]] = []
        at = max(base, begin - MAX_START_BYTES)
        while self.starts is not None:
            hit = self.starts.search(text, at)
            here = hit.start() if hit else len(text)
            while pending and (hit is None or pending[0][0] <= here):
                end, _, detector = pending.pop(0)
                yield end, detector
            if hit is None:
                return
            at = here + 1
            for order, detector in enumerate(self._by_first_byte[text[here]]):
                match = detector.start.match(text, here)
                if match and match.end() >= begin:
                    insort(pending, (match.end(), here * len(self.all) + order, detector))


def compile_detector(name: str, start: str, secret: str = "", then: str = "", until: str = "") -> Detector:
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
    return Detector(name, start, compile_re2(_in_text(start)), *parts)


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


def _first_bytes(detector: Detector) -> range:
    """The bytes a start may begin with, or a few more: so that few detectors are tried at each hit."""
    try:
        least, most = compile_re2(_boundaries_as(f"(?:{_COLOUR})?", detector.source)).possiblematchrange(1)
    except re2.error:
        return range(256)
    return range(least[0] if least else 0, (most[0] if most else 255) + 1)


def _in_text(pattern: str) -> str:
    """The pattern for text, where a word may begin after a colour of terminals, which ends in a letter."""
    return _boundaries_as(rf"(?:\b|{_COLOUR})", pattern)


def _in_json(pattern: str) -> str:
    r"""The pattern for JSON text, where a word may begin after an escape (`\neyJ`, `\u001b[31meyJ`)."""
    return _boundaries_as(r"(?:\b|\\[bfnrt]|\\u[0-9a-fA-F]{4}(?:\[[0-9;]{0,16}m)?)", pattern)


def _boundaries_as(replacement: str, pattern: str) -> str:
    return re.sub(r"\\(.)", lambda escape: replacement if escape[1] == "b" else escape[0], pattern)
