"""Python's garbage collector: seldom while a process starts, as usual while it serves, not at all at its end."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from addons import garbage
from addons.cli import main


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_a_command_is_not_held_up(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gc.unfreeze()
    monkeypatch.setattr(sys, "argv", ["chaperone", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert capsys.readouterr().out
    assert gc.get_threshold()[0] == 100_000
    assert gc.get_freeze_count() > 10_000, "what is frozen is not looked at when the process ends"


def test_what_serves_collects_as_usual() -> None:
    garbage.look_seldom()
    gc.unfreeze()
    garbage.look_as_usual()
    assert gc.get_threshold()[0] < 10_000
    assert gc.get_freeze_count() > 10_000
