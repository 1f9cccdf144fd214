"""Objects written one after the other in a text, as YAML documents: Helm's manifests."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from addons.core.masking.codec import Unmaskable, decode_yaml, encode_yaml

_SEPARATOR = re.compile(r"(?m)(^---[ \t\r]*(?:#.*)?(?:\n|\Z))")
"""With nothing on its line: what is there otherwise belongs to the document."""
_COMMENTS = re.compile(r"(?:[ \t]*(?:#.*)?(?:\n|$))*")


def mask_documents(text: str, mask: Callable[[dict[str, Any]], bool], hidden: Callable[[str], str]) -> str:
    """`text` with every object masked in place: `mask` says whether it changed one. Others stay as they are written.

    A document that cannot be read as one object becomes a comment with what `hidden` makes of it.
    """
    return "".join(
        piece if _SEPARATOR.fullmatch(piece) else _masked(piece, mask, hidden) for piece in _SEPARATOR.split(text)
    )


def _masked(piece: str, mask: Callable[[dict[str, Any]], bool], hidden: Callable[[str], str]) -> str:
    comments = _COMMENTS.match(piece)
    start = comments.end() if comments else 0
    if start == len(piece):
        return piece
    try:
        value = decode_yaml(piece.encode("utf-8", "surrogatepass"))
    except Unmaskable:
        value = None
    if not isinstance(value, dict):
        return f"# {hidden(piece)}\n"
    return piece[:start] + encode_yaml(value).decode() if mask(value) else piece
