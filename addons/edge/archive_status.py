"""What the archiver says of itself, in `state/archive/status.json`: for `chaperone status` and `chaperone doctor`."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from addons.edge.durable import replace_file

LATE_SECONDS = 300.0
"""What waits for longer, or an archiver that is silent for longer, needs attention."""


class AlreadyRuns(OSError):
    """There is another archiver for this state folder."""


def status_file(state: Path) -> Path:
    """Where it is."""
    return state / "archive" / "status.json"


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """While no other archiver works on this state folder. Raises AlreadyRuns, OSError."""
    folder = status_file(state).parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRuns(f"another archiver works on {state}: one is enough") from error
        yield
    finally:
        os.close(descriptor)


def write_status(state: Path, told: dict[str, Any]) -> None:
    """Replaces it. Raises OSError."""
    replace_file(status_file(state), orjson.dumps(told))


def read_status(state: Path) -> dict[str, Any] | None:
    """What the archiver said last; None if it never did."""
    try:
        found = orjson.loads(status_file(state).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def trouble(told: dict[str, Any] | None, now: float) -> list[str]:
    """What needs attention, at `now` (Unix seconds): nothing if all is well."""
    if told is None:
        return ["archive: no archiver has ever run here; start it with: chaperone archive --follow"]
    found = []
    if is_quiet(told, now):
        silent = _minutes(now - told["written_at"])
        found.append(f"archive: the archiver has been silent for {silent}: does it still run?")
    if told["error"]:
        since = f" for {_minutes(now - told['outage_since'])}" if told["outage_since"] else ""
        found.append(f"archive: nothing gets there{since}: {told['error']}")
    elif told["waiting_since"] and (waits := now - told["waiting_since"]) > LATE_SECONDS:
        found.append(f"archive: {told['waiting_bytes']} bytes have waited for {_minutes(waits)}")
    found += [f"archive: {file} is not copied: {why}" for file, why in sorted(told["conflicts"].items())]
    return found


def is_quiet(told: Mapping[str, Any], now: float) -> bool:
    """True if nobody runs it. Whoever does may be in another container, where its process cannot be seen."""
    return bool(now - told["written_at"] > LATE_SECONDS + told["every"])


def summary(told: dict[str, Any]) -> str:
    """It in one line."""
    waits = f"{told['waiting_bytes']} bytes wait" if told["waiting_bytes"] else "nothing waits"
    return f"archive {told['where']}: {told['parts']} parts, {told['bytes']} bytes copied since its start; {waits}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
