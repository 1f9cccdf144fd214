"""What a write changes, as text for the human who is asked.

The objects must be masked already. A difference that is too long says so in its first line: a reader never has to
notice by themselves that something is missing.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

MAX_LINES = 2000
MAX_WIDTH = 2000


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """A unified difference of the two objects as sorted JSON, `""` when they are equal; None is "does not exist"."""
    lines = [*difflib.unified_diff(_lines(before), _lines(after), "before", "after", lineterm="", n=3)]
    cut = [line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]}… ({len(line)} characters)" for line in lines]
    if len(cut) > MAX_LINES:
        cut = [f"! the first {MAX_LINES} of {len(cut)} lines; the rest is not shown here", *cut[:MAX_LINES]]
    return "\n".join(cut)


def _lines(value: Mapping[str, Any] | None) -> list[str]:
    return [] if value is None else json.dumps(value, indent=2, sort_keys=True).splitlines()
