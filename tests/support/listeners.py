"""Where a process listens, as the kernel tells it (Linux)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def listening(pid: int) -> set[tuple[str, int]]:
    """Address, in the kernel's hexadecimal form, and port of each of its own listening TCP sockets."""
    own = _open(pid)
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]
    return {(address, int(port, 16)) for address, port in places}


def _open(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as connections are; what listens stays
            found.add(str(entry.readlink()))
    return found
