"""What an exec's argv would start, read without running it: the programs, a shell's script, file transfers.

For records, people and rules about plain uses. Not a boundary: a shell can hide anything, so exec itself needs an
approval. One level of `sh -c` is unwrapped; words are split at white space and shell operators, quotes removed.
`kubectl cp` runs `tar cf - PATH` to download and `tar -xmf - -C DIR` to upload (k8s.io/kubectl/pkg/cmd/cp/cp.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Transfer = Literal["", "upload", "download"]

SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox"})
INTERPRETERS = frozenset({"python", "python2", "python3", "perl", "ruby", "node", "php", "lua"})
WRAPPERS = frozenset(
    {"env", "nice", "nohup", "sudo", "setsid", "stdbuf", "time", "timeout", "xargs", "exec", "command"}
)
_OPERATORS = re.compile(r"[;&|\n(){}`]+|\$\(")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_COMMAND_OPTION = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")
_TAR_MODE = re.compile(r"-?[a-zA-Z]+")
_REDIRECTION = re.compile(r"(?:[0-9]*>>?|>\|)(?!&)")
_DOWNLOADS = frozenset({"cat", "base64", "xxd", "od", "hexdump", "gzip", "zcat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """`program` and `programs` are file names without folder; `script` is the text given to a shell with `-c`."""

    program: str = ""
    programs: tuple[str, ...] = ()
    shell: bool = False
    """A shell or an interpreter is among the programs: what it will do cannot be read from argv."""
    script: str = ""
    transfer: Transfer = ""
    """Which way a plain command moves a file: `cp`, `cat > file`, `dd`; empty when it does not."""


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """The reading of one argv; empty for an empty one (attach, port-forward). Never raises."""
    if not argv:
        return CommandLine()
    started = list(_started(argv))
    script = "" if SHELLS.isdisjoint(started) else _script(argv)
    for part in _OPERATORS.split(script):
        started.extend(_started(_words(part)))
    return CommandLine(
        program=_name(argv[0]),
        programs=tuple(dict.fromkeys(started)),
        shell=not (SHELLS | INTERPRETERS).isdisjoint(started),
        script=script,
        transfer=_transfer(_words(script) or argv),
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
    """The operand of the first option cluster with a `c` in it: `-c`, `-lc`, `-xec`."""
    for index, word in enumerate(argv[:-1]):
        if _COMMAND_OPTION.fullmatch(word):
            return argv[index + 1]
    return ""


def _words(command: str) -> list[str]:
    return [word.strip("'\"") for word in command.split()]


def _transfer(words: Sequence[str]) -> Transfer:
    """Which way a simple command moves a file, "" when it plainly does not."""
    name = _name(words[0])
    if name == "tar":
        return _tar_transfer(words[1:])
    if name == "dd":
        return "upload" if any(word.startswith("of=") for word in words) else "download"
    if any(_REDIRECTION.match(word) for word in words[1:]) or name == "tee":
        return "upload"
    return "download" if name in _DOWNLOADS and len(words) > 1 else ""


def _tar_transfer(options: Sequence[str]) -> Transfer:
    modes = options[0] if options and _TAR_MODE.fullmatch(options[0]) else ""
    long = {option for option in options if option.startswith("--")}
    if "x" in modes or long & {"--extract", "--get"} or "-x" in options:
        return "upload"
    if "c" in modes or "--create" in long or "-c" in options:
        return "download"
    return ""


def _name(word: str) -> str:
    return word.rpartition("/")[2]
