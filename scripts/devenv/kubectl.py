"""Finds a kubectl of the server's version."""

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.devenv.places import DevelopmentProblem

MINIMUM = (1, 37)


def find_kubectl() -> Path:
    """The first kubectl that is at least MINIMUM: of KUBEBUILDER_ASSETS, of PATH, else of this Python environment."""
    ours = Path(sys.executable).parent
    folders = [os.environ.get("KUBEBUILDER_ASSETS", ""), *os.environ.get("PATH", "").split(os.pathsep)]
    others = [Path(folder) for folder in folders if folder and Path(folder) != ours]
    for folder in [*others, ours]:
        candidate = folder / "kubectl"
        if os.access(candidate, os.X_OK) and _version(candidate) >= MINIMUM:
            return candidate
    raise DevelopmentProblem(
        f"no kubectl {MINIMUM[0]}.{MINIMUM[1]} or newer was found: start this through scripts/, which install one"
    )


def _version(kubectl: Path) -> tuple[int, int]:
    command: list[str | Path] = [kubectl, "version", "--client", "-o", "json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    try:
        client = json.loads(found.stdout)["clientVersion"]
        return int(client["major"]), int(client["minor"].rstrip("+"))
    except (ValueError, KeyError):
        return 0, 0
