"""A forked command is the command: arguments, environment, folder, files, status and end are its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.devenv import processes
from scripts.devenv.places import REPOSITORY
from tests.support import forkserver
from tests.support.forkserver import CHAPERONE

PLAIN = {"PATH": "", "PYTHONPATH": str(REPOSITORY), "HOME": "/nonexistent"}


def started(argv: list[str], stdin: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """By Python, as users start it."""
    return subprocess.run(
        argv, input=stdin, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=forkserver.SECONDS
    )


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["--help"], ""),
        (["approvals", "--help"], ""),
        (["approvals", "list"], ""),  # no mitm.conf in that folder
        (["explain", "--batch"], "not json"),
    ],
    ids=["help", "help of a noun", "a mistake", "standard input"],
)
def test_it_says_what_a_started_one_says(arguments: list[str], stdin: str, tmp_path: Path) -> None:
    argv = [*CHAPERONE, *arguments]
    forked = forkserver.run(argv, stdin=stdin, cwd=tmp_path, env=PLAIN)
    other = started(argv, stdin, tmp_path, PLAIN)
    assert forked.stdout + forked.stderr
    assert (forked.returncode, forked.stdout, forked.stderr) == (other.returncode, other.stdout, other.stderr)


def test_what_is_read_before_our_first_line_is_not_forked(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('customised', flush=True)")
    env = {**PLAIN, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    assert forkserver.run([*CHAPERONE, "--version"], env=env).stdout.startswith("customised\n")
    assert forkserver.run([sys.executable, "-c", "print(1)"]).stdout == "1\n"


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    """An agent that asks, by a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "mitm.conf")
    with pytest.raises(subprocess.TimeoutExpired):
        forkserver.run([*CHAPERONE, "approvals", "list"], cwd=tmp_path, env=PLAIN, timeout=1)
    deadline = time.monotonic() + 10
    while _waiting_at(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _waiting_at(tmp_path)


def _waiting_at(folder: Path) -> bool:
    """Whether any process works in that folder."""
    found = [path for path in Path("/proc").glob("[0-9]*/cwd") if os.access(path.parent, os.R_OK)]
    return any(_folder(path) == folder for path in found)


def _folder(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None


OWNER = f"""
import sys, time
from pathlib import Path
from tests.support import forkserver
child = forkserver.spawn("waiting", [*forkserver.CHAPERONE, "approvals", "list"], Path("log"), {PLAIN!r})
print(child.pid, child.started, flush=True)
time.sleep(600)
"""


def test_it_ends_with_who_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mitm.conf")
    env = {**os.environ, **PLAIN}
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=tmp_path, env=env, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        found = re.fullmatch(rb"(\d+) (\d+)\n", owner.stdout.readline())
        assert found
        pid, began = int(found[1]), found[2].decode()
        assert processes.start_time(pid) == began
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while processes.start_time(pid) == began and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.start_time(pid) != began
