"""What `scripts/check` runs: the stages, in their order, and which tests run in which process.

Tests of one process share its gateways. Which they are is fixed, so that a check can be repeated.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.devenv.places import REPOSITORY, cache

_PYTHON = sys.executable
_RUNNER = ("-m", "pytest", "--durations=10")
_PYTEST = (_PYTHON, *_RUNNER)
_CONSOLE = "tests of the console"
_NO_SCHEMATHESIS = "-pno:schemathesis"
"""It looks at every test for the few that it is for, the console's, which takes longer than most tests do."""
_COVERAGE = ("-m", "slipcover", "--branch", "--source", "addons/core", "--skip-covered", "--missing-width", "200")
"""Of Python's own monitoring: with a trace function these tests took three times as long."""
_CORE = "tests/core"
"""They alone run all of the core, without those of properties: what covers it by chance says nothing about it."""
_END_TO_END = "tests/e2e"
_BROWSER = [f"tests/console/test_{name}.py" for name in ("browser", "browser_record", "notifier")]
"""They wait for other processes, or for time to pass; all others of the console take one processor and nothing else."""
_LONG = {"tests of edges": ["tests/edge"], "tests of development": ["tests/devenv"]}
"""They wait more than they do, as do those of steps: begun late, they would leave the processors idle in the end."""
_BRIEF = {"tests in a browser": _BROWSER, "tests of commands": ["tests/cli", "tests/conformance"],
    "tests of deployment": ["tests/deploy"]}  # fmt: skip
"""What is in other places, longest first; what is in none is a stage of its own."""
_EVIDENCE = [f"{_END_TO_END}/test_evidence_{name}.py" for name in ("audit", "files")]
"""They judge what the tests of their own run have left behind."""
_WHOLE_CLUSTER = ("bypasses/test_b_reading_resources", "bypasses/test_h_system", "test_aggregated", "test_canaries",
    "test_discovery", "test_reading")  # fmt: skip
"""These add kinds to the cluster, or compare all that is in it: their share has one that nobody else uses."""
_SHARES = 5
_USUAL_SECONDS = 7
_LONG_SECONDS = {
    "bypasses/test_d_streams": 75, "test_aggregated": 60, "test_reload": 60, "test_fail_closed": 50, "test_golden": 50,
    "test_evidence_chain": 30, "test_evidence_export": 30, "test_sessions": 30, "bypasses/test_h_exhaustion": 25,
    "test_identity_console": 25, "test_situation": 25, "bypasses/test_b_reading_queries": 20,
    "bypasses/test_c_headers": 20, "bypasses/test_h_system": 20, "test_creates": 20, "test_discovery": 20,
    "test_identity_attacks": 20, "test_locks": 20, "test_access_requests": 15, "test_agent_side": 15,
    "test_identity_proxy": 15,
}  # fmt: skip
"""About how long end-to-end tests take that take long, so that all shares end at about the same time."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One command; `name` is what the summary calls it."""

    name: str
    command: Sequence[str]
    measures: bool = False
    """It measures time: it writes to the disk, and beside it runs nothing but what yields."""
    yields: bool = False
    """It takes what others leave of the processors as long as something is measured: it needs nothing else."""
    tests: Sequence[str] = ()
    """The files and folders of its tests, where nothing but the files here decides how they end."""
    elsewhere: Sequence[str] = ()
    """What of it others run."""
    fresh: bool = False
    """It looks at what an interpreter does from its first line."""
    own_cluster: bool = False
    """It does not share the cluster of the others."""

    def runs(self, name: str) -> bool:
        """Whether a file is one of its tests."""
        return _is_in(name, self.tests) and not _is_in(name, self.elsewhere)


def _is_in(name: str, places: Sequence[str]) -> bool:
    return any(name == place or name.startswith(f"{place}/") for place in places)


type Stages = Sequence[Stage]
"""Run side by side, begun in this order."""


