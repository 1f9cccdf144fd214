"""Credential plugins, real processes: how often they run, and how they end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from addons.core.own_user import Plugin, PluginFailed
from addons.edge import plugins as module
from addons.edge.plugins import Plugins

VERSION = "client.authentication.k8s.io/v1"


def plugin(folder: Path, script: str, token: str = "t", expires_at: float | None = None) -> Plugin:
    """A shell script that notes each run, does what it is told, and answers."""
    status = {"token": token}
    if expires_at is not None:
        status["expirationTimestamp"] = datetime.fromtimestamp(expires_at, UTC).isoformat()
    answer = json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": status})
    file = folder / "plugin"
    file.write_text(f"#!/bin/sh\necho >> {folder}/runs\n{script}\necho '{answer}'\n")
    file.chmod(0o755)
    return Plugin.model_validate({"apiVersion": VERSION, "command": str(file)})


def runs(folder: Path) -> int:
    return (folder / "runs").read_text().count("\n")


async def test_an_answer_is_kept_until_shortly_before_its_end(tmp_path: Path) -> None:
    asked, times = plugin(tmp_path, "", expires_at=2000.0), iter((1939.0, 1940.0, 1940.0))
    plugins = Plugins(lambda: next(times))
    for expected in (1, 1, 2, 3):
        await plugins.answer(asked)
        assert runs(tmp_path) == expected


async def test_one_that_does_not_end_is_kept_until_it_is_dropped(tmp_path: Path) -> None:
    plugins, asked = Plugins(), plugin(tmp_path, "")
    first = await plugins.answer(asked)
    assert await plugins.answer(asked) is first
    plugins.drop(first)
    second = await plugins.answer(asked)
    plugins.drop(first)  # by somebody who was slower: the new one stays
    assert await plugins.answer(asked) is second
    assert runs(tmp_path) == 2


async def test_it_runs_once_for_a_crowd_even_if_the_first_leaves(tmp_path: Path) -> None:
    plugins, asked = Plugins(), plugin(tmp_path, "sleep 0.3")
    crowd = [asyncio.ensure_future(plugins.answer(asked)) for _ in range(8)]
    await asyncio.sleep(0.1)
    crowd[0].cancel()
    found = await asyncio.gather(*crowd, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert (len({id(each) for each in found[1:]}), runs(tmp_path)) == (1, 1)


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    plugins, asked = Plugins(), plugin(tmp_path, f"[ $(wc -l < {tmp_path}/runs) = 1 ] && exit 3")
    with pytest.raises(PluginFailed, match="failed: exit status 3"):
        await plugins.answer(asked)
    assert (await plugins.answer(asked)).token == "t"


@pytest.mark.parametrize("waits", ["wait", "exit 0"], ids=["and waits for it", "and leaves it with its output"])
async def test_one_that_takes_too_long_ends_with_what_it_started(
    waits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLUGIN_SECONDS", 0.5)
    asked = plugin(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; {waits}")
    began = time.monotonic()
    with pytest.raises(PluginFailed, match=r"gave no answer in 0\.5 seconds"):
        await Plugins().answer(asked)
    assert time.monotonic() - began < 5
    await gone(int((tmp_path / "child").read_text()))


async def test_one_nobody_waits_for_any_more_ends_with_the_loop(tmp_path: Path) -> None:
    await is_given_up_and_ends(tmp_path)


async def is_given_up_and_ends(folder: Path) -> None:
    """With what it has started."""
    flight = asyncio.ensure_future(module._output(plugin(folder, f"sleep 600 & echo $! > {folder}/child; wait")))
    await until(lambda: (folder / "child").exists() and (folder / "child").read_text())
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight
    await gone(int((folder / "child").read_text()))


async def test_one_that_is_given_up_while_it_is_started_ends_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs before asyncio says so."""
    start = asyncio.create_subprocess_exec

    async def slowly(*words: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*words, **options)
        await asyncio.sleep(0.3)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    await is_given_up_and_ends(tmp_path)


async def test_one_that_cannot_be_started_may_be_given_up(tmp_path: Path) -> None:
    missing = plugin(tmp_path, "").model_copy(update={"command": "no-such-plugin"})
    flight = asyncio.ensure_future(module._output(missing))
    await asyncio.sleep(0)
    flight.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flight


async def gone(pid: int) -> None:
    """Once the process has ended, whoever is left to reap it."""
    await until(lambda: not (stat := Path(f"/proc/{pid}/stat")).exists() or ") Z " in stat.read_text())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.01)
