"""People signed in with a browser: their sessions and sign-ins under way. In memory: a restart signs everybody out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from addons.console.sealed import Sealed
from addons.core.browser_session import SECRET_BYTES, BrowserSession
from addons.core.identity import Identity
from addons.core.sign_in import Attempt
from addons.core.throttle import Throttle
from addons.edge.connection_health import HealthBoard
from addons.edge.rule_hits import HitCounts
from addons.edge.web_sign_in import Providers

MOST_SESSIONS = 2000
MOST_EACH = 8
"""Browsers of one person; a further one ends the oldest."""
FORMS, CALLS = 30, 300
"""Forms that are sent in one session, and changes and reads of one person's by the API, in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Where somebody goes on who has signed in to use the pages: a path below the console's own address."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdSignIn:
    """A sign-in under way at an OpenID provider (its name)."""

    provider: str
    page: Page
    nonce: str
    verifier: str

    def attempt(self, state: str) -> Attempt:
        """As it is sent, and as it must come back."""
        return Attempt(state=state, nonce=self.nonce, verifier=self.verifier)


class Sessions:
    """By an id that nobody can guess. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[str, BrowserSession] = {}  # in the order in which they began

    def begin(self, identity: Identity, provider: str) -> str:
        """The id of a new one; where there are too many, the oldest ends."""
        now = self._now()
        self._kept = {key: each for key, each in self._kept.items() if not each.over(now)}
        mine = [key for key, each in self._kept.items() if each.is_of(identity)]
        for key in mine[: max(0, len(mine) - MOST_EACH + 1)]:
            del self._kept[key]
        if len(self._kept) >= MOST_SESSIONS:
            del self._kept[next(iter(self._kept))]
        session_id = secrets.token_urlsafe(SECRET_BYTES)
        csrf = secrets.token_urlsafe(SECRET_BYTES)
        self._kept[session_id] = BrowserSession(
            identity=identity, provider=provider, csrf=csrf, begun_at=now, seen_at=now
        )
        return session_id

    def find(self, session_id: str, *, by_person: bool) -> BrowserSession | None:
        """One that has not ended. What a page asks for by itself (not `by_person`) does not keep it from ending."""
        found = self._kept.get(session_id)
        if found is None or found.over(self._now()):
            self.end(session_id)
            return None
        if by_person:
            found.seen_at = self._now()
        return found

    def end(self, session_id: str) -> None:
        """It is over."""
        self._kept.pop(session_id, None)


class People:
    """All that the console keeps of them."""

    def __init__(self, now: Callable[[], float], sign_in_seconds: float) -> None:
        self.sessions = Sessions(now)
        self.sign_ins = Sealed(OpenIdSignIn, sign_in_seconds, now)
        self.providers = Providers(now)
        self.sent = Throttle(FORMS, 60)
        self.asked = Throttle(CALLS, 60)
        self.hits = HitCounts(now)
        self.board = HealthBoard(now)
