"""What each worker says of itself, for `chaperone status` and for whichever worker is asked for metrics: a small file
per worker in `state_dir/workers`, replaced every other second. Nothing rests on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from addons.edge.durable import replace_file

INTERVAL_SECONDS = 1.0
STALE_SECONDS = 15.0
"""A worker that has written nothing for so long does not run, or not any more as it should."""


def reports_folder(state_dir: Path) -> Path:
    """Where the files are."""
    return state_dir / "workers"


def clear_reports(state_dir: Path) -> None:
    """Forget the workers of an earlier life."""
    for file in reports_folder(state_dir).glob("*.json"):
        file.unlink(missing_ok=True)


class Reports:
    """The report of one worker, kept up to date, and those of the others."""

    def __init__(self, state_dir: Path, worker: int, make: Callable[[], Mapping[str, Any]]) -> None:
        """`make` gives this worker's report; it holds no secret."""
        self._folder, self._worker, self._make = reports_folder(state_dir), worker, make

    async def keep(self) -> None:
        """Write, again and again, until cancelled. A disk that takes nothing shows as a stale report."""
        while True:
            report = self.own()
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._write, report)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def all(self) -> list[Mapping[str, Any]]:
        """Our own as of now, and the others' as of a moment ago."""
        others = await asyncio.to_thread(read_reports, self._folder)
        reports = {report["worker"]: report for report in others if not is_stale(report, time.time())}
        return [report for _, report in sorted((reports | {self._worker: self.own()}).items())]

    def own(self) -> dict[str, Any]:
        """This worker's report."""
        return {"worker": self._worker, "pid": os.getpid(), "written_at": time.time(), **self._make()}

    def _write(self, report: Mapping[str, Any]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(self._folder / f"{self._worker}.json", orjson.dumps(report))


def read_reports(folder: Path) -> list[dict[str, Any]]:
    """What all workers said last, by number; files are replaced whole, so what is there can be read."""
    found = []
    for file in folder.glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            found.append(orjson.loads(file.read_bytes()))
    return sorted(found, key=lambda report: int(report["worker"]))


def is_stale(report: Mapping[str, Any], now: float) -> bool:
    """True if its worker has been silent for too long, or has ended."""
    return now - float(report["written_at"]) > STALE_SECONDS or not Path(f"/proc/{report['pid']}").exists()
