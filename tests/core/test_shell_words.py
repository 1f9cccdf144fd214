"""Scripts and the simple commands in them, one row per fact; a real shell has the last word on what a word is."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from addons.core.shell_words import SimpleCommand, simple_commands


def words(script: str) -> list[list[str]]:
    return [list(command.words) for command in simple_commands(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" \t\n ;", []),
        ("ls -l /tmp", [["ls", "-l", "/tmp"]]),
        ("a; b & c && d || e | f |& g\nh", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"], ["h"]]),
        # quotes
        ("echo 'a; b' \"c | d\"", [["echo", "a; b", "c | d"]]),
        ("t'a'r \"c\"f", [["tar", "cf"]]),
        (r"t\ar a\ b", [["tar", "a b"]]),
        (r'echo "\$x \"y\" \z"', [["echo", r'$x "y" \z']]),
        ("echo '' \"\"", [["echo", "", ""]]),
        ("$'tar' $\"cf\" $HOME ${A:-x;y} $", [["tar", "cf", "$HOME", "${A:-x;y}", "$"]]),
        ("ls \\\n -l", [["ls", "-l"]]),
        ("echo it's; ls", [["echo", "it's"], ["ls"]]),
        ('echo "a', [["echo", "a"]]),
        ("echo \\", [["echo", "\\"]]),
        # comments
        ("# tar cf\nls # it's\ncat x", [["ls"], ["cat", "x"]]),
        ("a#b ''#c", [["a#b", "#c"]]),
        ('echo "# a"', [["echo", "# a"]]),
        # commands within commands
        ("echo $(id -u) x; ls", [["id", "-u"], ["echo", "$()", "x"], ["ls"]]),
        ('echo "a $(cat "$f") b" c', [["cat", "$f"], ["echo", "a $() b", "c"]]),
        ('echo `id` "`ls`"', [["id"], ["ls"], ["echo", "$()", "$()"]]),
        ("(cd /; tar c); ls", [["cd", "/"], ["tar", "c"], ["ls"]]),
        ("echo $((1 + 2)) x", [["1", "+", "2"], ["echo", "$()", "x"]]),
        ("cat <(ls) x >(wc)", [["ls"], ["wc"], ["cat", "$()", "x", "$()"]]),
        ("case a in a) ls;; esac", [["case", "a", "in", "a"], ["ls"], ["esac"]]),
        ("echo `a) b`", [["a"], ["b"], ["echo", "$()"]]),
        ("echo $(a", [["a"], ["echo", "$()"]]),
        ("f() { tar c; }", [["f"], ["{", "tar", "c"], ["}"]]),
        # a here-document is read too
        ("cat <<EOF\nenv\nEOF", [["cat"], ["env"], ["EOF"]]),
        ("cat <<-'E' <<<x", [["cat"]]),
    ],
)
def test_words(script: str, expected: list[list[str]]) -> None:
    assert words(script) == expected


@pytest.mark.parametrize(
    ("script", "reads", "writes"),
    [
        ("cat > a >>b 3>| c", (), ("a", "b", "c")),
        ("cat>a", (), ("a",)),
        ("cat &>a &>>b >&c", (), ("a", "b", "c")),
        ("cat 2>&1 >&- <&3 >&2- >/dev/null 2> /dev/stderr", (), ()),
        ("cat < a <>b", ("a",), ("b",)),
        ("> a", (), ("a",)),
        ("cat >", (), ()),
        ("echo '> a' \\> b", (), ()),
        ("(ls) > a", (), ("a",)),
        ("tee a 2>b <c", ("c",), ("b",)),
    ],
)
def test_redirections(script: str, reads: tuple[str, ...], writes: tuple[str, ...]) -> None:
    command = simple_commands(script)[-1]
    assert (command.reads, command.writes) == (reads, writes)
    assert ">" not in command.words or "echo" in command.words


LITERALS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@given(st.lists(LITERALS, min_size=1))
def test_what_is_quoted_is_one_word(literals: list[str]) -> None:
    assert words(shlex.join(literals)) == [literals]


@given(st.text())
def test_any_script_is_read(script: str) -> None:
    assert all(isinstance(command, SimpleCommand) for command in simple_commands(script))


PIECES = st.sampled_from(
    [*"ab'\"\\ ;#\n", "|a", " x", "''", '""', "\\'", '"a b"', "'a;b'", " #c\n", "x#y", '"\\$\\q"', "\\\n"]
)
TELL = r"""
command_not_found_handle() {
  local told
  printf -v told '%s\037' "$@"
  printf '%s\036' "${told//$'\n'/$'\035'}" >&3  # one write: of a pipe, both ends tell at the same time
}
PATH=/nonexistent
exec 3>&1 >/dev/null 2>&1
"""


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_a_shell_reads_the_same_words(script: str) -> None:
    """bash tells the words of each command that it does not find, and finds none."""
    unfinished = script.endswith("\\") or subprocess.run(["bash", "-n", "-c", script], capture_output=True).stderr
    assume(not unfinished)
    told = subprocess.run(["bash", "-c", TELL + script], capture_output=True, text=True).stdout
    commands = told.replace("\x1d", "\n").split("\x1e")[:-1]
    assert sorted(words(script)) == sorted(command.split("\x1f")[:-1] for command in commands)
