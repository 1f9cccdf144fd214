"""Masking of `Warning` headers, which quote what was written.

Source: RFC 7234, section 5.5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_ONE = r'(\s*\d{3} [^\s"]+ )("(?:[^"\\]|\\.)*")'
_WARNING = re.compile(_ONE)
_VALUE = re.compile(rf'{_ONE}(?:\s"[^"]*")?(?:\s*,{_ONE}(?:\s"[^"]*")?)*\s*')
_ESCAPED, _SPECIAL = re.compile(r"\\(.)", re.S), re.compile(r'["\\]')


def mask_warnings(values: Iterable[str], redact: Callable[[str], str]) -> list[str]:
    """The values of headers with each text as `redact` leaves it; those that cannot be read are left out."""

    def masked(found: re.Match[str]) -> str:
        text = redact(_ESCAPED.sub(r"\1", found[2][1:-1]))
        return f'{found[1]}"{_SPECIAL.sub(_escape, text)}"'

    return [_WARNING.sub(masked, value) for value in values if _VALUE.fullmatch(value)]


def _escape(found: re.Match[str]) -> str:
    return "\\" + found[0]
