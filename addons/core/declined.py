"""What the cluster itself declined a moment ago: kubectl tries a refused WebSocket again over SPDY."""

from __future__ import annotations

SECONDS = 10.0
"""Longer than a client takes for its second try."""


class Declined:
    """Digests of approved requests to which the cluster said no. Times are Unix seconds."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, digest: str, now: float) -> None:
        """The cluster said no to a request."""
        self._until = {known: until for known, until in self._until.items() if until > now}
        self._until[digest] = now + SECONDS

    def lately(self, digest: str, now: float) -> bool:
        """True if the cluster said no to this request just now."""
        return self._until.get(digest, 0) > now
