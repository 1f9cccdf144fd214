"""A lock: somebody, a session, a cluster or everybody is stopped until a human lifts it, whatever the rules grant.

Which locks there are is for people to say (`chaperone lock`); where they are kept is `edge/store.py`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from addons.core.refusal import Refusal
from addons.core.session import Session
from addons.core.session_token import session_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Holds for what fits all of `subject`, `connection` and `session`; what is empty fits all. Times: Unix seconds."""

    id: str
    subject: str = ""
    """A caller's `sub`, at any issuer; also who acts for it, and who answers for it."""
    connection: str = ""
    session: str = ""
    """A session of the record; or of session tokens, with all that came of its first one."""
    reason: str
    made_by: str
    made_at: float

    def holds(self, session: Session) -> bool:
        """Whether it stops this session."""
        who = session.identity
        return (
            self.subject in ("", who.sub, who.act, who.owner)
            and self.connection in ("", session.connection)
            and self.session in ("", session.id, session_of(who))
        )

    def what(self) -> str:
        """What it stops, in words."""
        parts = (("subject", self.subject), ("session", self.session), ("connection", self.connection))
        return ", ".join(f"{kind} {name}" for kind, name in parts if name) or "everything"


def stopped(locks: Iterable[Lock], session: Session) -> Refusal | None:
    """What a session that is locked is told; None if it is not. Who locked it is not the agent's to know."""
    for lock in locks:
        if lock.holds(session):
            return Refusal(
                code=403,
                rule="locked",
                why=f"somebody who runs the gateway has locked {lock.what()}: {lock.reason}",
                hint="stop, and ask the people who run the gateway",
                retry="no, not before the lock is lifted",
            )
    return None
