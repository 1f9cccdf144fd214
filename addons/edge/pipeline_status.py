"""How each pipeline does: a small file per pipeline in `state/pipelines`, for `chaperone status` and for metrics.

Nothing rests on them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from addons.edge.durable import replace_file
from addons.edge.reports import STALE_SECONDS


@dataclass(slots=True, kw_only=True)
class Status:
    """Of one pipeline. Times are Unix seconds, 0 for none; counts are since the process was started."""

    pipeline: str
    send: str
    to: str
    sent: int = 0
    left_out: int = 0
    behind: int = 0
    """Bytes of the audit log that were not sent yet, or looked at."""
    oldest_at: float = 0.0
    """When what waits longest was recorded."""
    failing_since: float = 0.0
    error: str = ""


def pipelines_folder(state: Path) -> Path:
    """Where cursors and statuses are."""
    return state / "pipelines"


def write_status(state: Path, status: Status) -> None:
    """Replaces the file; a disk that takes nothing shows as a stale status."""
    content = {**asdict(status), "pid": os.getpid(), "written_at": time.time()}
    with contextlib.suppress(OSError):
        replace_file(pipelines_folder(state) / f"{status.pipeline}.json", orjson.dumps(content))


def read_statuses(state: Path) -> list[dict[str, Any]]:
    """What every pipeline said last, by name."""
    found = []
    for file in sorted(pipelines_folder(state).glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            found.append(orjson.loads(file.read_bytes()))
    return found


def is_silent(status: Mapping[str, Any], now: float) -> bool:
    """True if nobody runs the pipeline. Whoever does may be in another container, where its process cannot be seen."""
    return now - float(status["written_at"]) > STALE_SECONDS


def forget_statuses(state: Path, pipelines: Collection[str]) -> None:
    """Of pipelines that are no more: those that nobody runs and no document names."""
    for status in read_statuses(state):
        if status["pipeline"] not in pipelines and is_silent(status, time.time()):
            (pipelines_folder(state) / f"{status['pipeline']}.json").unlink(missing_ok=True)
