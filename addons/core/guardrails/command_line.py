"""What an exec's argv would start, read without running it: the program, a shell's script, the programs in that.

A help for rules about obvious uses, not a boundary: a shell can hide anything, so exec itself needs an approval.
Only one level of `sh -c` is unwrapped, and words are split at white space and shell operators, quotes removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh", "csh", "tcsh", "fish", "busybox"})
INTERPRETERS = frozenset({"python", "python2", "python3", "perl", "ruby", "node", "php", "lua"})
WRAPPERS = frozenset(
    {"env", "nice", "nohup", "sudo", "setsid", "stdbuf", "time", "timeout", "xargs", "exec", "command"}
)
_OPERATORS = re.compile(r"[;&|\n(){}`]+|\$\(")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """`program` and `programs` are file names without folder; `script` is the text given to a shell with `-c`."""

    program: str = ""
    programs: tuple[str, ...] = ()
    shell: bool = False
    """A shell or an interpreter is among the programs: what it will do cannot be read from argv."""
    script: str = ""


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """The reading of one argv; empty for an empty one (attach, port-forward)."""
    if not argv:
        return CommandLine()
    started = list(_started(argv))
    script = _script(argv) if not SHELLS.isdisjoint(started) else ""
    for part in _OPERATORS.split(script):
        started.extend(_started([word.strip("'\"") for word in part.split()]))
    return CommandLine(
        program=_name(argv[0]),
        programs=tuple(dict.fromkeys(started)),
        shell=not (SHELLS | INTERPRETERS).isdisjoint(started),
        script=script,
    )


def _started(words: Sequence[str]) -> Iterator[str]:
    """The program a simple command starts, and behind wrappers (`env A=1 timeout 5 sh`) those too."""
    rest = iter(words)
    for word in rest:
        if _ASSIGNMENT.match(word):
            continue
        name = _name(word)
        if not name:
            continue
        yield name
        if name == "busybox":
            yield from (_name(applet) for applet in [next(rest, "")] if applet)
            return
        if name not in WRAPPERS:
            return
        yield from _wrapped(list(rest))
        return


def _wrapped(words: Sequence[str]) -> Iterator[str]:
    """After a wrapper: skip its options and plain numbers (`timeout -s KILL 5`), then what it starts."""
    for index, word in enumerate(words):
        if word.startswith("-") or word[:1].isdigit() or _ASSIGNMENT.match(word):
            continue
        yield from _started(words[index:])
        return


def _script(argv: Sequence[str]) -> str:
    """The operand of the first option cluster with a `c` in it (`-c`, `-lc`, `-xec`)."""
    for index, word in enumerate(argv[:-1]):
        if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", word):
            return argv[index + 1]
    return ""


def _name(word: str) -> str:
    return word.rpartition("/")[2]
