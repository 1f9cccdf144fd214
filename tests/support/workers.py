"""Processes that tests race and kill: each forked from one that has imported what they need, and has no threads."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [__name__, "asyncio", *(f"addons.edge.{name}" for name in ("rates", "recordings", "session_tokens"))]
)


def start_worker(program: str, *words: str | Path, output: Path | None = None) -> BaseProcess:
    """As `python -c PROGRAM WORD …`, with nothing on its standard input; what it prints goes to the end of a file."""
    worker = _FORKING.Process(target=_run, args=(program, [*map(str, words)], output), daemon=True)
    worker.start()
    return worker


def _run(program: str, words: list[str], output: Path | None) -> None:
    sys.argv[:] = ["-c", *words]
    if output is not None:
        with output.open("ab") as file:
            os.dup2(file.fileno(), 1)
    exec(compile(program, "<worker>", "exec"), {"__name__": "__main__"})
