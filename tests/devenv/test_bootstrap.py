"""bootstrap.sh finds, or refuses, the interpreters that it should."""

import os
import subprocess
from pathlib import Path

from scripts.devenv.places import REPOSITORY

SOURCE = f'source "{REPOSITORY}/scripts/bootstrap.sh"'


def bootstrap(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f"{SOURCE}; {script}"]
    whole = {**os.environ, **env}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=whole)


def test_an_environment_that_is_there_is_used_at_once_from_any_folder(tmp_path: Path) -> None:
    done = bootstrap('echo "$PYTHON"; "$PYTHON" -c "import addons, mitmproxy"', tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert Path(done.stdout.strip()).parent.name == "bin"


def test_modules_of_the_callers_folder_are_not_imported(tmp_path: Path) -> None:
    (tmp_path / "addons.py").write_text("raise SystemExit('not ours')")
    assert bootstrap('"$PYTHON" -c "import addons"', tmp_path).returncode == 0


def test_an_interpreter_that_exists_but_fails_is_passed_over(tmp_path: Path) -> None:
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert "refused" in bootstrap(f"python_version {shim} || echo refused", tmp_path).stdout


def test_an_interpreter_that_was_named_and_does_not_work_is_one_clear_sentence(tmp_path: Path) -> None:
    done = bootstrap("true", tmp_path, CHAPERONE_PYTHON="/nonexistent/python", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("chaperone: error: no working Python 3.12 or newer was found; install one")
    assert done.stderr.count("\n") == 1


def test_no_uv_and_no_way_to_get_one_is_one_clear_sentence(tmp_path: Path) -> None:
    script = "install_uv() { return 1; }; PATH=/usr/bin:/bin; uv() { return 1; }; find_uv"
    done = bootstrap(f"CHAPERONE_CACHE={tmp_path}; {script}", tmp_path)
    assert done.returncode == 1
    assert "install uv, or pip or venv for python3 (Debian: apt-get install python3-venv)" in done.stderr
