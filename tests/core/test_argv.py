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
        (["sh"], ("sh",), True, ""),
        (["python3", "-c", "1"], ("python3",), True, ""),
        (["sh", "-c", "cd / && A=1 tar c . | /bin/gzip; $(id)"], ("sh", "cd", "tar", "gzip", "id"), True, LAST),
        (["bash", "-lc", "'x' y"], ("bash", "x"), True, LAST),
        (["bash", "-l", "-c"], ("bash",), True, ""),
        (["env", "-i", "A=1", "timeout", "5", "sh"], ("env", "timeout", "sh"), True, ""),
        (["env"], ("env",), False, ""),
        (["env", "A=1"], ("env",), False, ""),
        (["busybox", "wget", "x"], ("busybox", "wget"), True, ""),
        (["busybox"], ("busybox",), True, ""),
        (["A=1", "ls"], ("ls",), False, ""),
        (["/", "x"], ("x",), False, ""),
        (["A=1"], (), False, ""),
        (["/bin/busybox", "sh", "-c", "ls"], ("busybox", "sh", "ls"), True, LAST),
        (["bash", "-x", "-ec", "ls", "name"], ("bash", "ls"), True, "ls"),
    ],
)
def test_reading(argv: list[str], programs: tuple[str, ...], shell: bool, script: str) -> None:
    line = read_command_line(argv)
    assert line.programs == programs
    assert line.shell is shell
    assert line.script == (argv[-1] if script == LAST else script)
    assert line.program == (argv[0].rpartition("/")[2] if argv else "")


@pytest.mark.parametrize(
    ("argv", "transfer"),
    [
        pytest.param(("tar", "cf", "-", "/etc"), "download", id="B-50 kubectl cp from a pod"),
        pytest.param(("tar", "xmf", "-", "-C", "/tmp"), "upload", id="kubectl cp to a pod"),
        pytest.param(("tar", "-xmf", "-"), "upload", id="kubectl cp to a pod, 1.37"),
        pytest.param(("tar", "-c", "-f", "-", "/etc"), "download", id="options apart"),
        pytest.param(("tar", "-f", "-", "-x"), "upload", id="options apart, in any order"),
        pytest.param(("tar", "-f", "-", "-c"), "download", id="create last"),
        pytest.param(("tar", "--create", "--file=-", "/etc"), "download", id="long option"),
        pytest.param(("tar", "--file=-", "--extract"), "upload", id="long option, extract"),
        pytest.param(("tar", "tf", "x"), "", id="listing moves nothing"),
        pytest.param(("tar",), "", id="tar alone"),
        pytest.param(("sh", "-c", "tar xf - -C /tmp"), "upload", id="B-50 in a shell"),
        pytest.param(("sh", "-c", "cat > /tmp/x"), "upload", id="B-50 cat into a file"),
        pytest.param(("sh", "-c", "cat >/tmp/x"), "upload", id="without a space"),
        pytest.param(("sh", "-c", "tee /tmp/x"), "upload", id="tee"),
        pytest.param(("sh", "-c", "cat /etc/passwd"), "download", id="cat of a file"),
        pytest.param(("cat", "/etc/passwd"), "download", id="cat without a shell"),
        pytest.param(("cat",), "", id="cat alone"),
        pytest.param(("base64", "/etc/passwd"), "download", id="B-50 base64"),
        pytest.param(("dd", "if=/dev/sda"), "download", id="B-50 dd out"),
        pytest.param(("dd", "of=/tmp/x"), "upload", id="B-50 dd in"),
        pytest.param(("ls", "-l"), "", id="no transfer"),
        pytest.param(("sh", "-c", "echo 'unbalanced"), "", id="unbalanced quotes"),
        pytest.param(("sh", "-c", "'tar' xf -"), "upload", id="quoted program"),
        pytest.param(("sh", "-c", "ls 2>&1"), "", id="joining streams writes no file"),
        pytest.param(("sh",), "", id="a shell alone"),
    ],
)
def test_transfer(argv: tuple[str, ...], transfer: str) -> None:
    assert read_command_line(argv).transfer == transfer


@given(st.lists(st.text() | st.sampled_from(["sh", "-c", "tar", "busybox", "'", ">"])))
def test_any_argv_is_read(argv: list[str]) -> None:
    line = read_command_line(argv)
    assert line.transfer in ("", "upload", "download")
    assert all("/" not in program and program for program in line.programs)
