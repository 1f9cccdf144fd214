"""A command in the place of ours: a signal reaches it whenever it comes, and its end is ours."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from addons.cli.child import NO_SUCH_COMMAND, run_command

WAITS = ("sh", "-c", "trap 'exit 5' TERM; while true; do sleep 0.05; done")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("command", "code"), [(["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -9 $$"], 137)])
def test_its_end_is_ours(command: list[str], code: int) -> None:
    assert run_command(command, os.environ) == code


def test_a_command_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["no-such-command"], os.environ) == NO_SUCH_COMMAND
    assert "no command 'no-such-command'" in capsys.readouterr().err


@pytest.mark.parametrize("before", [True, False])
def test_a_signal_that_comes_with_the_start_is_passed_on(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    start: Any = subprocess.Popen

    def signalled(*arguments: Any, **options: Any) -> Any:
        if before:
            os.kill(os.getpid(), signal.SIGTERM)
        started = start(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return started

    monkeypatch.setattr(subprocess, "Popen", signalled)
    assert run_command(WAITS, os.environ) in (5, 128 + signal.SIGTERM)