def stages(fail_under: int, pytest_arguments: Sequence[str]) -> list[Stages]:
    """All stages in running order. With arguments for pytest, which may choose tests, it runs once."""
    covering = [_PYTHON, *_COVERAGE, "--fail-under", str(fail_under), *_RUNNER]
    first: list[Stages] = [
        [Stage("ruff check", [_PYTHON, "-m", "ruff", "check", "."])],
        [Stage("ruff format", [_PYTHON, "-m", "ruff", "format", "--check", "."])],
        # Its cache outlives this clone.
        [Stage("mypy --strict", [_PYTHON, "-m", "mypy", f"--cache-dir={cache() / 'mypy'}"])],
        [Stage("cluster build", [_PYTHON, "-m", "scripts.devenv.build"])],
    ]
    if pytest_arguments:
        return [*first, [Stage("pytest", [*covering, *pytest_arguments])]]
    not_alone = [*_PYTEST, "-m", "not alone"]
    in_folders = (each for places in (_LONG | _BRIEF).values() for each in places if each not in _BROWSER)
    elsewhere = [_CORE, _END_TO_END, "tests/console", *in_folders]
    return [
        *first,
        [
            Stage(
                "tests of time",
                [*_PYTEST, _NO_SCHEMATHESIS, "-m", "alone", *alone(REPOSITORY)],
                measures=True,
                fresh=True,
            ),
            _of_core("tests of the core", [*covering, "-m", "not hypothesis"]),
            _of_core("properties of the core", [*_PYTEST, "-m", "hypothesis"]),
            _yielding(_of_tests(_CONSOLE, not_alone, ["tests/console"], _BROWSER)),
            *_of_folders(_LONG, not_alone),
            _of_tests("tests of steps", not_alone, ["tests"], elsewhere),
            # The last wait most.
            *(_share(number, files) for number, files in reversed([*enumerate(shares(REPOSITORY), 1)])),
            *_of_folders(_BRIEF, not_alone),
        ],
    ]


def _of_folders(named: Mapping[str, Sequence[str]], pytest: Sequence[str]) -> Iterator[Stage]:
    for name, places in named.items():
        yield _of_tests(name, pytest, places)


def _of_core(name: str, pytest: Sequence[str]) -> Stage:
    return replace(_yielding(_of_tests(name, pytest, [_CORE])), fresh=True)


def _yielding(stage: Stage) -> Stage:
    return replace(stage, yields=hasattr(os, "SCHED_IDLE"))


def _share(number: int, files: Sequence[str]) -> Stage:
    stage = _of_tests(f"end-to-end tests {number}", _PYTEST, [*files, *_EVIDENCE])
    return replace(stage, own_cluster=number == 1)


def _of_tests(name: str, pytest: Sequence[str], tests: Sequence[str], elsewhere: Sequence[str] = ()) -> Stage:
    without = [] if name == _CONSOLE else [_NO_SCHEMATHESIS]
    ignored = [f"--ignore={folder}" for folder in elsewhere]
    return Stage(name, [*pytest, *without, *tests, *ignored], tests=tests, elsewhere=elsewhere)


def alone(repository: Path) -> list[str]:
    """The files with tests that measure time: to look into all others would take longer than most of these tests."""
    paths = sorted((repository / "tests").rglob("test_*.py"))
    return [str(path.relative_to(repository)) for path in paths if "pytest.mark.alone" in path.read_text()]


def shares(repository: Path) -> list[list[str]]:
    """The files of the end-to-end tests in parts that take about as long; those of the evidence are in none.

    The first has those that need a cluster of their own.
    """
    paths = (path.relative_to(repository) for path in (repository / _END_TO_END).rglob("test_*.py"))
    seconds = {str(path): seconds_of(path) for path in paths if str(path) not in _EVIDENCE}
    first = [f"{_END_TO_END}/{name}.py" for name in _WHOLE_CLUSTER]
    parts: list[list[str]] = [first, *([] for _ in range(_SHARES - 1))]
    for name in sorted(seconds.keys() - {*first}, key=lambda name: (-seconds[name], name)):
        min(parts, key=lambda part: sum(seconds[each] for each in part)).append(name)
    return [sorted(part) for part in parts]


def seconds_of(file: Path) -> int:
    """How long the tests of a file take, about."""
    name = str(file.relative_to(_END_TO_END).with_suffix(""))
    return _LONG_SECONDS.get(name, _USUAL_SECONDS)
