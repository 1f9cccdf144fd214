"""What a demo has made, written down, and how all of that goes again.

The record is written before the things themselves are made, so that `take_down` finds them: at the end, after Ctrl-C,
after a crash, or when somebody calls it days later.
"""

import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.devenv import cluster as lifecycle
from scripts.devenv import processes
from scripts.devenv.gateway_env import load_gateway, stop_gateway
from scripts.devenv.places import DevelopmentProblem
from scripts.devenv.state import recorded_children, write_atomically

RECORD = "demo.json"
LOCK = ".lock"
_OURS = {"cluster", "gateway", "oidc", "cluster-ca.pem", LOCK, RECORD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """kubectl past the gateway, as the person who owns the cluster."""

    kubectl: str
    kubeconfig: str
    context: str = ""
    cache: str = ""
    """A folder for what kubectl learns about the cluster; the usual one if empty."""

    def attempt(
        self, *arguments: str, stdin: str | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """What kubectl says, whatever it is."""
        context = [f"--context={self.context}"] if self.context else []
        cache = [f"--cache-dir={self.cache}"] if self.cache else []
        return subprocess.run(
            [self.kubectl, f"--kubeconfig={self.kubeconfig}", *context, *cache, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Its standard output; raises DevelopmentProblem with what it said if it fails."""
        done = self.attempt(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode != 0:
            said = " ".join(done.stderr.split())
            raise DevelopmentProblem(f"the cluster's administrator cannot `kubectl {' '.join(arguments[:3])}`: {said}")
        return done.stdout


def require_ours(folder: Path) -> None:
    """Nothing for a demo's folder, or an empty one; raises DevelopmentProblem for a folder that holds other files."""
    if others := sorted({path.name for path in folder.iterdir()} - _OURS):
        raise DevelopmentProblem(f"{folder} holds other files ({others[0]}): name an empty or new folder with --state")


def take_down(folder: Path) -> list[str]:
    """Ends and deletes whatever `set_up` made there, and says what; evidence and logs stay.

    Deletes only what the record names, and ends only processes that were started for this folder.
    """
    record = _read_record(folder)
    issuer = [child for child in recorded_children(folder / "oidc") if processes.is_running(child)]
    ended = {
        "gateway": stop_gateway(folder / "gateway"),
        "cluster": (folder / "cluster").exists() and lifecycle.stop(folder / "cluster"),
        "identity provider": bool(issuer),
    }
    processes.stop(issuer)
    for file in [*map(Path, record.get("files", [])), *_with_tokens(folder)]:
        file.unlink(missing_ok=True)
    done = [f"{name} stopped" for name, was_running in ended.items() if was_running]
    if record.get("own"):
        admin = Administrator(**record["admin"])
        gone = admin.attempt("delete", "namespace", record["namespace"], "--ignore-not-found", "--wait=false")
        if gone.returncode != 0:
            said = " ".join(gone.stderr.split())
            raise DevelopmentProblem(f"namespace {record['namespace']} could not be deleted, please do it: {said}")
        done.append(f"namespace {record['namespace']} deleted")
    (folder / RECORD).unlink(missing_ok=True)
    return done


def keep(folder: Path) -> None:
    """Marks what is there as left running on purpose."""
    write_record(folder, kept=True)


def kept_record(folder: Path) -> dict[str, Any]:
    """What was written down of a demo that was left running on purpose and still does; nothing, if there is none."""
    record = _read_record(folder)
    return record if record.get("kept") and load_gateway(folder / "gateway") else {}


def remember_file(folder: Path, file: Path) -> None:
    """Has `take_down` remove a file that holds tokens."""
    files = _read_record(folder).get("files", [])
    write_record(folder, files=sorted({*files, str(file)}))


def _with_tokens(folder: Path) -> list[Path]:
    return [*folder.glob("gateway/*.kubeconfig"), *folder.glob("gateway/*.token")]


def write_record(folder: Path, **values: object) -> None:
    """Adds to the record; written at once and as a whole."""
    write_atomically(folder / RECORD, {**_read_record(folder), **values})


def _read_record(folder: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError):
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
        return record
    return {}
