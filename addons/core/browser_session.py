"""A person signed in at the console with a browser: who may be, for how long, and the cookie that says it.

The cookie is the session and nothing else is: no token that an agent could present signs anybody in here.
Sources: Cookies (RFC 6265bis), section 4.1.3.2, for the prefix; OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from addons.core.claims import RejectedToken
from addons.core.identity import Identity
from addons.core.lock import Lock
from addons.core.session_token import Binding, bound_to

IDLE_SECONDS = 1800
LONGEST_SECONDS = 8 * 3600
SECRET_BYTES = 32


@dataclass(slots=True, kw_only=True)
class BrowserSession:
    """`csrf` is in every form of it. `seen_at` is when its person last did something. Times are Unix seconds."""

    identity: Identity
    provider: str
    csrf: str
    begun_at: float
    seen_at: float

    def over(self, now: float) -> bool:
        """Whether it has ended: by its age, with what its provider said, or because nobody was there."""
        ends = min(self.begun_at + LONGEST_SECONDS, self.identity.exp, self.seen_at + IDLE_SECONDS)
        return now >= ends

    def is_of(self, identity: Identity) -> bool:
        """Whether it is this person's."""
        return self.identity.username == identity.username

    def has(self, csrf: str) -> bool:
        """Whether a form is one of its own."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode("utf-8", "surrogatepass"))


def cookie_name(url: str) -> str:
    """With TLS no other host and no plain HTTP can set it; without, which only this machine does, it has no prefix."""
    return "__Host-chaperone-session" if url.startswith("https://") else "chaperone-session"


def check_person(identity: Identity) -> None:
    """Returns if somebody may sign in with this: they themselves, by what is bound to nothing. Raises RejectedToken."""
    if identity.act:
        raise RejectedToken("it is used on someone's behalf: sign in yourself")
    if identity.session_token or bound_to(identity) != Binding() or "cnf" in identity.claims:
        raise RejectedToken("it is bound to something, or a session token: sign in yourself")


def check_id_token(identity: Identity, client_id: str, nonce: str) -> None:
    """Returns if a verified token is the ID token of this very sign-in. Raises RejectedToken."""
    check_person(identity)
    if client_id not in identity.aud or identity.claims.get("azp", client_id) != client_id:
        raise RejectedToken("it is meant for another client (aud, azp)")
    if not hmac.compare_digest(str(identity.claims.get("nonce", "")).encode(), nonce.encode()):
        raise RejectedToken("it is of another sign-in (nonce)")


def shut_out(locks: Iterable[Lock], identity: Identity) -> bool:
    """Whether a lock names this person. What stops a cluster or everybody leaves people able to look and to lift it."""
    return any(lock.subject in identity.subjects for lock in locks if not lock.connection and not lock.session)
