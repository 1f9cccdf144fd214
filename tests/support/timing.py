"""How long something takes where the machine may be slow for a moment: other work only ever makes it longer."""

from __future__ import annotations

import time
from collections.abc import Callable


def quickest(work: Callable[[], object], enough: float, tries: int = 3) -> float:
    """The seconds of the quickest of several tries; none is made after one that took less than `enough`."""
    found = float("inf")
    while tries and found >= enough:
        began = time.monotonic()
        work()
        found, tries = min(found, time.monotonic() - began), tries - 1
    return found
