"""What the console waits for: sign-ins under way and codes not yet used. In memory: a restart forgets it, safely."""

from __future__ import annotations

import secrets
from collections.abc import Callable

_MOST = 10_000


class TooManyPending(RuntimeError):
    """More is waited for than is kept."""


class Pending[T]:
    """Values by a key that nobody can guess, each for `seconds`. `now` gives Unix seconds."""

    def __init__(
        self, seconds: float, now: Callable[[], float], make_key: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self.seconds = seconds
        self._now, self._make_key = now, make_key
        self._kept: dict[str, tuple[float, T]] = {}  # in the order in which they end

    def add(self, value: T) -> str:
        """The key of a new one. Raises TooManyPending."""
        self._forget_old()
        if len(self._kept) >= _MOST:
            raise TooManyPending("too many sign-ins are under way: try again in a few minutes")
        key = self._make_key()
        if key in self._kept:  # a short code that is in use
            return self.add(value)
        self._kept[key] = (self._now() + self.seconds, value)
        return key

    def find(self, key: str) -> T | None:
        """What is kept under a key."""
        self._forget_old()
        return self._kept[key][1] if key in self._kept else None

    def take(self, key: str) -> T | None:
        """What is kept under a key, this once."""
        found = self.find(key)
        self._kept.pop(key, None)
        return found

    def _forget_old(self) -> None:
        while self._kept and next(iter(self._kept.values()))[0] <= self._now():
            del self._kept[next(iter(self._kept))]
