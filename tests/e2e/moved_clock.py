"""A gateway whose clock for durations can be put forward: what it does after minutes is seen at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.devenv.places import REPOSITORY
from scripts.devenv.state import write_atomically

_MODULE = """
import time

_monotonic = time.monotonic


def monotonic():
    with open({file!r}) as ahead:
        return _monotonic() + float(ahead.read())


time.monotonic = monotonic
"""
"""A module that Python loads first of all."""


@dataclass(frozen=True, slots=True)
class MovedClock:
    """Of the gateways that are started with `env`; times of day stay what they are."""

    folder: Path

    def __post_init__(self) -> None:
        """Not moved yet."""
        (self.folder / "sitecustomize.py").write_text(_MODULE.format(file=str(self._file)))
        write_atomically(self._file, 0)

    @property
    def env(self) -> Mapping[str, str]:
        """For the process of a gateway."""
        return {"PYTHONPATH": f"{self.folder}:{REPOSITORY}"}

    def forward(self, seconds: float) -> None:
        """From now on it is that much later."""
        write_atomically(self._file, float(self._file.read_text()) + seconds)

    @property
    def _file(self) -> Path:
        return self.folder / "ahead"
