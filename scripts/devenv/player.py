"""Fetches asciinema-player for the console's pages: into the cache, or, for a wheel or an image, into a folder.

python -m scripts.devenv.player [FOLDER]
"""

import shutil
import sys
from pathlib import Path

from scripts.devenv import npm
from scripts.devenv.places import DevelopmentProblem

PACKAGE = "asciinema-player"
FILES = ("dist/bundle/asciinema-player.min.js", "dist/bundle/asciinema-player.css", "LICENSE")
"""What pages load, and the terms under which it may be passed on."""


def fetch(folder: Path | None) -> Path:
    """Where it is. Raises DevelopmentProblem."""
    home = npm.package(PACKAGE)
    if folder is None:
        return home
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(home / name, folder)
    return folder


def main() -> int:
    """The exit status."""
    try:
        print(fetch(Path(sys.argv[1]) if sys.argv[1:] else None))
    except DevelopmentProblem as problem:
        print(f"chaperone: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
