"""The first bytes of a stream, taken as they pass on their way to the agent; after masking, and never held back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Transform = Callable[[bytes], Iterable[bytes] | bytes]
MAX_SAMPLE = 64 * 1024


class Sample:
    """Stands in for `flow.response.stream`. Keeps mitmproxy's contract: bytes, or several; `b""` in is the end."""

    def __init__(self, inner: Transform | bool, limit: int = MAX_SAMPLE) -> None:
        """`inner` is what was set before: True, or a function of one chunk."""
        self._inner = inner if callable(inner) else None
        self._limit = limit
        self._kept = bytearray()
        self.total = 0
        """Bytes that passed."""

    def __call__(self, data: bytes) -> Iterable[bytes] | bytes:
        """What the stream's own function makes of a chunk."""
        made = data if self._inner is None else self._inner(data)
        if isinstance(made, bytes):
            self._keep(made)
            return made
        chunks = [*made]
        for chunk in chunks:
            self._keep(chunk)
        return chunks

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return len(self._kept)

    @property
    def kept(self) -> bytes:
        """The first bytes, at most `limit`."""
        return bytes(self._kept)

    def _keep(self, chunk: bytes) -> None:
        self.total += len(chunk)
        if (room := self._limit - len(self._kept)) > 0:
            self._kept += chunk[:room]
