"""Where the development environment keeps things, per the XDG base directory specification."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEVENV = Path(__file__).resolve().parent
CONFIG = DEVENV / "config"


class DevelopmentProblem(RuntimeError):
    """The environment cannot be had on this machine; the message is one sentence and says what to do."""


def cache() -> Path:
    """The folder for what can be fetched or built again: binaries, Go, the Python environment."""
    return _base("XDG_CACHE_HOME", ".cache") / "chaperone"


def default_state() -> Path:
    """The folder of the one cluster that a person starts without naming a folder."""
    return _base("XDG_STATE_HOME", ".local/state") / "chaperone" / "cluster"


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # "All paths set in these environment variables must be absolute": a relative one is to be ignored.
    return Path(value) if value.startswith("/") else Path.home() / default


def move_in(made: Path, home: Path) -> None:
    """A folder that is whole takes its place in the cache, unless somebody else has been quicker to make the same."""
    try:
        made.rename(home)
    except OSError:
        if not home.exists():
            raise
