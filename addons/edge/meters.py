"""What a worker counts, in plain numbers: adding to them costs next to nothing. How it is shown is elsewhere.

Labels are bounded: connections, verdicts, and the names of rules and refusals. No caller's text is ever one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from typing import Any

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: upper ends of the buckets of upstream latency, but for the last, which has none."""


class Meters:
    """One worker's, since its start."""

    def __init__(self) -> None:
        self._requests: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._refusals: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._upstream: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * (len(BOUNDS) + 2))

    def request(self, connection: str, verdict: str, rule: str) -> None:
        """A request that was decided on."""
        self._requests[connection, verdict, rule] += 1

    def refusal(self, connection: str, reason: str, code: int) -> None:
        """A request, or a reply, that was refused."""
        self._refusals[connection, reason, code] += 1

    def upstream(self, connection: str, seconds: float) -> None:
        """How long the cluster took to begin its reply."""
        numbers = self._upstream[connection]
        numbers[bisect_left(BOUNDS, seconds)] += 1
        numbers[-1] += seconds

    def snapshot(self) -> dict[str, Any]:
        """All of it, as JSON-ready values: [labels, value] pairs; of a latency, the buckets' counts and the sum."""
        return {
            "requests": [[list(key), count] for key, count in self._requests.items()],
            "refusals": [[list(map(str, key)), count] for key, count in self._refusals.items()],
            "upstream": [[[connection], list(numbers)] for connection, numbers in self._upstream.items()],
        }
