"""A shell script as the simple commands in it: words without their quotes, and the files that output goes to.

For reading plain scripts, not for running them: nothing is expanded, keywords and functions are words like any others,
and the text of a here-document is read as commands, which shows too much rather than too little. What stands in
`$(…)`, in backticks and in `(…)` is a command of its own, inside double quotes too.
Source: POSIX.1-2024, Shell Command Language, 2.2 Quoting, 2.3 Token Recognition and 2.7 Redirection; bash for `&>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SUBSTITUTED = "$()"
"""Stands in a word for the output of a command, which cannot be known."""

_UNQUOTED = re.compile(
    r"""(?P<blank>[ \t]+)
      | (?P<joined>\\\n)
      | (?P<opened>[$<>]?\()
      | (?P<redirection>[0-9]*(?:&>>?|>[>|&]?|<>|<<<|<<-?|<&?))
      | (?P<closed>\))
      | (?P<backtick>`)
      | (?P<ended>[;&|\n])
      | (?P<quote>\$?")
      | (?P<text>\$?'[^']*'|\\.|\$\{[^}]*\}|[^\s;&|()`<>\\'"$]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(
    r"""(?P<quote>") | (?P<joined>\\\n) | (?P<opened>\$\() | (?P<backtick>`) | (?P<text>\\.|[^"\\`$]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_WRITING = frozenset({">", ">>", ">|", ">&", "&>", "&>>", "<>"})
_STREAM = re.compile(r"[0-9]+-?|-")
_NO_FILES = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"})


@dataclass(frozen=True, slots=True)
class SimpleCommand:
    """`words` with quotes removed; the files that redirections read, and those that they create or change."""

    words: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


def simple_commands(script: str) -> tuple[SimpleCommand, ...]:
    """The simple commands of a script, what is substituted into one before it. Never raises; linear in its length."""
    reader = _Reader()
    position = 0
    while position < len(script):
        position = reader.take(script, position)
    return reader.finish()


@dataclass(slots=True)
class _Partial:
    """A command as far as it has been read; `closer` ends it and what surrounds it goes on."""

    closer: str = ""
    words: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    word: str | None = None
    redirection: str = ""
    quoted: bool = False


class _Reader:
    def __init__(self) -> None:
        self._commands: list[SimpleCommand] = []
        self._now = _Partial()
        self._outer: list[_Partial] = []

    def take(self, script: str, position: int) -> int:
        """Read one token; the position after it."""
        now = self._now
        if script[position] == "#" and now.word is None and not now.quoted:
            end = script.find("\n", position)
            return len(script) if end < 0 else end
        match = (_QUOTED if now.quoted else _UNQUOTED).match(script, position)
        assert match is not None and match.lastgroup is not None  # any character is text
        getattr(self, f"_{match.lastgroup}")(match[0])
        return match.end()

    def finish(self) -> tuple[SimpleCommand, ...]:
        """All commands; one that was cut off is what there is of it."""
        while self._outer:
            self._leave()
        self._ended("")
        return tuple(self._commands)

    def _text(self, token: str) -> None:
        self._now.word = (self._now.word or "") + _unquoted(token, self._now.quoted)

    def _joined(self, _token: str) -> None:
        """A line that goes on in the next one."""

    def _quote(self, _token: str) -> None:
        self._now.word = self._now.word or ""
        self._now.quoted = not self._now.quoted

    def _redirection(self, token: str) -> None:
        self._blank("")
        self._now.redirection = token.lstrip("0123456789")

    def _opened(self, token: str) -> None:
        if token == "(":
            self._ended("")
        else:
            self._now.word = (self._now.word or "") + SUBSTITUTED
        self._enter(")")

    def _closed(self, _token: str) -> None:
        if self._now.closer == ")":
            self._leave()
        else:
            self._ended("")

    def _backtick(self, token: str) -> None:
        if self._now.closer == token:
            self._leave()
        else:
            self._now.word = (self._now.word or "") + SUBSTITUTED
            self._enter(token)

    def _ended(self, _token: str) -> None:
        self._blank("")
        now = self._now
        if now.words or now.reads or now.writes:
            self._commands.append(SimpleCommand(tuple(now.words), tuple(now.reads), tuple(now.writes)))
        self._now = _Partial(now.closer)

    def _blank(self, _token: str) -> None:
        """The word ends here: it is the file of a redirection, or one more word."""
        now = self._now
        word, now.word = now.word, None
        if word is None:
            return
        redirection, now.redirection = now.redirection, ""
        if not redirection:
            now.words.append(word)
        elif redirection == "<":
            now.reads.append(word)
        elif redirection in _WRITING and word not in _NO_FILES and not _is_stream(redirection, word):
            now.writes.append(word)

    def _enter(self, closer: str) -> None:
        self._outer.append(self._now)
        self._now = _Partial(closer)

    def _leave(self) -> None:
        self._ended("")
        self._now = self._outer.pop()


def _unquoted(token: str, quoted: bool) -> str:
    """What a piece of a word says. A quote that nothing closes is a character like any other."""
    if len(token) == 2 and token[0] == "\\":
        return token if quoted and token[1] not in '$`"\\' else token[1:]
    if not quoted and len(token) > 1 and token.endswith("'"):
        return token.partition("'")[2][:-1]
    return token


def _is_stream(redirection: str, word: str) -> bool:
    return redirection == ">&" and _STREAM.fullmatch(word) is not None
