"""The machine under a measurement: which cores are used for what, what a process took, and how to describe it all.

Linux tells all of it; elsewhere nothing is pinned and what cannot be known is None.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the gateway and the one of everything else; None where there are no two to choose from."""

    gateway: int | None
    others: int | None


def choose_cores() -> Cores:
    """The last two cores this process may use, so that the first one is left to the machine where there are more."""
    usable = sorted(affinity())
    return Cores(usable[-1], usable[-2]) if len(usable) >= 2 else Cores(None, None)


def affinity() -> set[int]:
    """The cores this process may use; empty where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Keeps what is started meanwhile on one core: a child has its parent's affinity from its first instruction on."""
    if core is None:
        yield
        return
    before = affinity()
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its descendants used: processor seconds, and their peak memory in MB, added up."""

    cpu_seconds: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What one turn took. `others` is the share of the gateway's core that was used by anything but the gateway."""

    usage: Usage | None
    others: float | None


class Meter:
    """Measures a process and the core it is pinned to, from now on; either may be None."""

    def __init__(self, pid: int | None, core: int | None) -> None:
        self._pid, self._core = pid, core
        if pid is not None:
            forget_peak(pid)
        self._usage, self._busy, self._began = self._now()

    def read(self) -> Spent:
        """What was spent since the start."""
        usage, busy, now = self._now()
        spent = None
        if usage and self._usage:
            spent = Usage(usage.cpu_seconds - self._usage.cpu_seconds, usage.peak_mb)
        if spent is None or busy is None or self._busy is None:
            return Spent(spent, None)
        others = busy - self._busy - spent.cpu_seconds
        return Spent(spent, round(max(0.0, others) / (now - self._began), 3))

    def _now(self) -> tuple[Usage | None, float | None, float]:
        return usage(self._pid) if self._pid is not None else None, busy_seconds(self._core), time.monotonic()


def usage(pid: int) -> Usage | None:
    """What the tree below `pid` used since its start, or since `forget_peak` for memory."""
    if not _PROC.joinpath("self/stat").exists():
        return None
    ticks, peak = 0, 0
    for each in _tree(pid):
        with suppress(OSError):  # it has just ended
            fields = (_PROC / str(each) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            peak += _status_kb(each, "VmHWM:")
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), peak / 1024)


def busy_seconds(core: int | None) -> float | None:
    """How long a core has worked since the machine started, for whomever; None where that is not told."""
    with suppress(OSError):
        for line in (_PROC / "stat").read_text().splitlines():
            name, *ticks = line.split()
            if core is not None and name == f"cpu{core}":
                user, nice, system, _, _, interrupts, soft, stolen = map(int, ticks[:8])
                return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
    return None


def forget_peak(pid: int) -> None:
    """Sets the peak memory of the tree back to what it has now (proc(5), clear_refs)."""
    for each in _tree(pid) if _PROC.joinpath("self/stat").exists() else []:
        with suppress(OSError):
            (_PROC / str(each) / "clear_refs").write_text("5")


def resident_kb(pid: int) -> int:
    """Kilobytes of memory that the tree below `pid` has now; 0 where that is not told."""
    return sum(_status_kb(each, "VmRSS:") for each in _tree(pid)) if _PROC.joinpath("self/stat").exists() else 0


def _tree(pid: int) -> list[int]:
    with suppress(OSError):
        children = (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
        return [pid, *(each for child in children for each in _tree(int(child)))]
    return [pid]


def _status_kb(pid: int, field: str) -> int:
    status = (_PROC / str(pid) / "status").read_text()
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith(field)), 0)


def describe(cores: Cores, folder: Path) -> dict[str, object]:
    """The machine and the versions a measurement was made with; `folder` is where the gateway keeps its records."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "gateway_core": cores.gateway,
        "load_core": cores.others,
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "mitmproxy": version("mitmproxy"),
        "records_on": _file_system(folder),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    with suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    """Its type: syncing a record costs nothing on a tmpfs and a lot on a slow disk."""
    found, best = "unknown", -1
    with suppress(OSError):
        for line in (_PROC / "mounts").read_text().splitlines():
            _, mounted, kind, *_ = line.split()
            if folder.resolve().is_relative_to(mounted) and len(mounted) >= best:
                found, best = kind, len(mounted)
    return found
