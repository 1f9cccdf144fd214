"""Masking of a watch: one JSON event per line, each passed on as soon as it is complete.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import json
from collections.abc import Callable

from addons.core.masking.codec import Unmaskable

MAX_FRAME = 16 * 1024 * 1024


class FrameMasker:
    """One watch. `feed` what arrives, then `finish`; both return what may be passed on and raise Unmaskable."""

    __slots__ = ("_mask", "_max_frame", "_parts", "_size")

    def __init__(self, mask: Callable[[bytes], bytes], max_frame: int = MAX_FRAME) -> None:
        self._mask = mask
        self._max_frame = max_frame
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that are complete after `chunk`, masked. Raises Unmaskable; nothing may be fed after that."""
        out: list[bytes] = []
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            self._parts.append(line)
            frame, self._parts, self._size = b"".join(self._parts), [], 0
            out.append(self._frame(frame) + b"\n")
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if self._size > self._max_frame:
            raise Unmaskable(f"a watch event is larger than {self._max_frame} bytes")
        return out

    def finish(self) -> list[bytes]:
        """The last event when no newline ended it. Raises Unmaskable when it is cut off."""
        frame, self._parts = b"".join(self._parts), []
        return [self._frame(frame)] if frame else []

    @staticmethod
    def failure(reason: str) -> bytes:
        """The ERROR event that tells a client why its watch ends."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"chaperone ended this watch: {reason}",
            "reason": "InternalError",
            "code": 500,
        }
        return json.dumps({"type": "ERROR", "object": status}, separators=(",", ":")).encode() + b"\n"

    def _frame(self, frame: bytes) -> bytes:
        return self._mask(frame) if frame.strip() else frame
