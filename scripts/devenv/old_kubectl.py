"""A kubectl that speaks SPDY and nothing else: 1.20, of Debian's package, unpacked into the cache, never installed."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.devenv.places import DevelopmentProblem, cache, move_in

PACKAGE = "kubernetes-client"
VERSION = "1.20"
_SECONDS = 120.0
_WANTED = f"tests with an old client need kubectl {VERSION} of Debian's package {PACKAGE}"


def find_old_kubectl() -> Path:
    """The command, downloaded by apt when the cache lacks it. Raises DevelopmentProblem where there is no apt."""
    home = cache() / f"kubectl-{VERSION}"
    command = home / "usr" / "bin" / "kubectl"
    if not command.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise DevelopmentProblem(f"{_WANTED}, and this system has no apt-get and dpkg-deb: run them on Debian 12")
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as folder:
            unpacked = Path(folder) / "unpacked"
            _run(["dpkg-deb", "-x", str(_download(Path(folder))), str(unpacked)], Path(folder))
            _check(unpacked / "usr" / "bin" / "kubectl")
            move_in(unpacked, home)
    return command


def _download(folder: Path) -> Path:
    """The package. Lists of packages that are missing are fetched into this folder: nothing of the system changes."""
    lists = folder / "lists"
    for options in ([], ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={folder}"]):
        if options:
            (lists / "partial").mkdir(parents=True)
            _run(["apt-get", *options, "update"], folder)
        done = subprocess.run(
            ["apt-get", *options, "download", PACKAGE], cwd=folder, capture_output=True, text=True, check=False,
            timeout=_SECONDS,
        )  # fmt: skip
        if done.returncode == 0 and (found := [*folder.glob("*.deb")]):
            return found[0]
    raise DevelopmentProblem(f"{_WANTED}, and apt-get could not download it: {done.stderr.strip()[-300:]}")


def _check(command: Path) -> None:
    found = subprocess.run(
        [command, "version", "--client", "-o", "json"], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    client = json.loads(found.stdout or "{}").get("clientVersion", {})
    version = f"{client.get('major')}.{str(client.get('minor')).rstrip('+')}"
    if version != VERSION:
        raise DevelopmentProblem(f"{_WANTED}, and this system's is {version}: run them on Debian 12")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode != 0:
        raise DevelopmentProblem(f"{_WANTED}: {command[0]} failed: {done.stderr.strip()[-300:]}")
