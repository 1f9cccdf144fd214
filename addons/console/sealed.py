"""Sign-ins under way: kept by the browser that began them, sealed; the console keeps nothing for somebody unknown.

So nobody can use up what others need to sign in, however many are begun. Only that browser can end one: another has no
cookie for it. It counts once: what has signed somebody in is remembered for as long as it could come again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, TypeAdapter

from addons.console.pending import TooManyPending

_MOST_USED = 100_000


class _Kept[T](BaseModel):
    key: str
    value: T


class Sealed[T]:
    """Values by a key that their sealing is bound to, each for `seconds`. `now` gives Unix seconds.

    Source of the seal: Fernet (AES in CBC mode, HMAC with SHA-256, the time in it), with a key of this process alone.
    """

    def __init__(self, kind: type[T], seconds: float, now: Callable[[], float]) -> None:
        self.seconds = seconds
        self._adapter: TypeAdapter[_Kept[T]] = TypeAdapter(_Kept[kind])  # type: ignore[valid-type]  # given at run time
        self._now, self._box = now, Fernet(Fernet.generate_key())
        self._used: dict[str, float] = {}  # in the order in which they end

    def seal(self, key: str, value: T) -> str:
        """What the browser keeps."""
        content = self._adapter.dump_json(_Kept(key=key, value=value))
        return self._box.encrypt_at_time(content, int(self._now())).decode().rstrip("=")  # which cookies would quote

    def open(self, key: str, sealed: str) -> T | None:
        """What was sealed for this key, unless that was too long ago or has been used."""
        self._forget_old()
        if key in self._used:
            return None
        try:
            # The time is in whole seconds, and one that is over must not count.
            content = self._box.decrypt_at_time(
                sealed + "=" * (-len(sealed) % 4), int(self.seconds) - 1, int(self._now())
            )
        except (InvalidToken, ValueError):  # not even text that could be one
            return None
        kept = self._adapter.validate_json(content)
        return kept.value if kept.key == key else None

    def use(self, key: str) -> None:
        """It has signed somebody in, and does not again. Raises TooManyPending."""
        self._forget_old()
        if len(self._used) >= _MOST_USED:
            raise TooManyPending("too many people have signed in: try again in a few minutes")
        self._used[key] = self._now() + self.seconds

    def _forget_old(self) -> None:
        while self._used and next(iter(self._used.values())) <= self._now():
            del self._used[next(iter(self._used))]


def cookie_name(url: str, key: str) -> str:
    """Of the cookie for a sign-in; with TLS no other host can set it. Two windows of a browser may sign in at once."""
    name = f"chaperone-sign-in-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return f"__Host-{name}" if url.startswith("https://") else name
