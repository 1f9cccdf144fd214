"""Lines out of a stream: what was typed, as far as it can be told, and what was printed.

On a terminal a line is what its editing keys leave of it. That is best effort: history, completion and a program's own
keys cannot be seen in the input. What was really sent is in the recording, byte by byte.
"""

from __future__ import annotations

MAX_LINE = 16 * 1024
"""A longer line is judged in pieces of this length."""
_ESCAPE = "\x1b"


class LineReader:
    """One stream. `tty`: keys are edited as a terminal's line discipline and shells do."""

    def __init__(self, tty: bool) -> None:
        self._tty = tty
        self._line = ""
        self._escape = ""
        self._bytes = b""

    def feed(self, data: bytes, ends: bool = False) -> list[str]:
        """The lines that are complete after `data`; at the end, what is left of one, too."""
        lines = self._keys(data) if self._tty else self._split(data)
        if ends and (rest := self._line or self._bytes.decode("utf-8", "replace")):
            lines.append(rest)
            self._line, self._bytes = "", b""
        return lines

    @classmethod
    def of(cls, tty: bool, line: str, escape: str, rest: bytes) -> LineReader:
        """One that goes on from a `state`."""
        reader = cls(tty)
        reader._line, reader._escape, reader._bytes = line, escape, rest
        return reader

    def state(self) -> tuple[bool, str, str, bytes]:
        """All that it knows."""
        return self._tty, self._line, self._escape, self._bytes

    def _split(self, data: bytes) -> list[str]:
        *complete, self._bytes = (self._bytes + data).split(b"\n")
        while len(self._bytes) >= MAX_LINE:
            complete.append(self._bytes[:MAX_LINE])
            self._bytes = self._bytes[MAX_LINE:]
        return [line.decode("utf-8", "replace").removesuffix("\r") for line in complete]

    def _keys(self, data: bytes) -> list[str]:
        lines: list[str] = []
        for key in data.decode("utf-8", "replace"):
            if key in "\r\n" or len(self._line) >= MAX_LINE:
                lines.append(self._line)
                self._line = "" if key in "\r\n" else key
                self._escape = ""
            else:
                self._edit(key)
        return [line for line in lines if line]

    def _edit(self, key: str) -> None:
        if self._escape:
            self._escape += key
            introduced = self._escape in ("\x1b[", "\x1bO")
            if not introduced and (key.isalpha() or key == "~" or self._escape[1] not in "[O"):
                self._escape = ""
        elif key == _ESCAPE:
            self._escape = key
        elif key in "\x7f\b":
            self._line = self._line[:-1]
        elif key in "\x15\x03":
            self._line = ""
        elif key == "\x17":
            self._line = self._line.rstrip().rpartition(" ")[0]
        elif key >= " " or key == "\t":
            self._line += key
