"""Where a list of what was found goes on: the place of its last entry, the same when an index is made anew."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson

Place = tuple[str | int, ...]


def written(place: Place) -> str:
    """A place as it is in an address or on a command line."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()


def read(text: str, kinds: Sequence[type]) -> Place:
    """The place whose parts are of these kinds. Raises ValueError for what nobody was given."""
    try:
        found: Any = orjson.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, list) or [type(part) for part in found] != list(kinds):
        raise ValueError("this is no place in a list that was found")
    return tuple(found)
