"""What is going on right now, for viewers: a file per exchange in `state_dir/live`, there from its start to its end.

Requests that wait for an answer and streams that run are kept here as the scrubbed flow records they will leave behind.
Nothing rests on these files: a thread that nobody waits for replaces and removes them, and what it cannot write is not
shown. They are no evidence, and never synced. Only what goes on for longer than an interval is ever written.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog
from mitmproxy.http import HTTPFlow

from addons.edge.durable import replace_file
from addons.edge.flow_record import FlowRecords
from addons.edge.progress import Progress
from addons.exchange import Exchange

log = structlog.get_logger()

MAX_SHOWN = 500
INTERVAL_SECONDS = 0.2
_MAX_WRITTEN_AT_ONCE = 50

_Version = tuple[bool, bool, int]


@dataclass(slots=True)
class _Shown:
    flow: HTTPFlow
    exchange: Exchange
    progress: Progress
    written: _Version | None = None

    def version(self) -> _Version:
        return self.flow.intercepted, self.flow.response is not None, self.progress.size


class Live:
    """The files of one worker. For one event loop, which never waits for them."""

    def __init__(self, state_dir: Path, records: FlowRecords, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._folder, self._records, self._interval_seconds = live_folder(state_dir), records, interval_seconds
        self._shown: dict[str, _Shown] = {}
        self._gone: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "live")
        self._failing = False

    @property
    def waiting(self) -> int:
        """How many of what is shown wait for a human."""
        return sum(shown.flow.intercepted for shown in self._shown.values())

    def show(self, flow: HTTPFlow, exchange: Exchange, progress: Progress | None = None) -> None:
        """Shows an exchange until it is over, as it stands at each interval; at most MAX_SHOWN at once."""
        if flow.id not in self._shown and len(self._shown) >= MAX_SHOWN:
            return
        self._shown[flow.id] = _Shown(flow, exchange, progress or Progress())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._tick)

    def over(self, flow: HTTPFlow) -> None:
        """The exchange has ended."""
        if (shown := self._shown.pop(flow.id, None)) is not None and shown.written is not None:
            self._gone.add(flow.id)

    def close(self) -> None:
        """Removes every file that is left. Blocks."""
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown(wait=True)
        self._write({}, {*self._gone, *self._shown})

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval_seconds, self._tick)
        if self._writing is not None and not self._writing.done():
            return  # the disk is slow: later, and then only what is latest
        gone, self._gone = self._gone, set()
        if changed := self._changed():
            self._writing = self._thread.submit(self._write, changed, gone)
        elif gone:
            self._writing = self._thread.submit(self._write, {}, gone)
        elif not self._shown:
            self._timer.cancel()
            self._timer = None

    def _changed(self) -> dict[str, bytes]:
        changed: dict[str, bytes] = {}
        for flow_id, shown in list(self._shown.items()):
            if (version := shown.version()) != shown.written:
                if len(changed) == _MAX_WRITTEN_AT_ONCE:
                    break
                shown.written = version
                self._shown[flow_id] = self._shown.pop(flow_id)  # next time after the others
                changed[flow_id] = self._records.of(shown.flow, shown.exchange, shown.progress, over=False)
        return changed

    def _write(self, changed: Mapping[str, bytes], gone: Collection[str]) -> None:
        try:
            for flow_id in gone:
                self._file(flow_id).unlink(missing_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for flow_id, record in changed.items():
                replace_file(self._file(flow_id), record)
            self._failing = False
        except OSError as fault:
            if not self._failing:
                log.warning("not shown to viewers", error=str(fault))
            self._failing = True

    def _file(self, flow_id: str) -> Path:
        return self._folder / f"{flow_id}.mitm"


def live_folder(state_dir: Path) -> Path:
    """Where the files are."""
    return state_dir / "live"


def clear_live(state_dir: Path) -> None:
    """Removes what a gateway that was killed has left."""
    shutil.rmtree(live_folder(state_dir), ignore_errors=True)
