"""Lines of a log that another process goes on writing."""

from __future__ import annotations

from pathlib import Path


def lines_since(log: Path, mark: int) -> list[bytes]:
    """The whole lines that were begun after the file had the size `mark`.

    A file may be looked at in the middle of a line: the one that was being written at the mark is left out, and so is
    the one that is being written now.
    """
    with log.open("rb") as opened:
        opened.seek(max(0, mark - 1))
        lines = opened.read().split(b"\n")[:-1]
    return lines[1:] if mark else lines
