"""How much may be sent that carries nothing: pings, settings, empty frames. A token bucket; the clock is given."""

from __future__ import annotations

from addons.core.violation import Flood

CAPACITY = 1000
PER_SECOND = 100


class Budget:
    """One sender's. Times are Unix seconds; a clock that runs backwards gives nothing."""

    def __init__(self) -> None:
        self._left = float(CAPACITY)
        self._at: float | None = None

    def spend(self, now: float) -> None:
        """One frame that carries nothing. Raises Flood."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now if self._at is None else max(self._at, now)
        self._left = min(CAPACITY, self._left + elapsed * PER_SECOND) - 1
        if self._left < 0:
            raise Flood(f"more than {PER_SECOND} frames per second that carry nothing")
