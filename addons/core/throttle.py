"""How often somebody may try something: so many times in so many seconds, for a bounded number of people."""

from __future__ import annotations

from collections import OrderedDict

MOST = 4096
"""Whose tries are counted; beyond that the oldest are forgotten."""


class Throttle:
    """`tries` of each in `seconds`. Times are Unix seconds."""

    def __init__(self, tries: int, seconds: float) -> None:
        self._tries, self._seconds = tries, seconds
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, who: str, now: float) -> bool:
        """Counts a try; False if it is one too many."""
        since, count = self._counted.pop(who, (now, 0))
        if now >= since + self._seconds:
            since, count = now, 0
        self._counted[who] = since, min(count + 1, self._tries + 1)
        if len(self._counted) > MOST:
            self._counted.popitem(last=False)
        return count < self._tries
