"""A cast as what to print and how long to wait before: the reading side of `core/cast.py`.

Recorded output may hold anything a command printed. Unless it is asked for raw, nothing in it reaches the terminal but
text, tabs and line ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from addons.core.printable import printable_lines
from addons.core.typed import LineReader

MAX_WAIT_SECONDS = 3.0


def playback(lines: Iterable[str], raw: bool, speed: float = 1.0) -> Iterator[tuple[float, str]]:
    """Pairs of seconds to wait and text to print; `speed` 0 waits for nothing. Raises ValueError for other files."""
    events = iter(lines)
    header = json.loads(next(events, "null"))
    if not isinstance(header, dict) or header.get("version") != 3:
        raise ValueError("this is not an asciicast of version 3")
    for line in events:
        if line.startswith("#") or not line.strip():
            continue
        try:
            interval, code, text = json.loads(line)
        except ValueError:
            return  # torn by a crash: nothing follows
        wait = min(interval / speed, MAX_WAIT_SECONDS) if speed > 0 else 0.0
        yield wait, shown(code, text, raw)


def typed_lines(lines: Iterable[str]) -> list[str]:
    """What was typed, line by line, as far as it can be told from the keys. Raises ValueError for other files."""
    events = iter(lines)
    header = json.loads(next(events, "null"))
    if not isinstance(header, dict):
        raise ValueError("this is not an asciicast of version 3")
    reader = LineReader("tty" in header.get("tags", ()))
    typed: list[str] = []
    for line in events:
        try:
            _, code, text = json.loads(line)
        except ValueError:
            break  # torn by a crash
        if code == "i":
            typed += reader.feed(text.encode("utf-8", "replace"))
    return typed + reader.feed(b"", ends=True)


def shown(code: str, text: str, raw: bool) -> str:
    """What is printed of an event, "" for nothing; unless `raw`, it is safe."""
    if code == "o":
        return text if raw else printable_lines(text.replace("\r\n", "\n"))
    if code == "x":
        return f"\n[exit status {printable_lines(text)}]\n"
    return f"\n[{printable_lines(text)}]\n" if code == "m" else ""
