"""Child processes that outlive the command that started them, known again later by pid *and* start time.

A pid alone names a stranger once the number is used again, and nobody else's process may be ended.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS = 1.0
_PORTS = range(20_000, 32_768)
"""Below all that a system gives to clients, and to servers that name none."""

# Kept so that Popen objects of live servers are not collected, which would warn; reaped by `stop`.
_started: list[subprocess.Popen[bytes]] = []


class ChildExited(RuntimeError):
    """A server ended before it was ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One server that we started; `started` is the kernel's start time, in its own unit."""

    name: str
    pid: int
    started: str
    log: str
    tied: bool = False
    """It ends with the process that started it, whatever becomes of that."""


def spawn(
    name: str,
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> Child:
    """Starts `argv` in a session of its own (a terminal's Ctrl-C must not reach it), output going to `log`.

    Its environment is this process's without some variables, and with those of `env`.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(env or {}, without),
            start_new_session=True,
        )
    _started.append(process)
    return Child(name=name, pid=process.pid, started=start_time(process.pid) or "", log=str(log))


def environment(env: Mapping[str, str], without: Collection[str] = ()) -> dict[str, str]:
    """This process's, changed."""
    return {**{name: value for name, value in os.environ.items() if name not in without}, **env}


def schedule(pid: int, *, idle: bool) -> bool:
    """Makes a process run only when no other wants to, or as others do; True if that can be said here.

    With all its threads: each has a way of its own, and what it starts begins with that.
    """
    if not hasattr(os, "SCHED_IDLE"):
        return False
    policy = os.SCHED_IDLE if idle else os.SCHED_OTHER
    for thread in Path(f"/proc/{pid}/task").glob("*"):  # none, once it has ended
        with suppress(ProcessLookupError):
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))
    return True


def start_time(pid: int) -> str | None:
    """The start time of a process that runs, or None if there is none (a zombie is none)."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def is_running(child: Child) -> bool:
    """True if that very process still runs."""
    return start_time(child.pid) == child.started


def require_running(children: Iterable[Child]) -> None:
    """Raises ChildExited with the end of its log if any of them has ended."""
    for child in children:
        if not is_running(child):
            tail = Path(child.log).read_text(errors="replace").strip().splitlines()[-3:]
            raise ChildExited(f"{child.name} ended during start; the end of {child.log}: " + " | ".join(tail))


def stop(children: Sequence[Child]) -> None:
    """Ends these processes, politely for STOP_SECONDS and then at once; later ones first, as they use earlier ones.

    The calling process is spared if it is one of them: it is about to end by itself.
    """
    children = [child for child in children if child.pid != os.getpid()]
    _signal(children, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal(children, signal.SIGKILL)
    ended = {child.pid for child in children}
    for process in _started:
        if process.pid in ended:
            process.wait()
    _started[:] = [process for process in _started if process.poll() is None]


def _signal(children: Sequence[Child], number: signal.Signals) -> None:
    for child in reversed(children):
        if is_running(child):
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)


def listens(port: int) -> bool:
    """Whether somebody listens there on loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        # A probe may be given this very port while nobody listens there, and is connected to itself then.
        return probe.connect_ex(("127.0.0.1", port)) == 0 and probe.getsockname() != probe.getpeername()


def free_ports(count: int) -> list[int]:
    """Port numbers that are free on loopback, all different; only whoever chooses in the same way may be quicker."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            with suppress(OSError):
                port = secrets.choice(_PORTS)
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
    return found
