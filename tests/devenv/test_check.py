"""The check itself: a stage that fails fails it, whatever runs beside it, and every output is shown."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.devenv import check, check_room, check_stages, cluster, components
from scripts.devenv.check_stages import Stage
from scripts.devenv.places import REPOSITORY


def python(name: str, code: str) -> Stage:
    return Stage(name, [sys.executable, "-c", code])


EVIDENCE = ("tests/e2e/test_evidence_audit.py", "tests/e2e/test_evidence_files.py")
FINE = python("fine", "print('fine [ 50%]')")
BAD = python("bad", "print('bad words'); raise SystemExit(3)")
LATER = python("later", "import time; time.sleep(2); print('later words')")
ENDLESS = python("endless", "import time; print('[ 7%]', flush=True); time.sleep(600)")


@pytest.mark.parametrize(
    ("stages", "code", "summary"),
    [
        ([[FINE], [FINE, FINE]], 0, ["fine ok", "fine ok", "fine ok"]),
        ([[BAD], [FINE]], 3, ["bad FAILED (exit 3)", "stopped here"]),
        ([[FINE, BAD], [FINE]], 3, ["fine ok", "bad FAILED (exit 3)", "stopped here"]),
        ([[FINE, FINE, FINE]], 0, ["fine ok", "fine ok", "fine ok"]),
        ([[FINE, FINE, BAD], [FINE]], 3, ["fine ok", "fine ok", "bad FAILED (exit 3)", "stopped here"]),
        ([[BAD, *[LATER] * (check_room.runners() - 1), FINE]], 3, ["bad FAILED (exit 3)", "later ok", "stopped here"]),
    ],
    ids=[
        "all fine",
        "one alone fails",
        "one of two fails",
        "three of them",
        "the last of them fails",
        "none is begun after a failure",
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
    assert ("bad words" in output) == (code != 0) == output.endswith("bad words\n"), "what failed is shown last"


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
    *_, (alone, *together) = check_stages.stages(100, [])
    assert {"-m", "alone", "tests/devenv/test_bench.py", "tests/test_limits.py"} < {*alone.command}
    assert [stage.name for stage in (alone, *together) if stage.measures] == ["tests of time"]
    yielding = {"tests of the core", "properties of the core", "tests of the console"}
    assert {stage.name for stage in together if stage.yields} <= yielding
    parts = {stage.name: stage.command for stage in together}
    core, steps = parts.pop("tests of the core"), parts.pop("tests of steps")
    assert {"tests/core", "slipcover", "--branch", "addons/core", "100", "not hypothesis"} < {*core}
    assert {"hypothesis", "tests/core"} < {*parts.pop("properties of the core")}
    in_browser = parts.pop("tests in a browser")
    assert "not alone" in in_browser
    ignored = [word for word in parts["tests of the console"] if word.startswith("--ignore=")]
    assert ignored == [f"--ignore={word}" for word in in_browser if word.startswith("tests/")]
    folders = {"tests/core": 1, "tests/e2e": 1, "tests/console": 0}
    for name in [name for name in parts if not name.startswith("end-to-end")]:
        command = parts.pop(name)
        assert "not alone" in command
        folders |= Counter(word for word in command if word.startswith("tests/"))
    assert {"tests", "not alone"} < {*steps}
    assert [word for word in steps if word.startswith("--ignore=")] == [f"--ignore={folder}" for folder in folders]
    with_tests = {file.relative_to(REPOSITORY).parts[1] for file in (REPOSITORY / "tests").glob("*/**/test_*.py")}
    assert {f"tests/{name}" for name in with_tests} == folders.keys()
    run = Counter(word for command in parts.values() for word in command if word.startswith("tests/"))
    files = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "tests" / "e2e").rglob("test_*.py")}
    assert run.keys() == files
    assert {file for file, times in run.items() if times != 1} == set(EVIDENCE)
    assert [run[file] for file in EVIDENCE] == [len(parts)] * 2, "each part's own"


SIGN = """
def sign(number: int) -> int:
    if number:
        number = 1
    return number
