"""What a peer sends in a session that cannot be read in exactly one way. It is never forwarded; the session ends."""

from __future__ import annotations


class Violation(ValueError):
    """A peer broke its protocol. The message says how, for people, and quotes at most a few bytes of what was sent."""


class Flood(Violation):
    """A peer sends so much of what carries nothing that it can only be meant to tire us."""
