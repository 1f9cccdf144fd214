"""What an argv starts, one row per fact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.argv import program_of


@pytest.mark.parametrize(
    ("argv", "argv0", "shell_command"),
    [
        ((), "", None),
        (("ls", "-l"), "ls", None),
        (("/usr/bin/env",), "env", None),
        (("sh",), "sh", ""),
        (("sh", "-c", "ls /"), "sh", "ls /"),
        (("/bin/bash", "-lc", "ls"), "bash", "ls"),
        (("bash", "-x", "-ec", "ls", "name"), "bash", "ls"),
        (("bash", "script.sh"), "bash", ""),
        (("sh", "-c"), "sh", ""),
        (("busybox",), "busybox", ""),
        (("busybox", "ls"), "ls", None),
        (("/bin/busybox", "sh", "-c", "ls"), "sh", "ls"),
        (("python3", "-c", "1"), "python3", None),
    ],
)
def test_program(argv: tuple[str, ...], argv0: str, shell_command: str | None) -> None:
    program = program_of(argv)
    assert (program.argv0, program.is_shell) == (argv0, shell_command is not None)
    assert program.shell_command == (shell_command or "")


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
    assert program_of(argv).transfer == transfer


@given(st.lists(st.text() | st.sampled_from(["sh", "-c", "tar", "busybox", "'", ">"])))
def test_any_argv_is_read(argv: list[str]) -> None:
    assert program_of(argv).transfer in ("", "upload", "download")
