"""Every pipeline of the rules, shipped; a pipeline that was changed, added or removed is, while the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from addons.core.connection import compile_connections
from addons.core.documents import Document
from addons.core.pipelines.pipeline import Pipeline, compile_pipelines
from addons.core.problem import InvalidConfiguration, Problem
from addons.edge.pipeline_status import forget_statuses
from addons.edge.pipeline_targets import check_files
from addons.edge.rulefiles import read_rules
from addons.edge.shipper import Logs, Shipper
from addons.settings import Settings

log = structlog.get_logger()


def load_pipelines(settings: Settings, only: Sequence[str] = ()) -> tuple[Pipeline, ...]:
    """The pipelines that the rules name. Raises InvalidConfiguration, for mistakes of theirs and no others'."""
    documents, problems = read_rules(settings.rules)
    pipelines, found = compile_pipelines(documents, _connections(documents))
    problems += found + check_files(pipelines)
    if unknown := set(only) - {pipeline.name for pipeline in pipelines}:
        problems.append(Problem(settings.rules[0], 0, f"there is no pipeline {', '.join(sorted(unknown))}"))
    if not pipelines:
        why = "no Pipeline document in any rules folder: see rules/pipelines/*.example"
        problems.append(Problem(settings.rules[0], 0, why))
    if problems:
        raise InvalidConfiguration(problems)
    return tuple(pipeline for pipeline in pipelines if not only or pipeline.name in only)


def _connections(documents: Sequence[Document]) -> list[str]:
    return list(compile_connections(documents)[0])


@dataclass(frozen=True, slots=True)
class _Running:
    pipeline: Pipeline
    shipper: Shipper
    task: asyncio.Task[None]


class Shipping:
    """The shippers of one process. For one event loop."""

    def __init__(self, state: Path) -> None:
        self._state, self._logs = state, Logs(state)
        self._running: dict[str, _Running] = {}
        self.ended = asyncio.Event()
        """Set when a shipper has ended by itself: a fault of ours."""

    async def use(self, pipelines: Sequence[Pipeline]) -> list[str]:
        """Ship these, and no others. Raises OSError if one of them runs elsewhere, or its files cannot be used."""
        wanted = {pipeline.name: pipeline for pipeline in pipelines}
        await self._stop([each for name, each in self._running.items() if wanted.get(name) != each.pipeline])
        forget_statuses(self._state, wanted)
        for name, pipeline in wanted.items():
            if name not in self._running:
                shipper = Shipper(pipeline, self._state, self._logs)
                task = asyncio.ensure_future(shipper.run())
                self._running[name] = _Running(pipeline, shipper, task)
                task.add_done_callback(self._ended)
        return []

    async def close(self) -> None:
        """Stop all of them."""
        await self._stop(list(self._running.values()))

    async def _stop(self, going: Sequence[_Running]) -> None:
        for each in going:
            del self._running[each.pipeline.name]
        await asyncio.gather(*(each.shipper.stop(each.task) for each in going))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if any(each.task is task for each in self._running.values()):
            error = None if task.cancelled() else task.exception()
            log.error("pipeline failed", error=type(error).__name__, exc_info=error)
            self.ended.set()
