"""`scripts/check`: all that must hold before a change is accepted, the quickest first; stops at the first failure.

The cluster's programs are built meanwhile when they are missing, since that takes longest on a new machine.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.devenv import tools
from scripts.devenv.places import REPOSITORY

# Percent of the lines and branches of the pure core that tests must run.
CORE_COVERAGE = 100

_PYTHON = sys.executable
_PYTEST = ("-m", "pytest", "--cov=addons/core", "--cov-branch", "--cov-report=term-missing:skip-covered")


@dataclass(frozen=True, slots=True)
class Stage:
    """One command; `name` is what the summary calls it."""

    name: str
    command: Sequence[str]


def stages(fail_under: int, pytest_arguments: Sequence[str]) -> list[Stage]:
    """All stages in running order."""
    coverage = f"--cov-fail-under={fail_under}"
    return [
        Stage("ruff check", [_PYTHON, "-m", "ruff", "check", "."]),
        Stage("ruff format", [_PYTHON, "-m", "ruff", "format", "--check", "."]),
        Stage("mypy --strict", [_PYTHON, "-m", "mypy"]),
        Stage("cluster build", [_PYTHON, "-m", "scripts.devenv.build"]),
        Stage("pytest", [_PYTHON, *_PYTEST, coverage, *pytest_arguments]),
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
        return _run(stages(options.fail_under, options.pytest_arguments))
    finally:
        if build is not None and build.poll() is None:
            build.terminate()
            build.wait()


def _start_build() -> subprocess.Popen[bytes] | None:
    if not (missing := tools.missing_tools(tools.ALL_TOOLS)):
        return None
    _say(f"building {', '.join(missing)} in the background")
    return subprocess.Popen([_PYTHON, "-m", "scripts.devenv.build"])


def _run(all_stages: Sequence[Stage]) -> int:
    summary: list[str] = []
    for stage in all_stages:
        _say(f"{stage.name} …")
        began = time.monotonic()
        code = subprocess.run(stage.command, cwd=REPOSITORY, check=False).returncode
        summary.append(
            f"{stage.name} {'ok' if code == 0 else f'FAILED (exit {code})'} {time.monotonic() - began:.1f} s"
        )
        if code != 0:
            _say(f"{' · '.join(summary)} · stopped here")
            return code
    _say(" · ".join(summary))
    return 0


def _say(message: str) -> None:
    # Standard error, so that the last line of the standard output is the test runner's.
    print(f"check: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
