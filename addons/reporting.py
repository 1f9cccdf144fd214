"""What a worker tells of itself: the file that `chaperone status` reads, and the page /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from addons.edge.archive_status import read_status
from addons.edge.exposition import CONTENT_TYPE, exposition
from addons.edge.health import HealthListener, Page
from addons.edge.pipeline_status import read_statuses
from addons.edge.reload import Reload
from addons.edge.reports import Reports
from addons.parts import Parts
from addons.policy import Policy


@contextlib.contextmanager
def reporting(
    parts: Parts, reload: Reload[Policy], health: HealthListener, about: Mapping[str, str], worker: int
) -> Iterator[None]:
    """Tells for as long as it lasts. `about` is where the worker listens."""
    started_at, state = time.time(), Path(parts.settings.state)
    reports = Reports(state, worker, lambda: _report(parts, reload, about, started_at))

    async def metrics() -> Page:
        pipelines = await asyncio.to_thread(read_statuses, state)
        archive = await asyncio.to_thread(read_status, state)
        return Page(200, exposition(await reports.all(), pipelines, archive, time.time()), CONTENT_TYPE)

    health.register("/metrics", metrics)
    keeping = asyncio.ensure_future(reports.keep())
    try:
        yield
    finally:
        keeping.cancel()


def _report(parts: Parts, reload: Reload[Policy], about: Mapping[str, str], started_at: float) -> dict[str, Any]:
    policy = parts.in_force.policy
    return {
        **about,
        "started_at": started_at,
        "policy": policy.version,
        "loaded_at": parts.in_force.since,
        "summary": policy.summary(),
        "connections": [
            {"name": name, "host": f"{each.host}:{each.port}", "profile": each.profile.value}
            for name, each in policy.connections.items()
        ],
        "reload": None if reload.last is None else asdict(reload.last),
        "reloads": reload.counts,
        "waiting": parts.live.waiting,
        "meters": parts.meters.snapshot(),
    }
