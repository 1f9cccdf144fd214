"""A terminal session as asciicast v3, piece by piece as it happens; the caller appends the pieces to a file.

Typed input is kept apart from output as `i` events, and every `x` event is the end of the command. stdout and stderr
are both `o`, in the order they came. Without a terminal nothing turned line feeds into CR LF on the way to the screen;
the recording does, so that players show lines and not stairs.
Source: https://docs.asciinema.org/manual/asciicast/v3/
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import orjson

from addons.core.channels import Channel, ExitStatus

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of output that are kept; what follows is counted, and the recording says so."""
MAX_INPUT = 16 * 1024 * 1024
"""Bytes of input that are kept. Input is what was done, so a session that sends more is ended."""

_MAX_NOTE = 2000
_EVENTS = {Channel.STDIN: "i", Channel.STDOUT: "o", Channel.STDERR: "o"}


class CastFull(ValueError):
    """More input than a recording holds: the session must end."""


class Cast:
    """One recording. Times are Unix seconds; intervals never run backwards, whatever the clock does."""

    def __init__(self, started_at: float, argv: Sequence[str], title: str, tty: bool) -> None:
        self._started_at = self._last_at = started_at
        self._argv, self._title, self._tty = argv, title, tty
        self._decoders = {channel: codecs.getincrementaldecoder("utf-8")("replace") for channel in _EVENTS}
        self._after_cr = False
        self._limit_told = False
        self.seen = dict.fromkeys(_EVENTS, 0)
        """Bytes per channel, kept or not."""

    def header(self) -> bytes:
        """The first line. The size is a guess until the client sends one."""
        return _line(
            {
                "version": 3,
                "term": {"cols": 80, "rows": 24},
                "timestamp": int(self._started_at),
                "command": " ".join(_printable(word) for word in self._argv),
                "title": _printable(self._title),
                "tags": ["tty" if self._tty else "no-tty"],
            }
        )

    def data(self, channel: Channel, data: bytes, now: float) -> bytes:
        """Input or output as an event; `b""` when it ends within a character or past the limit. Raises CastFull."""
        self.seen[channel] += len(data)
        if channel is Channel.STDIN:
            if self.seen[channel] > MAX_INPUT:
                raise CastFull(f"more than {MAX_INPUT} bytes were sent to the command")
        elif self.seen[Channel.STDOUT] + self.seen[Channel.STDERR] > MAX_OUTPUT:
            return self._over_limit(now)
        return self._text(channel, self._decoders[channel].decode(data), now)

    def resize(self, columns: int, rows: int, now: float) -> bytes:
        """The terminal's new size."""
        return self._event("r", f"{columns}x{rows}", now)

    def note(self, text: str, now: float) -> bytes:
        """Something about the session that is neither typed nor printed."""
        return self._event("m", _printable(text)[:_MAX_NOTE], now)

    def end(self, status: ExitStatus | None, now: float) -> bytes:
        """What was left within a character, and how the command ended if that is known."""
        rest = b"".join(
            self._text(channel, self._decoders[channel].decode(b"", final=True), now) for channel in _EVENTS
        )
        if status is None or status.code is None:
            message = status.message if status is not None else ""
            return rest + self._event("m", f"ended without an exit status {_printable(message)}".rstrip(), now)
        return rest + self._event("x", str(status.code), now)

    def _text(self, channel: Channel, text: str, now: float) -> bytes:
        if not text:
            return b""
        if channel is not Channel.STDIN and not self._tty:
            after_cr, self._after_cr = self._after_cr, text[-1] == "\r"
            first = text[:1] if after_cr else ""
            text = first + text[len(first) :].replace("\r\n", "\n").replace("\n", "\r\n")
        return self._event(_EVENTS[channel], text, now)

    def _over_limit(self, now: float) -> bytes:
        if self._limit_told:
            return b""
        self._limit_told = True
        return self._event("m", "output beyond this point was counted, not recorded", now)

    def _event(self, code: str, text: str, now: float) -> bytes:
        interval = max(0.0, now - self._last_at)
        self._last_at = max(self._last_at, now)
        return _line([round(interval, 6), code, text])


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
