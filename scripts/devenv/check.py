"""`scripts/check`: all that must hold before a change is accepted, the quickest first; stops at the first failure.

The cluster's programs are built meanwhile when they are missing, since that takes longest on a new machine. Beside what
measures time runs only what takes what is left of the processors. The other tests are a queue of parts that runners
take from, fewer where memory is short, so that all have work until the end. They share a cluster, which the first that
needs it begins. A part that has passed with the same files is left out, unless `--again` or a variable `CI` asks for
all. What tests write is kept in memory where there is room for it: a gateway has every record and every answer put on
the disk before it goes on, and tests would mostly wait for that.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from scripts.devenv import check_room, forkserver, processes, tools
from scripts.devenv.check_results import Results
from scripts.devenv.check_room import NO_ROOM, Room
from scripts.devenv.check_stages import Stage, Stages, stages
from scripts.devenv.places import REPOSITORY, cache

# Percent of the lines and branches of the pure core that tests must run.
CORE_COVERAGE = 100

RESULTS = cache() / "passed"
NEWS_SECONDS = 30.0
"""Between two reports of how far the tests are."""
_PERCENT = re.compile(r"\[ *(\d+)%\]")


def main() -> int:
    """The exit code: that of the first stage that failed, or 0."""
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__.split(":", 1)[1].strip())
    about = f"percent of addons/core to cover (default {CORE_COVERAGE})"
    parser.add_argument("--fail-under", type=int, default=CORE_COVERAGE, metavar="PERCENT", help=about)
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- PYTEST ARGUMENT", help="passed on to pytest")
    about = "run all, also what has passed with the same files"
    parser.add_argument("--again", action="store_true", default=bool(os.environ.get("CI")), help=about)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left running
    build = _start_build()
    try:
        all_stages, results = stages(options.fail_under, options.pytest_arguments), Results(REPOSITORY, RESULTS)
        return _checked(all_stages if options.again else without(results, all_stages), results)
    finally:
        if build is not None and build.poll() is None:
            build.terminate()
            build.wait()


def without(results: Results, all_stages: Sequence[Stages]) -> list[Stages]:
    """Those stages that have not passed with the same files."""
    known = {stage.name for each in all_stages for stage in each if results.passed(stage)}
    if known:
        _say(f"passed before with the same files, and left out (--again runs them): {' · '.join(sorted(known))}")
    left = ([stage for stage in each if stage.name not in known] for each in all_stages)
    return [each for each in left if each]


def _checked(all_stages: Sequence[Stages], results: Results) -> int:
    room, code = check_room.made(), 1
    try:
        code = run(all_stages, room, results)
    finally:
        room.leave(tidy=code == 0)
    if room.folder is not None and code != 0:
        _say(f"what the tests wrote is in {room.folder}, in memory, until the next check")
    return code


def _start_build() -> subprocess.Popen[bytes] | None:
    if not (missing := tools.missing_tools(tools.ALL_TOOLS)):
        return None
    _say(f"building {', '.join(missing)} in the background")
    return subprocess.Popen([sys.executable, "-m", "scripts.devenv.build"])


def run(all_stages: Sequence[Stages], room: Room = NO_ROOM, results: Results | None = None) -> int:
    """The exit code of the first stage that failed, or 0."""
    outcomes = _Outcomes(results)
    for together in all_stages:
        _say(f"{' beside '.join(stage.name for stage in together)} …")
        one_by_one = len(together) == 1
        code = _alone(together[0], room, outcomes) if one_by_one else _side_by_side(together, room, outcomes)
        if code != 0:
            _say(f"{outcomes} · stopped here")
            return code
    _say(str(outcomes))
    return 0


class _Outcomes:
    """Of the stages that have ended, in that order; those that passed are remembered."""

    def __init__(self, results: Results | None) -> None:
        self._results, self._told = results, list[str]()

    def add(self, stage: Stage, code: int, seconds: float) -> None:
        if code == 0 and self._results is not None:
            self._results.keep(stage)
        self._told.append(f"{stage.name} {'ok' if code == 0 else f'FAILED (exit {code})'} {seconds:.1f} s")

    def __str__(self) -> str:
        return " · ".join(self._told)


def _alone(stage: Stage, room: Room, outcomes: _Outcomes) -> int:
    began = time.monotonic()
    code = subprocess.run(stage.command, cwd=REPOSITORY, check=False, env=room.env(stage)).returncode
    outcomes.add(stage, code, time.monotonic() - began)
    return code


def _side_by_side(together: Stages, room: Room, outcomes: _Outcomes) -> int:
    """Each one's output is shown whole when it has ended; until then, from time to time, how far they are.

    After a failure none is begun, but those that run go on; what failed is shown last, where it is looked for.
    """
    with ExitStack() as ending:
        waiting, running, most = list(together), list[_Running](), check_room.runners()
        news = time.monotonic()
        codes: list[int] = []
        while running or (waiting and not any(codes)):
            while waiting and not any(codes) and len(running) < most and _may_begin(waiting[0], running):
                running.append(ending.enter_context(_Running(waiting.pop(0), room)))
            time.sleep(0.2)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                codes.append(one.process.wait())
                if codes[-1]:
                    ending.callback(_show, one.output())  # also if the check is interrupted
                else:
                    _show(one.output())
                outcomes.add(one.stage, codes[-1], one.seconds)
            if not _is_measured(running):
                for one in running:
                    one.claim()
            if running and time.monotonic() - news > NEWS_SECONDS:
                news = time.monotonic()
                _say(" · ".join(one.progress() for one in running))
    return next((code for code in codes if code), 0)


def _show(output: str) -> None:
    sys.stdout.write(output)
    sys.stdout.flush()


class _Running:
    """A stage that writes to a file of its own. Leaving the context ends it."""

    def __init__(self, stage: Stage, room: Room) -> None:
        self.stage, self._began = stage, time.monotonic()
        self._file = Path(tempfile.mkstemp(prefix="chaperone-check-")[1])
        with self._file.open("wb") as output:
            env = room.env(stage) | ({} if stage.measures else _ONE_CORE_EACH)
            self.process = forkserver.popen(stage.command, env, output, fresh=stage.fresh)
        self._has_yielded = stage.yields and processes.schedule(self.process.pid, idle=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def claim(self) -> None:
        """Its share of the processors, if it has yielded until now."""
        self._has_yielded = self._has_yielded and not processes.schedule(self.process.pid, idle=False)

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


def _may_begin(stage: Stage, running: Sequence[_Running]) -> bool:
    return stage.yields or not _is_measured(running)


def _is_measured(running: Sequence[_Running]) -> bool:
    return any(one.stage.measures for one in running)


_ONE_CORE_EACH = {"GOMAXPROCS": "1"}
"""For programs in Go, whose threads would look for work all the time where others have it."""


def _say(message: str) -> None:
    # Standard error, so that the last line of the standard output is the test runner's.
    print(f"check: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
