"""How a channel is told of a question: once, again after trouble, later and later, and not for ever.

What is stored, and by whom, is `edge/notify_store.py`.
"""

from __future__ import annotations

from enum import StrEnum

LEASE_SECONDS = 30
"""How long whoever has taken a message has it alone; afterwards it is taken to have died."""
SEND_SECONDS = 10
"""How long one try may take."""
MAX_TRIES = 12
_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 120.0


class Stage(StrEnum):
    """asking → asked → closing → closed; a stage that is given up goes on to the next."""

    ASKING = "asking"
    ASKED = "asked"
    CLOSING = "closing"
    CLOSED = "closed"


DONE = {Stage.ASKING: Stage.ASKED, Stage.CLOSING: Stage.CLOSED}
"""What follows a message that was sent, or given up."""


def retry_at(now: float, tries: int, chance: float) -> float:
    """When to try again after `tries` failures; `chance`, from 0 to 1, spreads it over half of the time.

    Unix seconds.
    """
    return now + min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** (tries - 1)) * (0.5 + chance / 2)


def given_up(tries: int) -> bool:
    """Whether there have been tries enough."""
    return tries >= MAX_TRIES
