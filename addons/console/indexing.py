"""Keeps the search index up to date while the console runs: by a process of its own, started again if it ends."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

log = structlog.get_logger()

_AGAIN_SECONDS = 10.0
_NICE = 10
"""How far it stands back where there is not enough processor for all."""


@asynccontextmanager
async def indexing(conf: Path) -> AsyncIterator[None]:
    """While it runs."""
    running = asyncio.ensure_future(_run(conf))
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def _run(conf: Path) -> None:
    command = ("-m", "addons.cli", "index", "--follow", "--beside", str(os.getpid()), "--conf", str(conf))
    while True:
        try:
            process = await asyncio.create_subprocess_exec(sys.executable, *command, stdin=asyncio.subprocess.DEVNULL)
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        except OSError as error:
            log.warning("search index not kept up to date", error=str(error))
        else:
            try:
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
            log.warning("search index not kept up to date", error=f"its process ended with {status}")
        await asyncio.sleep(_AGAIN_SECONDS)
