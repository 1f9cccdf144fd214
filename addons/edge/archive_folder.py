"""A state folder made of what is read from an archive. Names come from a bucket, and can lead nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock

from addons.core.archive.part import File


class NewFolder:
    """Writes files below a folder that is new or empty, readable for its owner alone. For several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: name a new folder")
        self._folder = folder
        self._lock = Lock()
        self._begun: set[str] = set()
        for name in ("audit", "sessions"):
            (folder / name).mkdir(mode=0o700)

    def write(self, file: File, offset: int, data: bytes) -> None:
        """Bytes of a file; where some before them are missing, there is a line of zeros. Raises OSError."""
        path = self._folder / file.restored
        with self._lock:
            new = file.restored not in self._begun
            self._begun.add(file.restored)
            path.parent.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if new else 0)
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            if opened.seek(0, os.SEEK_END) < offset:
                opened.seek(offset - 1)
                opened.write(b"\n")
            opened.seek(offset)
            opened.write(data)
