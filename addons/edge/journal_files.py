"""The files of a journal: kept open, a few hundred at most, and made with their folder when they are first written."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from addons.edge.durable import Folder, make_folder, sync_folder

MAX_OPEN_FILES = 256


class Files:
    """For one thread. Everything here raises OSError; after that, `forget` the file."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, int] = OrderedDict()

    def open(self, path: Path, folder: Folder) -> int:
        """A descriptor of a file in `folder`, to append to; not to be closed."""
        if (descriptor := self._open.get(path)) is not None:
            self._open.move_to_end(path)
            return descriptor
        make_folder(folder.path, folder.description)
        existed = path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._open[path] = descriptor
        if not existed:
            sync_folder(folder.path)
        if len(self._open) > MAX_OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def forget(self, path: Path) -> None:
        """After a failure the file is opened anew: the kernel reports a failed sync to a descriptor only once."""
        if (descriptor := self._open.pop(path, None)) is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Closes all."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
