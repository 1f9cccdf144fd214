"""Where the stages of a check do their work, and how many of them at a time: as much as there is memory for."""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.devenv import cluster, processes
from scripts.devenv.check_stages import Stage

RUNNERS = 8
"""More than the two cores of a small machine, as tests wait half of the time; with more, a check takes longer."""
RUNNER_BYTES = 1 << 30
"""What one may need: gateways and the tests."""
MEMORY = Path("/dev/shm")
_PREFIX = "check-"
ROOM_BYTES = 6 << 30
"""What tests may need; where less memory is free, they write to the disk."""


@dataclass(frozen=True, slots=True)
class Room:
    """Where stages do their work."""

    folder: Path | None = None
    """For their temporary files."""
    cluster: Path | None = None
    """Of the cluster that they share."""

    def env(self, stage: Stage) -> dict[str, str]:
        """Of a stage's process."""
        inherited = {name: value for name, value in os.environ.items() if name != cluster.SHARED}
        folder = {} if self.folder is None or stage.measures else {"TMPDIR": str(self.folder)}
        shares = self.cluster is not None and not stage.own_cluster
        return {**inherited, **folder, **({cluster.SHARED: str(self.cluster)} if shares else {})}

    def leave(self, *, tidy: bool) -> None:
        """Ends the cluster; with `tidy`, nothing is left of what was written."""
        if self.cluster is not None:
            cluster.stop(self.cluster)
        for each in (self.cluster, self.folder) if tidy else ():
            if each is not None:
                shutil.rmtree(each, ignore_errors=True)


NO_ROOM = Room()
"""Stages write where they want to, and each starts a cluster of its own."""


def made() -> Room:
    """For one check."""
    folder = folder_in(MEMORY)
    return Room(folder, Path(tempfile.mkdtemp(prefix="chaperone-cluster-", dir=folder)))


def folder_in(memory: Path) -> Path | None:
    """A new folder there; None where there is not enough room. What checks that ended have left is removed before."""
    for old in memory.glob(f"{_PREFIX}*-*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and processes.start_time(int(pid)) is None and old.stat().st_uid == os.getuid():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory)) if has_room(memory) else None


def has_room(memory: Path) -> bool:
    """Whether tests can write there, and run what they wrote."""
    try:
        found = os.statvfs(memory)
    except OSError:
        return False
    enough = min(found.f_bavail * found.f_frsize, available_bytes() or 0) >= ROOM_BYTES
    return enough and not found.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK)


def available_bytes() -> int | None:
    """Of memory; None where the system does not say it."""
    try:
        found = re.search(r"^MemAvailable: *(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) << 10


def runners() -> int:
    """How many parts run at a time: as many as there is memory for."""
    available = available_bytes()
    return RUNNERS if available is None else max(2, min(RUNNERS, available // RUNNER_BYTES))
