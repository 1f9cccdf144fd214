"""`scripts/check`: all that must hold before a change is accepted, the quickest first; stops at the first failure.

The cluster's programs are built meanwhile when they are missing, since that takes longest on a new machine. What
measures time runs alone; then the end-to-end tests, which mostly wait, run beside all others, and those of the ways
around a gateway after these, on a cluster of their own.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.devenv import tools
from scripts.devenv.places import REPOSITORY

# Percent of the lines and branches of the pure core that tests must run.
CORE_COVERAGE = 100

_PYTHON = sys.executable
_PYTEST = (_PYTHON, "-m", "pytest")
_COVERAGE = ("--cov=addons/core", "--cov-branch", "--cov-report=term-missing:skip-covered")
_END_TO_END = "tests/e2e"
_BYPASSES = f"{_END_TO_END}/bypasses"
_EVIDENCE = [f"{_END_TO_END}/test_evidence_{name}.py" for name in ("audit", "files")]
"""They judge what the tests of their own run have left behind."""
NEWS_SECONDS = 30.0
"""Between two reports of how far the tests are."""
_PERCENT = re.compile(r"\[ *(\d+)%\]")


@dataclass(frozen=True, slots=True)
class Stage:
    """One command; `name` is what the summary calls it, `then` what follows it if it succeeds."""

    name: str
    command: Sequence[str]
    then: "Stage | None" = None


type Stages = Sequence[Stage]
"""Run side by side."""


def stages(fail_under: int, pytest_arguments: Sequence[str]) -> list[Stages]:
    """All stages in running order. With arguments for pytest, which may choose tests, it runs once."""
    coverage = [*_COVERAGE, f"--cov-fail-under={fail_under}"]
    first: list[Stages] = [
        [Stage("ruff check", [_PYTHON, "-m", "ruff", "check", "."])],
        [Stage("ruff format", [_PYTHON, "-m", "ruff", "format", "--check", "."])],
        [Stage("mypy --strict", [_PYTHON, "-m", "mypy"])],
        [Stage("cluster build", [_PYTHON, "-m", "scripts.devenv.build"])],
    ]
    if pytest_arguments:
        return [*first, [Stage("pytest", [*_PYTEST, *coverage, *pytest_arguments])]]
    bypasses = Stage("tests of bypasses", [*_PYTEST, _BYPASSES, *_EVIDENCE])
    others = [*_PYTEST, *coverage, "-m", "not alone", f"--ignore={_END_TO_END}"]
    end_to_end = [*_PYTEST, _END_TO_END, f"--ignore={_BYPASSES}"]
    return [
        *first,
        [Stage("tests of time", [*_PYTEST, "-m", "alone"])],
        [Stage("tests", others, bypasses), Stage("end-to-end tests", end_to_end)],
    ]


def main() -> int:
    """The exit code: that of the first stage that failed, or 0."""
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__.split(":", 1)[1].strip())
    about = f"percent of addons/core to cover (default {CORE_COVERAGE})"
    parser.add_argument("--fail-under", type=int, default=CORE_COVERAGE, metavar="PERCENT", help=about)
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- PYTEST ARGUMENT", help="passed on to pytest")
    options = parser.parse_args()
    build = _start_build()
    try:
        return run(stages(options.fail_under, options.pytest_arguments))
    finally:
        if build is not None and build.poll() is None:
            build.terminate()
            build.wait()


def _start_build() -> subprocess.Popen[bytes] | None:
    if not (missing := tools.missing_tools(tools.ALL_TOOLS)):
        return None
    _say(f"building {', '.join(missing)} in the background")
    return subprocess.Popen([_PYTHON, "-m", "scripts.devenv.build"])


def run(all_stages: Sequence[Stages]) -> int:
    summary: list[str] = []
    for together in all_stages:
        _say(f"{' beside '.join(stage.name for stage in together)} …")
        only = together[0] if len(together) == 1 and together[0].then is None else None
        code = _alone(only, summary) if only is not None else _side_by_side(together, summary)
        if code != 0:
            _say(f"{' · '.join(summary)} · stopped here")
            return code
    _say(" · ".join(summary))
    return 0


def _alone(stage: Stage, summary: list[str]) -> int:
    began = time.monotonic()
    code = subprocess.run(stage.command, cwd=REPOSITORY, check=False).returncode
    summary.append(_outcome(stage, code, time.monotonic() - began))
    return code


def _side_by_side(together: Stages, summary: list[str]) -> int:
    """Each one's output is shown whole when it has ended; until then, from time to time, how far they are."""
    with ExitStack() as ending:
        running = [ending.enter_context(_Running(stage)) for stage in together]
        news = time.monotonic()
        codes: list[int] = []
        while running:
            time.sleep(0.2)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                codes.append(one.process.returncode)
                sys.stdout.write(one.output())
                sys.stdout.flush()
                summary.append(_outcome(one.stage, codes[-1], one.seconds))
                if one.stage.then is not None and codes[-1] == 0:
                    running.append(ending.enter_context(_Running(one.stage.then)))
            if running and time.monotonic() - news > NEWS_SECONDS:
                news = time.monotonic()
                _say(" · ".join(one.progress() for one in running))
    return next((code for code in codes if code), 0)


class _Running:
    """A stage that writes to a file of its own. Leaving the context ends it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self._began = stage, time.monotonic()
        self._file = Path(tempfile.mkstemp(prefix="chaperone-check-")[1])
        with self._file.open("wb") as output:
            self.process = subprocess.Popen(stage.command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def output(self) -> str:
        return self._file.read_text(errors="replace")

    def progress(self) -> str:
        percent = _PERCENT.findall(self.output())
        return f"{self.stage.name} {percent[-1] if percent else 0} %"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self._file.unlink()


def _outcome(stage: Stage, code: int, seconds: float) -> str:
    return f"{stage.name} {'ok' if code == 0 else f'FAILED (exit {code})'} {seconds:.1f} s"


def _say(message: str) -> None:
    # Standard error, so that the last line of the standard output is the test runner's.
    print(f"check: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
