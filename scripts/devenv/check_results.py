"""What has passed already with the same files: a check does not run it again, as `go test` does not.

Of each stage that may be left out, the folder has a file whose name is the hash of all that the stage could depend on.
A stage that failed has none.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from scripts.devenv.check_stages import Stage

_SECONDS = 14 * 86_400.0
"""A result that nobody has asked for in this time is forgotten."""
_DOCUMENTS = re.compile(rb"""["'/]docs["'/]|\.md["']""")
"""Tests without such a path read no documentation, and do not depend on it; they may well speak of it."""
_SETTINGS = ("CHAPERONE_", "KUBEBUILDER_ASSETS")
"""How variables begin that say what is run, how much of it, and what is written."""


type Files = Mapping[str, bytes]
"""What is in the repository's files, by their names."""


class Results:
    """Of the checks of a repository, kept in a folder."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._repository, self._folder = repository, folder
        self._files = _files(repository)

    def passed(self, stage: Stage) -> bool:
        """Whether the stage has passed with the files that were here when this was made."""
        key = key_of(stage, self._files)
        if key is None or not (known := self._folder / key).exists():
            return False
        known.touch()
        return True

    def keep(self, stage: Stage) -> None:
        """The stage has passed. Remembered unless files have changed meanwhile; what is old is forgotten."""
        key = key_of(stage, self._files)
        if key is None or key != key_of(stage, _files(self._repository)):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / key).write_text(f"{stage.name}\n")
        for old in self._folder.iterdir():
            if time.time() - old.stat().st_mtime > _SECONDS:
                old.unlink(missing_ok=True)


def key_of(stage: Stage, files: Files) -> str | None:
    """A hash of all that the stage's outcome depends on; None where that cannot be told."""
    read = {name: data for name, data in files.items() if _counts(stage, name)}
    if not stage.tests or not read:
        return None
    tests = [data for name, data in read.items() if name.startswith("tests/")]
    if not any(map(_DOCUMENTS.search, tests)):
        read = {name: data for name, data in read.items() if not name.endswith(".md")}
    hashed = hashlib.sha256(repr(_beside(stage)).encode())
    for name, data in sorted(read.items()):
        hashed.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
    return hashed.hexdigest()


def _files(repository: Path) -> Files:
    """All that belong to the repository or could be added to it; none where git does not know."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\0")
    return {name: (repository / name).read_bytes() for name in listed if (repository / name).is_file()}


def _counts(stage: Stage, name: str) -> bool:
    """Everything but the tests that others run."""
    return stage.runs(name) or not (name.startswith("tests/") and Path(name).name.startswith("test_"))


def _beside(stage: Stage) -> tuple[object, ...]:
    """Beside the files, which say the versions of all packages and programs."""
    settings = sorted(each for each in os.environ.items() if each[0].startswith(_SETTINGS))
    return (stage.command, sys.version, settings, shutil.which("kubectl"))
