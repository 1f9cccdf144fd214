"""What an exec's argv would start, read without running it: the programs, a shell's script, file transfers.

For records, people and rules about plain uses. Not a boundary: a shell can hide anything, so exec itself needs an
approval. One script is unwrapped (`sh -c`, `bash -lc`, behind `env`, `timeout`, `busybox` and their kind too), and no
script within it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from addons.core.file_transfer import Direction, directions
from addons.core.shell_words import SUBSTITUTED, simple_commands

SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "busybox", "su"})
INTERPRETERS = frozenset({"python", "python2", "python3", "perl", "ruby", "node", "php", "lua"})

_WRAPPERS_TABLE = """
busybox 0
toybox 0
env 0 -u --unset -C --chdir
nice 0 -n --adjustment
nohup 0
setsid 0
stdbuf 0 -i -o -e --input --output --error
time 0 -f -o --format --output
timeout 1 -k -s --kill-after --signal
xargs 0 -a -d -E -I -L -n -P -s --arg-file --delimiter --max-args --max-chars --max-lines --max-procs --replace
sudo 0 -u -g -h -p -r -t -C -D -R -T -U --user --group --host --prompt --chdir --chroot --role --type
doas 0 -u -C
exec 0 -a
command 0
builtin 0
eval 0
chroot 1
nsenter 0 -t -S -G --target --setuid --setgid
unshare 0 -S -G -R -w --setuid --setgid --root --wd
flock 1 -w -E --timeout --conflict-exit-code
ionice 0 -c -n -p --class --classdata --pid
taskset 1
gosu 1
su-exec 1
tini 0 -p -e
dumb-init 0 -r --rewrite
strace 0 -a -b -e -E -I -o -O -p -P -s -S -u -U -X
watch 0 -n --interval
"""
"""Programs that start another one: how many operands stand before it, and which options take the next word."""
_WRAPPERS = {
    name: (int(operands), frozenset(valued))
    for name, operands, *valued in map(str.split, _WRAPPERS_TABLE.strip().splitlines())
}

_KEYWORDS = frozenset("! { } if then elif else fi do done while until esac".split())
_NAMING = frozenset("for case select function".split())
"""Keywords that are followed by a name and not by a command."""
_FIND_ACTIONS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_BLANK = re.compile(r"\s")
_COMMAND_OPTION = re.compile(r"-[a-zA-Z]*c[a-zA-Z]*|--command")
_VALUE_OPTION = re.compile(r"[-+][a-zA-Z]*[oO]|--rcfile|--init-file")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """`program` and `programs` are file names without folder."""

    program: str = ""
    programs: tuple[str, ...] = ()
    shell: bool = False
    """A shell or an interpreter is among the programs: what it will do cannot be read from argv."""
    script: str = ""
    """The text given to a shell with `-c`, or to `eval`, `watch` or `env -S`."""
    transfers: tuple[Direction, ...] = ()
    """Which ways plain commands move files: see `file_transfer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Started:
    program: str = ""
    arguments: Sequence[str] = ()
    script: str = ""


def read_command_line(argv: Sequence[str]) -> CommandLine:
    """The reading of one argv; empty for an empty one (attach, port-forward). Never raises."""
    started = list(_started(argv))
    script = next((each.script for each in started if each.script), "")
    commands = simple_commands(script)
    for command in commands:
        started += _started((*command.words, *command.reads))
    programs = tuple(dict.fromkeys(each.program for each in started if each.program))
    written = any(command.writes for command in commands)
    return CommandLine(
        program=_name(argv[0]) if argv else "",
        programs=programs,
        shell=not (SHELLS | INTERPRETERS).isdisjoint(programs),
        script=script,
        transfers=_transfers(started, written),
    )


def _transfers(started: Iterable[_Started], written: bool) -> tuple[Direction, ...]:
    found: set[Direction] = {"in"} if written else set()
    return tuple(sorted(found.union(*(directions(each.program, each.arguments) for each in started))))


def _started(words: Sequence[str]) -> Iterator[_Started]:
    """The program that a simple command starts, and behind wrappers (`env A=1 timeout 5 sh`) those too."""
    index = _command(words, 0)
    while index < len(words):
        if _BLANK.search(words[index]):
            yield _Started(script=words[index])
            return
        name = _name(words[index])
        if name not in _WRAPPERS and name != "find":
            arguments = words[index + 1 :]
            yield _Started(program=name, arguments=arguments, script=_script(name, arguments))
            return
        yield _Started(program=name)
        if name == "xargs":
            words = (*words, SUBSTITUTED)
        index = _command(
            words, _found(words, index) if name == "find" else _wrapped(words, index + 1, *_WRAPPERS[name])
        )


def _command(words: Sequence[str], index: int) -> int:
    """Where the command begins: after keywords, assignments and what cannot be known. The end where none does."""
    while index < len(words) and words[index] not in _NAMING:
        word = words[index]
        if _name(word) and word not in _KEYWORDS and word != SUBSTITUTED and not _ASSIGNMENT.match(word):
            return index
        index += 1
    return len(words)


def _wrapped(words: Sequence[str], index: int, operands: int, valued: frozenset[str]) -> int:
    """Where the wrapped command begins: after the wrapper's options with their values, assignments and operands."""
    while index < len(words):
        word = words[index]
        if word == "--":
            return index + 1 + operands
        if word.startswith("-"):
            index += 2 if word in valued or (word[1:2] != "-" and f"-{word[-1]}" in valued) else 1
        elif _ASSIGNMENT.match(word):
            index += 1
        elif operands:
            index, operands = index + 1, operands - 1
        else:
            break
    return index


def _found(words: Sequence[str], index: int) -> int:
    return next((at + 1 for at in range(index, len(words)) if words[at] in _FIND_ACTIONS), len(words))


def _script(shell: str, arguments: Sequence[str]) -> str:
    """The first word after the options if `-c` is among them. `su` takes its options anywhere."""
    wanted = False
    rest = iter(arguments if shell in SHELLS else ())
    for word in rest:
        wanted = wanted or _COMMAND_OPTION.fullmatch(word) is not None
        if wanted and shell == "su":
            return next(rest, "")
        if _VALUE_OPTION.fullmatch(word):
            next(rest, "")
        elif not word.startswith(("-", "+")) and shell != "su":
            return word if wanted else ""
    return ""


def _name(word: str) -> str:
    return word.rpartition("/")[2]
