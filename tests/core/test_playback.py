"""Replaying a cast."""

from __future__ import annotations

import json

import pytest

from addons.core.playback import MAX_WAIT_SECONDS, playback, typed_lines

HEADER = json.dumps({"version": 3, "term": {"cols": 80, "rows": 24}})
EVENTS = [
    [0.5, "o", "$ \x1b[1mid\x1b[0m\r\n"],
    [1, "i", "secret typed"],
    [60, "o", "done\n"],
    [0, "r", "90x30"],
    [0, "m", "note\x1b"],
    [0, "x", "0"],
]
LINES = [HEADER, "# a comment", "", *map(json.dumps, EVENTS)]


def test_sanitised() -> None:
    assert [text for _, text in playback(LINES, raw=False)] == [
        "$ \\x1b[1mid\\x1b[0m\n", "", "done\n", "", "\n[note\\x1b]\n", "\n[exit status 0]\n",
    ]  # fmt: skip


def test_raw_is_what_was_printed() -> None:
    assert next(playback(LINES, raw=True))[1] == "$ \x1b[1mid\x1b[0m\r\n"


@pytest.mark.parametrize(("speed", "waits"), [(1, [0.5, 1, MAX_WAIT_SECONDS]), (2, [0.25, 0.5, 3.0]), (0, [0, 0, 0])])
def test_speed(speed: float, waits: list[float]) -> None:
    assert [wait for wait, _ in playback(LINES, raw=False, speed=speed)][:3] == waits


def test_a_torn_end() -> None:
    assert len([*playback([HEADER, json.dumps(EVENTS[0]), '[1, "o'], raw=False)]) == 1


@pytest.mark.parametrize("lines", [[], ['{"version": 2}'], ["[]"], ["no json"]])
def test_other_files(lines: list[str]) -> None:
    with pytest.raises(ValueError):
        next(playback(lines, raw=False))


def test_typed_lines() -> None:
    cast = ['{"version":3,"tags":["tty"]}', '[0,"i","lx\\u007fs\\r"]', '[0,"o","ls\\r\\n"]', '[0,"i","exit"]', '[0,"i"']
    assert typed_lines(cast) == typed_lines(cast[:-1]) == ["ls", "exit"]
    with pytest.raises(ValueError, match="asciicast"):
        typed_lines([])
