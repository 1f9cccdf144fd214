"""A recorded terminal as plain text: what was typed, what was printed, and when, for pages without a player."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from addons.core.playback import shown
from addons.core.typed import LineReader


def told(lines: Iterable[str], tty: bool, seconds: float = 0.0) -> Iterator[tuple[str, str, float]]:
    """What kind of text comes, the text, safe to show, and its time, from some line of a cast on, not its first.

    Kinds are `typed`, line by line as far as the keys tell, `printed`, and `note`.
    """
    keys = LineReader(tty)
    for line in lines:
        try:
            interval, code, text = json.loads(line)
            seconds += interval
        except (ValueError, TypeError):
            continue
        if code == "i":
            for typed in keys.feed(str(text).encode("utf-8", "replace")):
                yield "typed", shown("o", typed, raw=False), seconds
        elif found := shown(str(code), str(text), raw=False):
            yield "printed" if code == "o" else "note", found, seconds
