"""Credential plugins of kubeconfigs: run one at a time each, and their answers kept as client-go keeps them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress

from addons.core.own_user import Plugin, PluginAnswer, PluginFailed, is_kept, plugin_answer

PLUGIN_SECONDS = 15.0


class Plugins:
    """What they answered. Belongs to one event loop."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._kept: dict[Plugin, PluginAnswer] = {}
        self._flights: dict[Plugin, asyncio.Task[PluginAnswer]] = {}

    async def answer(self, plugin: Plugin) -> PluginAnswer:
        """The answer that is kept, or a new one. Raises UnusableKubeconfig."""
        kept = self._kept.get(plugin)
        if kept is not None and is_kept(kept, self._now()):
            return kept
        if plugin not in self._flights:
            self._flights[plugin] = asyncio.ensure_future(self._run(plugin))
        return await asyncio.shield(self._flights[plugin])  # who waits no longer takes nobody else's answer with him

    def drop(self, answer: PluginAnswer) -> None:
        """Forget an answer that the cluster did not take."""
        self._kept = {plugin: kept for plugin, kept in self._kept.items() if kept is not answer}

    async def _run(self, plugin: Plugin) -> PluginAnswer:
        try:
            self._kept[plugin] = answer = plugin_answer(plugin, await _output(plugin))
        finally:
            del self._flights[plugin]
        return answer


async def _output(plugin: Plugin) -> bytes:
    starting = asyncio.ensure_future(_started(plugin))
    try:
        process = await asyncio.shield(starting)
    except asyncio.CancelledError:  # it may run already, and what it has started would outlive it
        with suppress(PluginFailed):
            await _end(await starting)
        raise
    ended = False
    try:
        async with asyncio.timeout(PLUGIN_SECONDS):
            output, _ = await process.communicate()
        ended = True
    except TimeoutError:
        raise PluginFailed(f"the plugin {plugin.command} gave no answer in {PLUGIN_SECONDS:g} seconds") from None
    finally:
        if not ended:
            await _end(process)
    if process.returncode:
        raise PluginFailed(f"the plugin {plugin.command} failed: exit status {process.returncode}")
    return output


async def _started(plugin: Plugin) -> Process:
    """In a session of its own: what it starts ends with it. What it says on stderr may be a secret."""
    env, arguments = {**os.environ, **plugin.environment}, (plugin.command, *plugin.args)
    try:
        return await asyncio.create_subprocess_exec(
            *arguments, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=env, start_new_session=True
        )
    except FileNotFoundError:
        hint = " ".join(f": {plugin.install_hint}".split()) if plugin.install_hint else ""
        raise PluginFailed(f"the plugin {plugin.command} is not installed{hint}") from None
    except (OSError, ValueError) as error:
        raise PluginFailed(f"the plugin {plugin.command} could not be started: {type(error).__name__}") from None


async def _end(process: Process) -> None:
    """The plugin and what it started: as long as one of them lives, no other group can have this number."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await process.wait()
