"""Two tries of one session: kubectl asks again over SPDY for what it was refused over WebSocket."""

from __future__ import annotations

from collections.abc import Hashable

SECONDS = 10.0
"""Longer than a client takes for its second try."""
MOST = 4096
"""Tries that are remembered; beyond that the oldest is forgotten."""


class Attempts:
    """First tries that came to nothing, by what was asked and who did. Times are Unix seconds."""

    def __init__(self) -> None:
        self._failed: dict[Hashable, tuple[str, float]] = {}

    def failed(self, asked: Hashable, audit_id: str, now: float) -> None:
        """A first try came to nothing."""
        self._failed.pop(asked, None)
        while self._failed and (len(self._failed) >= MOST or self._oldest() <= now):
            del self._failed[next(iter(self._failed))]
        self._failed[asked] = audit_id, now + SECONDS

    def first_of(self, asked: Hashable, now: float) -> str:
        """The audit id of the try that this is the second one of; "" if it is none. It has one second try."""
        audit_id, until = self._failed.pop(asked, ("", now))
        return audit_id if now < until else ""

    def _oldest(self) -> float:
        return next(iter(self._failed.values()))[1]
