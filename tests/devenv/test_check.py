"""The check itself: a stage that fails fails it, whatever runs beside it, and every output is shown."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from scripts.devenv import check
from scripts.devenv.check import Stage
from scripts.devenv.places import REPOSITORY


def python(name: str, code: str) -> Stage:
    return Stage(name, [sys.executable, "-c", code])


FINE = python("fine", "print('fine [ 50%]')")
BAD = python("bad", "print('bad words'); raise SystemExit(3)")
ENDLESS = python("endless", "import time; print('[ 7%]', flush=True); time.sleep(600)")


@pytest.mark.parametrize(
    ("stages", "code", "summary"),
    [
        ([[FINE], [FINE, FINE]], 0, ["fine ok", "fine ok", "fine ok"]),
        ([[BAD], [FINE]], 3, ["bad FAILED (exit 3)", "stopped here"]),
        ([[FINE, BAD], [FINE]], 3, ["fine ok", "bad FAILED (exit 3)", "stopped here"]),
        ([[replace(FINE, then=FINE), FINE]], 0, ["fine ok", "fine ok", "fine ok"]),
        ([[replace(FINE, then=BAD), FINE], [FINE]], 3, ["fine ok", "fine ok", "bad FAILED (exit 3)", "stopped here"]),
        ([[replace(BAD, then=FINE)]], 3, ["bad FAILED (exit 3)", "stopped here"]),
        ([[replace(FINE, then=FINE)]], 0, ["fine ok", "fine ok"]),
    ],
    ids=[
        "all fine",
        "one alone fails",
        "one of two fails",
        "one follows",
        "what follows fails",
        "none follows",
        "alone",
    ],
)
def test_every_stage_counts(
    stages: list[list[Stage]], code: int, summary: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert check.run(stages) == code
    output, told = capfd.readouterr()
    last = told.splitlines()[-1]
    assert sorted(summary) == sorted(part for part in summary if part in last)
    assert last.count("fine ok") == summary.count("fine ok")
    assert ("bad words" in output) == (code != 0)


def test_progress_is_told_and_the_other_ends_with_the_check(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "NEWS_SECONDS", 0.5)

    def interrupted(message: str) -> None:
        print(message)
        if "endless 7 %" in message:
            raise KeyboardInterrupt

    monkeypatch.setattr(check, "_say", interrupted)
    with pytest.raises(KeyboardInterrupt):
        check.run([[ENDLESS, ENDLESS]])
    assert "endless 7 % · endless 7 %" in capfd.readouterr().out


def test_what_measures_time_runs_alone_and_everything_runs_once() -> None:
    *_, alone, together = check.stages(100, [])
    assert [stage.command[-2:] for stage in alone] == [["-m", "alone"]]
    others, end_to_end = together
    assert {"not alone", "--ignore=tests/e2e", "--cov-fail-under=100"} <= set(others.command)
    assert end_to_end.command[-2:] == ["tests/e2e", "--ignore=tests/e2e/bypasses"]
    assert others.then is not None
    assert "tests/e2e/bypasses" in others.then.command
    assert all((REPOSITORY / path).exists() for path in others.then.command if path.startswith("tests/"))


def test_with_arguments_pytest_runs_once() -> None:
    (only,) = check.stages(100, ["-k", "one"])[-1]
    assert only.command[-2:] == ["-k", "one"]
