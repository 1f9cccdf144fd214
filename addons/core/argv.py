"""What an exec's argv starts, read without running it: the program, a shell's own command, and file transfers.

For records and for people, and a help for rules about plain uses. Not a boundary: a shell can hide anything.
One level of `sh -c` is unwrapped. `kubectl cp` runs `tar cf - PATH` to download and `tar -xmf - -C DIR` to upload.
Source: k8s.io/kubectl/pkg/cmd/cp/cp.go.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Transfer = Literal["", "upload", "download"]

SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox"})
_COMMAND_OPTION = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*")
_TAR_MODE = re.compile(r"-?[a-zA-Z]+")
_REDIRECTION = re.compile(r"(?:[0-9]*>>?|>\|)(?!&)")
_DOWNLOADS = frozenset({"cat", "base64", "xxd", "od", "hexdump", "gzip", "zcat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`argv0` is the program's file name without folder; `shell_command` is the text a shell was given with `-c`."""

    argv0: str = ""
    is_shell: bool = False
    shell_command: str = ""
    transfer: Transfer = ""


def program_of(argv: Sequence[str]) -> Program:
    """The reading of one argv; empty for an empty one (attach, port-forward). Never raises."""
    if not argv:
        return Program()
    words = list(argv)
    if _name(words[0]) == "busybox" and len(words) > 1:
        words = words[1:]
    argv0 = _name(words[0])
    if argv0 not in SHELLS:
        return Program(argv0=argv0, transfer=_transfer(words))
    command = _shell_command(words)
    return Program(argv0=argv0, is_shell=True, shell_command=command, transfer=_transfer(_split(command)))


def _shell_command(words: Sequence[str]) -> str:
    """The operand of the first option cluster with a `c` in it: `-c`, `-lc`, `-xec`."""
    for index, word in enumerate(words[1:-1], start=1):
        if _COMMAND_OPTION.fullmatch(word):
            return words[index + 1]
    return ""


def _split(command: str) -> list[str]:
    """The words of a shell's command, roughly: split at white space, quotes around a word removed."""
    return [word.strip("'\"") for word in command.split()]


def _transfer(words: Sequence[str]) -> Transfer:
    """Which way a simple command moves a file, "" when it plainly does not."""
    if not words:
        return ""
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
