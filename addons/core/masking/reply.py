"""What a request answers with, and what masks a body that arrives in pieces."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class Reply(Enum):
    """What a request answers with."""

    PASSED = "nothing to mask"
    OBJECTS = "objects"
    TEXT = "text: logs, whatever a proxied pod says"
    CHANNELS = "channels of a terminal or command"


class StreamMasker(Protocol):
    """Masks a body that arrives in pieces. Both return [] for "nothing yet", and may raise Unmaskable."""

    def feed(self, chunk: bytes) -> list[bytes]: ...
    def finish(self) -> list[bytes]: ...
    def failure(self, reason: str) -> bytes: ...
