"""A process that crashes leaves nothing of its memory, even where the system would keep it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.devenv.places import REPOSITORY

SECRET = "hunter2-in-memory"
FORBID = "from addons.edge.no_dumps import forbid_dumps; forbid_dumps()"
CRASH = f"import os; {{}}; secret = {SECRET!r} * 2; os.abort()"


def dumped(script: str, folder: Path) -> bool:
    """Whether the kernel says that it dumped a process that crashed in `folder`, however large."""

    def generous() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, "-c", script], cwd=folder, env=env, preexec_fn=generous)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status)
    return os.WCOREDUMP(status)


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    assert not dumped(CRASH.format(FORBID), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_which_the_system_would_have_kept(tmp_path: Path) -> None:
    if not dumped(CRASH.format("pass"), tmp_path):
        pytest.skip("this machine keeps none")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_nobody_else_reads_its_memory() -> None:
    ask = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for script, answer in ((ask, "1"), (f"{FORBID}; {ask}", "0")):
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == answer
