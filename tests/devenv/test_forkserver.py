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

from scripts.devenv import forkserver, processes
from scripts.devenv.forkserver import CHAPERONE
from scripts.devenv.places import REPOSITORY

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
    env = {**PLAIN, "PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}
    assert forkserver.site_of(env) is None
    assert forkserver.run([*CHAPERONE, "--version"], env=env).stdout.startswith("customised\n")
    assert forkserver.run([sys.executable, "-c", "print(1)"]).stdout == "1\n"


@pytest.mark.parametrize("plain", [{}, {"PYTHONSAFEPATH": "1"}], ids=["forked", "started"])
def test_a_process_can_be_given_a_sitecustomize_of_its_own(plain: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('customised', flush=True)")
    env = {**PLAIN, **plain, "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    assert forkserver.site_of(env) == str(tmp_path)
    assert forkserver.run([*CHAPERONE, "--version"], env=env).stdout.startswith("customised\n")


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


def test_both_outputs_can_be_one(tmp_path: Path) -> None:
    argv = [*CHAPERONE, "approvals", "list"]
    apart, merged = (forkserver.run(argv, cwd=tmp_path, env=PLAIN, merged=each) for each in (False, True))
    assert (apart.stdout, bool(apart.stderr)) == ("", True)
    assert (merged.stdout, merged.stderr) == (apart.stderr, "")
    started = forkserver.run([sys.executable, "-c", "import sys; print(1, file=sys.stderr)"], merged=True)
    assert started.stdout == "1\n" and not started.stderr


ALONE = f"""
from pathlib import Path
from scripts.devenv import forkserver, forkserver_link, processes
done = forkserver.run([*forkserver.CHAPERONE, "--version"], env={PLAIN!r}, starting=False)
asks = [*forkserver.CHAPERONE, "approvals", "list"]
child = forkserver.spawn("waiting", asks, Path("log"), {PLAIN!r}, lasting=True)
processes.stop([child])
print(done.returncode, child.tied, forkserver_link.is_there())
"""


def test_no_server_is_started_for_who_can_do_without(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mitm.conf")
    said = subprocess.check_output([sys.executable, "-c", ALONE], cwd=tmp_path, env={**os.environ, **PLAIN}, text=True)
    assert said == "0 False False\n"


OWNER = f"""
import sys, time
from pathlib import Path
from scripts.devenv import forkserver
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


TEST = f"""
from pathlib import Path
from scripts.devenv import forkserver
from scripts.devenv.forkserver import CHAPERONE

def test_others_are_forked(tmp_path):
    done = forkserver.run([*CHAPERONE, "--version"], env={PLAIN!r})
    assert (done.returncode, done.stderr) == (0, ""), "it does not know that there are tests"
    folder = Path(__file__).parent
    asks = [*CHAPERONE, "approvals", "list", "--conf", folder / "mitm.conf"]
    for lasting in (False, True):
        child = forkserver.spawn("waiting", asks, folder / "log", {PLAIN!r}, lasting=lasting)
        (folder / f"child-{{child.tied}}").write_text(f"{{child.pid}} {{child.started}}")
"""


def test_tests_have_others_forked_that_end_with_them_or_last(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mitm.conf")
    (tmp_path / "test_forked.py").write_text(TEST)
    argv = [sys.executable, "-m", "pytest", str(tmp_path / "test_forked.py")]
    with (tmp_path / "output").open("wb") as output:
        tests = forkserver.popen(argv, os.environ, output)
    assert isinstance(tests, forkserver.Process)
    assert tests.wait() == 0, (tmp_path / "output").read_text()
    assert "1 passed" in (tmp_path / "output").read_text()
    pid, began = (tmp_path / "child-True").read_text().split()
    lasting, then = (tmp_path / "child-False").read_text().split()
    deadline = time.monotonic() + 20
    while processes.start_time(int(pid)) == began and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.start_time(int(pid)) != began
    assert processes.start_time(int(lasting)) == then
    os.kill(int(lasting), signal.SIGTERM)


def test_what_was_forked_can_be_asked_to_end(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text("import time\n\ndef test_it():\n    time.sleep(600)\n")
    with (tmp_path / "output").open("wb") as output:
        tests = forkserver.popen([sys.executable, "-m", "pytest", str(tmp_path)], os.environ, output)
        started = forkserver.popen([sys.executable, "-m", "pytest", "--version"], os.environ, output, fresh=True)
    assert tests.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        tests.wait(0.1)
    tests.terminate()
    assert tests.wait() == -signal.SIGTERM
    tests.terminate()  # whoever has ended is not asked
    assert isinstance(started, subprocess.Popen) and started.wait() == 0
