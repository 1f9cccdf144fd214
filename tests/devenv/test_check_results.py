"""What has passed is left out of the next check if nothing has changed that it could depend on, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.devenv import check, check_stages
from scripts.devenv.check_results import Results, key_of
from scripts.devenv.check_stages import Stage
from scripts.devenv.places import REPOSITORY

FILES = {
    "addons/one.py": "", "rules/a.yaml": "", "README.md": "", "docs/page.md": "", ".gitignore": "/state/",
    "tests/support/help.py": "", "tests/edge/test_edge.py": "", "tests/edge/conftest.py": "",
    "tests/core/test_core.py": "reads 'docs/page.md'", "tests/test_top.py": "see docs/page.md, above",
    "state/log": "",
}  # fmt: skip
FINE = [sys.executable, "-c", ""]
EDGE = Stage("edge", FINE, tests=["tests/edge"])
CORE = Stage("core", FINE, tests=["tests/core"])
TOP = Stage("top", FINE, tests=["tests"], elsewhere=["tests/edge", "tests/core"])
STAGES = [[EDGE, CORE, TOP]]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small one."""
    made = tmp_path / "repository"
    for name, text in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(made)], check=True)
    return made


@pytest.fixture
def results(repository: Path, tmp_path: Path) -> Callable[[], Results]:
    """As a new check finds them."""
    return lambda: Results(repository, tmp_path / "passed")


def to_run(results: Callable[[], Results]) -> set[str]:
    return {stage.name for together in check.without(results(), STAGES) for stage in together}


@pytest.mark.parametrize(
    ("changed", "run"),
    [
        (None, set()),
        ("state/log", set()),
        ("addons/one.py", {"edge", "core", "top"}),
        ("addons/new.py", {"edge", "core", "top"}),
        ("rules/a.yaml", {"edge", "core", "top"}),
        ("tests/support/help.py", {"edge", "core", "top"}),
        ("tests/edge/conftest.py", {"edge", "core", "top"}),
        ("tests/edge/test_edge.py", {"edge"}),
        ("tests/edge/test_new.py", {"edge"}),
        ("tests/test_top.py", {"top"}),
        ("tests/core/test_core.py", {"core"}),
        ("docs/page.md", {"core"}),
        ("README.md", {"core"}),
    ],
)
def test_a_change_brings_back_what_may_depend_on_it(
    changed: str | None, run: set[str], repository: Path, results: Callable[[], Results]
) -> None:
    assert to_run(results) == {"edge", "core", "top"}
    assert check.run(STAGES, results=results()) == 0
    if changed is not None:
        (repository / changed).write_text("changed")
    assert to_run(results) == run


def test_a_file_that_is_gone_is_a_change(repository: Path, results: Callable[[], Results]) -> None:
    check.run(STAGES, results=results())
    (repository / "rules/a.yaml").unlink()
    assert to_run(results) == {"edge", "core", "top"}


def test_a_document_counts_for_all_once_what_all_tests_share_reads_it(
    repository: Path, results: Callable[[], Results]
) -> None:
    (repository / "tests/support/help.py").write_text("open('docs/page.md')")
    check.run(STAGES, results=results())
    (repository / "docs/page.md").write_text("changed")
    assert to_run(results) == {"edge", "core", "top"}


def test_what_failed_is_run_again(repository: Path, results: Callable[[], Results]) -> None:
    bad = Stage("edge", [sys.executable, "-c", "raise SystemExit(1)"], tests=["tests/edge"])
    assert check.run([[bad, CORE]], results=results()) == 1
    left = check.without(results(), [[bad, CORE]])
    assert left == [[bad]]


def test_what_passed_while_files_changed_is_run_again(repository: Path, results: Callable[[], Results]) -> None:
    changes = f"open({str(repository / 'addons/one.py')!r}, 'w').write('changed')"
    changing = Stage("edge", [sys.executable, "-c", changes], tests=["tests/edge"])
    assert check.run([[changing]], results=results()) == 0
    assert check.without(results(), [[changing]]) == [[changing]]


@pytest.mark.parametrize("setting", ["KUBEBUILDER_ASSETS", "CHAPERONE_FUZZ_EXAMPLES"])
def test_another_command_or_setting_is_run_again(
    setting: str, results: Callable[[], Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    check.run([[EDGE]], results=results())
    assert results().passed(EDGE)
    assert not results().passed(Stage("edge", [*FINE, "--more"], tests=EDGE.tests))
    monkeypatch.setenv(setting, "other")
    assert not results().passed(EDGE)


def test_without_git_or_without_tests_everything_runs(tmp_path: Path, results: Callable[[], Results]) -> None:
    nowhere = Results(tmp_path / "nowhere", tmp_path / "passed")
    measures = Stage("measures", FINE)
    assert check.run([[EDGE]], results=nowhere) == check.run([[measures]], results=results()) == 0
    assert not nowhere.passed(EDGE)
    assert not results().passed(measures)


def test_results_that_nobody_asks_for_are_forgotten(tmp_path: Path, results: Callable[[], Results]) -> None:
    check.run(STAGES, results=results())
    for old in (tmp_path / "passed").iterdir():
        os.utime(old, (0, time.time() - 15 * 86_400))
    assert results().passed(EDGE), "and is as new from now on"
    check.run([[CORE]], results=results())
    assert to_run(results) == {"top"}


def test_what_has_run_before_is_told_and_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], repository: Path
) -> None:
    monkeypatch.setattr(check, "RESULTS", tmp_path / "passed")
    monkeypatch.setattr(check, "REPOSITORY", repository)
    monkeypatch.setattr(check, "stages", lambda *_: STAGES)
    monkeypatch.setattr(check, "_start_build", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    assert [_told(monkeypatch, capfd, *arguments) for arguments in ([], [], ["--again"])] == [3, 0, 3]
    monkeypatch.setenv("CI", "true")
    assert _told(monkeypatch, capfd) == 3


def _told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str) -> int:
    """How many stages a check ran. It says which it left out."""
    monkeypatch.setattr(sys, "argv", ["scripts/check", *arguments])
    assert check.main() == 0
    told = capfd.readouterr().err
    assert ("left out (--again runs them): core · edge · top" in told) == (" ok " not in told)
    return told.count(" ok ")


def test_what_measures_time_or_the_code_itself_always_runs() -> None:
    files = {str(path.relative_to(REPOSITORY)): b"" for path in (REPOSITORY / "tests").rglob("*.py")}
    always = [stage.name for each in check_stages.stages(100, []) for stage in each if key_of(stage, files) is None]
    assert always == ["ruff check", "ruff format", "mypy --strict", "cluster build", "tests of time"]
    (chosen,) = check_stages.stages(100, ["-k", "one"])[-1]
    assert key_of(chosen, files) is None
