"""What an argv starts, one row per fact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.argv import read_command_line

LAST = "the last argument"


@pytest.mark.parametrize(
    ("argv", "programs", "shell", "script"),
    [
        ([], (), False, ""),
        (["ls", "-l"], ("ls",), False, ""),
        (["/bin/cat", "/x"], ("cat",), False, ""),
        (["A=1", "ls"], ("ls",), False, ""),
        (["/", "x"], ("x",), False, ""),
        (["A=1"], (), False, ""),
        # shells and interpreters
        (["sh"], ("sh",), True, ""),
        (["python3", "-c", "1"], ("python3",), True, ""),
        (["sh", "-c", "cd / && A=1 tar c . | /bin/gzip; $(id)"], ("sh", "cd", "tar", "gzip", "id"), True, LAST),
        (["bash", "-lc", "'x' y"], ("bash", "x"), True, LAST),
        (["bash", "-l", "-c"], ("bash",), True, ""),
        (["bash", "-x", "-ec", "ls", "name"], ("bash", "ls"), True, "ls"),
        (["bash", "-c", "-e", "ls"], ("bash", "ls"), True, LAST),
        (["sh", "-c", "--", "ls"], ("sh", "ls"), True, LAST),
        (["bash", "-eo", "pipefail", "-c", "ls | wc"], ("bash", "ls", "wc"), True, LAST),
        (["bash", "--rcfile", "/x", "+O", "extglob", "-c", "ls"], ("bash", "ls"), True, LAST),
        (["fish", "--command", "ls"], ("fish", "ls"), True, LAST),
        (["sh", "script.sh", "-c", "ls"], ("sh",), True, ""),
        (["su", "-", "www", "-c", "id"], ("su", "id"), True, LAST),
        (["su", "www"], ("su",), True, ""),
        # one script is unwrapped, and none in it
        (["sh", "-c", "sh -c 'tar c'"], ("sh",), True, LAST),
        (
            ["sh", "-c", "if true; then ! tar c; fi; for f in a; do cat $f; done"],
            ("sh", "true", "tar", "cat"),
            True,
            LAST,
        ),
        (["sh", "-c", "exec env A=1 tar c"], ("sh", "exec", "env", "tar"), True, LAST),
        # wrappers, with the options that take a value
        (["env", "-i", "A=1", "timeout", "5", "sh"], ("env", "timeout", "sh"), True, ""),
        (["env", "X=1", "sh", "-c", "ls"], ("env", "sh", "ls"), True, LAST),
        (["env", "-u", "HOME", "sh"], ("env", "sh"), True, ""),
        (["env"], ("env",), False, ""),
        (["env", "A=1"], ("env",), False, ""),
        (["env", "-S", "bash -i"], ("env", "bash"), True, LAST),
        (["timeout", "-s", "KILL", "5", "sh", "-c", "ls"], ("timeout", "sh", "ls"), True, LAST),
        (["timeout", "--kill-after", "3", "--preserve-status", "5m", "sh"], ("timeout", "sh"), True, ""),
        (["nice", "-n", "10", "--", "ls"], ("nice", "ls"), False, ""),
        (["chroot", "--userspec=1:1", "/host", "bash"], ("chroot", "bash"), True, ""),
        (["nsenter", "-at", "1", "bash"], ("nsenter", "bash"), True, ""),
        (["nsenter", "-t1", "-m", "ls"], ("nsenter", "ls"), False, ""),
        (["flock", "/x", "ls"], ("flock", "ls"), False, ""),
        (["watch", "cd /; cat x"], ("watch", "cd", "cat"), False, LAST),
        (["find", "/", "-name", "x", "-exec", "cat", "{}", ";"], ("find", "cat"), False, ""),
        (["find", "/"], ("find",), False, ""),
        (["busybox", "wget", "x"], ("busybox", "wget"), True, ""),
        (["busybox"], ("busybox",), True, ""),
        (["/bin/busybox", "sh", "-c", "ls"], ("busybox", "sh", "ls"), True, LAST),
        (["busybox", "timeout", "5", "sh", "-c", "ls"], ("busybox", "timeout", "sh", "ls"), True, LAST),
        (["toybox", "tar", "c"], ("toybox", "tar"), False, ""),
    ],
)
def test_reading(argv: list[str], programs: tuple[str, ...], shell: bool, script: str) -> None:
    line = read_command_line(argv)
    assert line.programs == programs
    assert line.shell is shell
    assert line.script == (argv[-1] if script == LAST else script)
    assert line.program == (argv[0].rpartition("/")[2] if argv else "")


@pytest.mark.parametrize(
    ("argv", "transfers"),
    [
        pytest.param(("tar", "cf", "-", "/etc"), "out", id="B-50 kubectl cp from a pod"),
        pytest.param(("tar", "-xmf", "-", "-C", "/tmp"), "in", id="B-50 kubectl cp to a pod"),
        pytest.param(("sh", "-c", "tar xf - -C /tmp"), "in", id="B-50 in a shell"),
        pytest.param(("sh", "-c", "cd /srv && tar xf -"), "in", id="B-50 in a shell, after something else"),
        pytest.param(("sh", "-c", "cat > /tmp/x"), "in", id="B-50 cat into a file"),
        pytest.param(("sh", "-c", "cat>/tmp/x"), "in", id="without a space"),
        pytest.param(("sh", "-c", "base64 -d >> /tmp/x"), "in", id="B-50 base64 into a file"),
        pytest.param(("base64", "/etc/passwd"), "out", id="B-50 base64"),
        pytest.param(("sh", "-c", "base64 < /etc/passwd"), "out", id="B-50 base64 of its input"),
        pytest.param(("dd", "if=/dev/sda"), "out", id="B-50 dd out"),
        pytest.param(("dd", "of=/tmp/x"), "in", id="B-50 dd in"),
        pytest.param(("env", "A=1", "timeout", "5", "tar", "c", "/etc"), "out", id="behind wrappers"),
        pytest.param(("busybox", "tar", "x"), "in", id="an applet"),
        pytest.param(("find", "/etc", "-exec", "cat", "{}", ";"), "out", id="each of those found"),
        pytest.param(("sh", "-c", "ls | xargs -n1 cat"), "out", id="each of those listed"),
        pytest.param(("sh", "-c", "'tar' xf -"), "in", id="a quoted program"),
        pytest.param(("sh", "-c", "cat /a; tar x"), "in out", id="both"),
        pytest.param(("sh", "-c", 'echo "cat /a; tar x"'), "", id="text is no command"),
        pytest.param(("sh", "-c", 'echo "$(cat /a)"'), "out", id="unless it is one"),
        pytest.param(("sh", "-c", "ls 2>&1 >/dev/null"), "", id="joining streams writes no file"),
        pytest.param(("sh", "-c", "echo 'unbalanced"), "", id="unbalanced quotes"),
        pytest.param(("ls", "-l"), "", id="no transfer"),
        pytest.param(("sh",), "", id="a shell alone"),
    ],
)
def test_transfers(argv: tuple[str, ...], transfers: str) -> None:
    assert " ".join(read_command_line(argv).transfers) == transfers


WORDS = st.sampled_from(["sh", "-c", "tar", "busybox", "env", "find", "-exec", "xargs", "--", "A=1", "for", "'", "> x"])


@given(st.lists(st.text() | WORDS))
def test_any_argv_is_read(argv: list[str]) -> None:
    line = read_command_line(argv)
    assert set(line.transfers) <= {"in", "out"}
    assert all("/" not in program and program for program in line.programs)


def test_a_long_argv_is_read_at_once() -> None:
    assert read_command_line(["env"] * 20_000 + ["sh"]).programs == ("env", "sh")
