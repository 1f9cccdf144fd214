"""What the console waits for: devices that begin to sign in, codes not yet used. In memory: a restart forgets it.

Room is bounded, and nobody is refused for it: whoever begins too much from one address loses what they began first, and
where all room is used the oldest goes. So one address cannot use up what others need.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable

MOST, MOST_EACH = 10_000, 1_000


class TooManyPending(RuntimeError):
    """More is waited for than is kept."""


class Pending[T]:
    """Values by a key that nobody can guess, each for `seconds`. `now` gives Unix seconds."""

    def __init__(
        self, seconds: float, now: Callable[[], float], make_key: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self.seconds = seconds
        self._now, self._make_key = now, make_key
        self._kept: dict[str, tuple[float, str, T]] = {}  # in the order in which they end
        self._from: Counter[str] = Counter()

    def add(self, value: T, source: str = "") -> str:
        """The key of a new one. `source` is the address that it comes from, "" for what is nobody's in particular."""
        self._forget_old()
        if source and self._from[source] >= MOST_EACH:
            self._drop(next(key for key, (_, whose, _) in self._kept.items() if whose == source))
        elif len(self._kept) >= MOST:
            self._drop(next(iter(self._kept)))
        key = self._make_key()
        while key in self._kept:  # a short code that is in use
            key = self._make_key()
        self._kept[key] = (self._now() + self.seconds, source, value)
        self._from[source] += 1
        return key

    def find(self, key: str) -> T | None:
        """What is kept under a key."""
        self._forget_old()
        return self._kept[key][2] if key in self._kept else None

    def take(self, key: str) -> T | None:
        """What is kept under a key, this once."""
        found = self.find(key)
        if key in self._kept:
            self._drop(key)
        return found

    def _forget_old(self) -> None:
        while self._kept and next(iter(self._kept.values()))[0] <= self._now():
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        _, source, _ = self._kept.pop(key)
        self._from[source] -= 1
        if not self._from[source]:
            del self._from[source]
