"""Which way a plain command moves a file: into the container it runs in, out of it, or neither.

In: what the command is sent, or fetches, ends up in a file there. Out: what is in a file there is printed, or sent on.
`kubectl cp` is `tar` at the other end of an exec; `rsync` and `scp` over `kubectl exec` start their far ends there, as
do the ZMODEM tools. Sources: `cp.go` in k8s.io/kubectl/pkg/cmd/cp; rsync(1) `--server`; OpenSSH's scp.c, `-f` and `-t`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

Direction = Literal["in", "out"]
Directions = frozenset[Direction]

NEITHER: Directions = frozenset()
IN: Directions = frozenset({"in"})
OUT: Directions = frozenset({"out"})
BOTH = IN | OUT

_PRINTING = frozenset(
    "cat tac head tail nl more less base64 base32 xxd od hexdump strings uuencode zcat bzcat xzcat zstdcat".split()
)
_COMPRESSING = frozenset("gzip bzip2 xz zstd".split())
_COPYING = frozenset("cp mv install".split())
_REMOTE = re.compile(r"(\[[^\]]+\]|[^/:]+):.*", re.DOTALL)
_STANDARD_INPUT = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_STANDARD_OUTPUT = frozenset({"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def directions(program: str, arguments: Sequence[str]) -> Directions:
    """Where a simple command moves files, as its arguments say. `program` is a file name without folder."""
    if program in _PRINTING:
        return OUT if _operands(arguments) else NEITHER
    if program in _COMPRESSING:
        return OUT if _has(arguments, "c", "--stdout", "--to-stdout") and _operands(arguments) else NEITHER
    if program in _COPYING:
        return _copied(arguments)
    known = _PROGRAMS.get(program)
    return known(arguments) if known else NEITHER


def _tar(arguments: Sequence[str]) -> Directions:
    """The first argument may be a cluster of options without a dash."""
    bundled = arguments[0] if arguments and re.fullmatch("[a-zA-Z]+", arguments[0]) else ""
    if "x" in bundled or _has(arguments, "x", "--extract", "--get"):
        return IN
    if set(bundled) & set("cru") or _has(arguments, "cru", "--create", "--append", "--update"):
        return OUT
    return NEITHER


def _cpio(arguments: Sequence[str]) -> Directions:
    if _has(arguments, "i", "--extract"):
        return IN
    return OUT if _has(arguments, "o", "--create") else NEITHER


def _dd(arguments: Sequence[str]) -> Directions:
    if any(argument.startswith("of=") for argument in arguments):
        return IN
    return OUT if any(argument.startswith("if=") for argument in arguments) else NEITHER


def _tee(arguments: Sequence[str]) -> Directions:
    return IN if _operands(arguments) else NEITHER


def _copied(arguments: Sequence[str]) -> Directions:
    """Only from or to the command's own streams: everything else stays inside."""
    operands = _operands(arguments)
    found = IN if not _STANDARD_INPUT.isdisjoint(operands[:-1]) else NEITHER
    return found | (OUT if not _STANDARD_OUTPUT.isdisjoint(operands[-1:]) else NEITHER)


def _scp(arguments: Sequence[str]) -> Directions:
    if "-t" in arguments:
        return IN
    return OUT if "-f" in arguments else _between_hosts(arguments)


def _rsync(arguments: Sequence[str]) -> Directions:
    if "--server" in arguments:
        return OUT if "--sender" in arguments else IN
    return _between_hosts(arguments)


def _between_hosts(arguments: Sequence[str]) -> Directions:
    operands = _operands(arguments)
    to, sources = operands[-1:], operands[:-1]
    found = IN if any(map(_REMOTE.fullmatch, sources)) else NEITHER
    return found | (OUT if any(map(_REMOTE.fullmatch, to)) else NEITHER)


def _curl(arguments: Sequence[str]) -> Directions:
    sent = _has(arguments, "TF", "--upload-file", "--form") or any(
        argument.startswith("@") or "=@" in argument for argument in arguments
    )
    kept = "/dev/null" not in arguments and _has(arguments, "oO", "--output", "--remote-name", "--remote-name-all")
    return (OUT if sent else NEITHER) | (IN if kept else NEITHER)


def _wget(arguments: Sequence[str]) -> Directions:
    return BOTH if _has(arguments, "", "--post-file", "--body-file") else IN


def _operands(arguments: Sequence[str]) -> list[str]:
    """What is no option. The value of an option is taken for one, which shows too much rather than too little."""
    return [argument for argument in arguments if argument and not argument.startswith("-")]


def _has(arguments: Sequence[str], letters: str, *words: str) -> bool:
    """True if one of these options is there: a letter in a cluster, or a word, with or without a value."""
    return any(
        argument.partition("=")[0] in words
        if argument.startswith("--")
        else argument.startswith("-") and not set(argument[1:]).isdisjoint(letters)
        for argument in arguments
    )


_PROGRAMS: Mapping[str, Callable[[Sequence[str]], Directions]] = {
    **dict.fromkeys(("tar", "bsdtar", "gtar"), _tar),
    "cpio": _cpio,
    "dd": _dd,
    "tee": _tee,
    "scp": _scp,
    "rsync": _rsync,
    "curl": _curl,
    "wget": _wget,
    **dict.fromkeys(("sftp", "sftp-server", "ftp", "lftp"), lambda _: BOTH),
    **dict.fromkeys(("sz", "sx", "sb"), lambda _: OUT),
    **dict.fromkeys(("rz", "rx", "rb"), lambda _: IN),
}
