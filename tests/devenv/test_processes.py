"""Only the processes that were started here are ever ended."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.devenv import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_child_is_stopped(tmp_path: Path) -> None:
    child = processes.spawn("sleeper", SLEEP, tmp_path / "log")
    assert processes.is_running(child)
    processes.stop([child])
    assert not processes.is_running(child)


def test_another_process_with_the_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        child = processes.Child(name="gone", pid=stranger.pid, started="1", log=str(tmp_path / "log"))
        assert not processes.is_running(child)
        processes.stop([child])
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_caller_does_not_end_itself(tmp_path: Path) -> None:
    started = processes.start_time(os.getpid())
    assert started is not None
    processes.stop([processes.Child(name="self", pid=os.getpid(), started=started, log=str(tmp_path / "log"))])


def test_an_early_end_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = processes.spawn("brief", ["sh", "-c", "echo address already in use; exit 1"], tmp_path / "log")
    deadline = time.monotonic() + 10
    while processes.is_running(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(processes.ChildExited, match=r"brief ended during start.*address already in use"):
        processes.require_running([child])
    processes.stop([child])


def test_free_ports_differ_and_are_given_to_nobody_by_chance() -> None:
    ports = processes.free_ports(20)
    assert len({*ports}) == 20
    local = Path("/proc/sys/net/ipv4/ip_local_port_range")
    assert not local.exists() or max(ports) < int(local.read_text().split()[0])


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="processes can only yield on Linux")
def test_a_process_yields_with_all_its_threads() -> None:
    program = "import threading; threading.Thread(target=input).start(); print(); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for idle, expected in ((True, os.SCHED_IDLE), (False, os.SCHED_OTHER)):
            assert processes.schedule(process.pid, idle=idle)
            threads = [int(each.name) for each in Path(f"/proc/{process.pid}/task").iterdir()]
            assert [os.sched_getscheduler(each) for each in threads] == [expected] * 2
        process.kill()