"""


@pytest.mark.parametrize(
    ("asserted", "code", "said"),
    [
        ("sign(0) == 0 and sign(5) == 1", 0, "1 passed"),
        ("sign(5) == 1", 2, "3->5"),
        ("sign(0) == 0 and sign(5) == 5", 1, "1 failed"),
    ],
    ids=["all of it", "not a branch", "a failure"],
)
def test_the_core_is_covered_to_the_last_branch(asserted: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "addons" / "core").mkdir(parents=True)
    (tmp_path / "addons" / "core" / "sign.py").write_text(SIGN)
    test = f"from addons.core.sign import sign\n\ndef test_it():\n    assert {asserted}\n"
    (tmp_path / "test_sign.py").write_text(test)
    *_, [stage] = check_stages.stages(100, ["test_sign.py"])
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(stage.command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout) == (code, True), done.stdout + done.stderr


def test_a_plugin_is_where_its_tests_are() -> None:
    *_, together = check_stages.stages(100, [])
    assert [stage.name for stage in together if "-pno:schemathesis" not in stage.command] == ["tests of the console"]
    users = [file for file in (REPOSITORY / "tests").rglob("*.py") if "import schemathesis" in file.read_text()]
    assert {file.relative_to(REPOSITORY).parts[1] for file in users} == {"console", "devenv"}  # the latter is this file


def test_the_shares_take_about_as_long() -> None:
    seconds = [sum(check_stages.seconds_of(Path(file)) for file in share) for share in check_stages.shares(REPOSITORY)]
    assert max(seconds) < 1.1 * min(seconds)


def test_all_stages_share_a_cluster_but_one(tmp_path: Path) -> None:
    *first, together = check_stages.stages(100, [])
    room = check_room.Room(cluster=tmp_path)
    alone = [each for each in together if cluster.SHARED not in room.env(each)]
    assert [each.name for each in alone] == ["end-to-end tests 1"]
    assert {f"tests/e2e/test_{name}.py" for name in ("aggregated", "discovery", "reading")} < {*alone[0].tests}
    assert {room.env(each)[cluster.SHARED] for stages in first for each in stages} == {str(tmp_path)}
    assert len(together) < len(components.ACCOUNTS), "each part has roles of its own"


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="processes can only yield on Linux")
def test_beside_what_is_measured_runs_only_what_yields(capfd: pytest.CaptureFixture[str]) -> None:
    def told(name: str, seconds: float) -> Stage:
        return python(name, f"import os, time; time.sleep({seconds}); print('{name}', os.sched_getscheduler(0))")

    beside = [replace(told("brief", 0.5), yields=True), replace(told("long", 3), yields=True), told("other", 0)]
    assert check.run([[replace(told("measured", 1.5), measures=True), *beside]]) == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed == [f"brief {os.SCHED_IDLE}", "measured 0", "other 0", "long 0"]


def test_the_cluster_ends_with_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Path] = []
    monkeypatch.setattr(cluster, "stop", ended.append)
    monkeypatch.setattr(check_room, "MEMORY", tmp_path)
    monkeypatch.setattr(check_room, "ROOM_BYTES", 0)
    room = check_room.made()
    assert (room.folder, room.cluster) == (next(tmp_path.iterdir()), next(tmp_path.glob("*/*")))
    room.leave(tidy=False)
    assert (ended, room.cluster is not None and room.cluster.is_dir()) == ([room.cluster], True)
    room.leave(tidy=True)
    assert list(tmp_path.iterdir()) == []


def test_what_tests_write_goes_where_they_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = python("told", "import tempfile; print(tempfile.gettempdir())")
    assert check.run([[told], [told, told]], check_room.Room(tmp_path)) == 0
    assert capfd.readouterr().out.split() == [str(tmp_path)] * 3
    assert check.run([[replace(told, measures=True)]], check_room.Room(tmp_path)) == 0
    assert capfd.readouterr().out.split() == [tempfile.gettempdir()]


def test_memory_is_used_only_where_there_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not check_room.has_room(tmp_path / "nowhere")
    monkeypatch.setattr(check_room, "ROOM_BYTES", 1 << 60)
    assert not check_room.has_room(tmp_path)


@pytest.mark.parametrize(("gib", "expected"), [(None, 8), (24, 8), (6, 6), (1, 2)])
def test_as_many_run_as_there_is_memory_for(gib: float | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_room, "available_bytes", lambda: None if gib is None else int(gib * 2**30))
    assert check_room.runners() == expected


def test_what_a_check_left_in_memory_is_removed_by_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(check_room, "ROOM_BYTES", 0)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    left, others, running = (
        tmp_path / name for name in (f"check-{ended.pid}-a", "check-book-a", f"check-{os.getpid()}-a")
    )
    for each in (left, others, running):
        (each / "pytest").mkdir(parents=True)
    new = check_room.folder_in(tmp_path)
    assert new is not None and new.is_dir()
    assert {*tmp_path.iterdir()} == {others, running, new}


def test_with_arguments_pytest_runs_once() -> None:
    (only,) = check_stages.stages(100, ["-k", "one"])[-1]
    assert only.command[-2:] == ["-k", "one"]
