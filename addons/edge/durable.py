"""Folders and appended files that are still there, and whole, after a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROBE_BYTES = 4096


@dataclass(slots=True)
class Folder:
    """A folder that is made, with what describes it, before anything is written to a file in it."""

    path: Path
    description: bytes
    written: int = 0
    """Bytes of audit events that this process gave to it since somebody looked whether it is full."""


def make_folder(path: Path, description: bytes) -> None:
    """A folder only we can read, with `session.json` in it, all of it on disk. Safe when several processes do it."""
    if not (path / "session.json").exists():
        for folder in (path.parent.parent, path.parent, path):  # `parents=True` would give the mode to the last alone
            folder.mkdir(exist_ok=True, mode=0o700)
        partial = path / f".session.json.{os.getpid()}.{threading.get_ident()}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            append(descriptor, description)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.rename(path / "session.json")
        for folder in (path, path.parent, path.parent.parent):
            sync_folder(folder)


def make_once(file: Path, content: bytes) -> bool:
    """A file that only we can read, on disk, whole or not at all; False if there is one already, whoever made it.

    Of processes that do it at once, one is first. What is there is never written over, nor is a link followed to
    somewhere else. Raises OSError.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 0600, whatever the umask
    try:
        try:
            append(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(name, file)
    except FileExistsError:
        return False
    finally:
        Path(name).unlink()
    sync_folder(file.parent)
    return True


def try_to_write(folder: Path) -> None:
    """Returns if a block can be put on disk in this folder, which is made if need be; nothing of it stays."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f".probe.{os.getpid()}"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        append(descriptor, b"\0" * _PROBE_BYTES)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
        file.unlink(missing_ok=True)


@contextmanager
def locked_end(descriptor: int) -> Iterator[tuple[int, bool]]:
    """The end of a file that other processes append to, too, while they cannot; True if its last line is torn.

    Raises OSError if the file was removed meanwhile.
    """
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        status = os.fstat(descriptor)
        if not status.st_nlink:
            raise OSError(errno.ESTALE, "the file was removed")
        size = status.st_size
        yield size, size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def append_lines(descriptor: int, data: bytes) -> None:
    """As `append`, to a file that other processes append to: locked, and a torn last line (of a killed one) ended."""
    with locked_end(descriptor) as (_, torn):
        append(descriptor, b"\n" + data if torn else data)


def append(descriptor: int, data: bytes) -> None:
    """All of `data` or nothing."""
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, data) != len(data):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def replace_file(file: Path, content: bytes) -> None:
    """A file only we can read: readers see all of the old content or all of the new. Not synced."""
    partial = file.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as new:
        new.write(content)
    partial.rename(file)


def sync_folder(path: Path) -> None:
    """The names in a folder are on disk, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
