from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.guardrails.command_line import read_command_line

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
    ],
)
def test_reading(argv: list[str], programs: tuple[str, ...], shell: bool, script: str) -> None:
    line = read_command_line(argv)
    assert line.programs == programs
    assert line.shell is shell
    assert line.script == (argv[-1] if script == LAST else script)
    assert line.program == (argv[0].rpartition("/")[2] if argv else "")


@given(st.lists(st.text(max_size=20), max_size=8))
def test_any_argv_has_a_reading(argv: list[str]) -> None:
    line = read_command_line(argv)
    assert all("/" not in program and program for program in line.programs)
