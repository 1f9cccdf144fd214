"""What the demo says: headings, commands with what came back, and facts, each of which is checked before it is told.

Nothing is narrated on trust: `fact` is the only way to claim something, and a claim that does not hold ends in Differs.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

HEARTBEAT_SECONDS = 5.0
_STYLES = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36", "yellow": "33"}
_WIDTH = 200


class Differs(AssertionError):
    """Something is not as the demo tells it; the message names what, and what was there instead."""


class Narrator:
    """Writes to `stream`, in colours if that is a terminal of a person who has not asked for none (NO_COLOR)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self._terminal and not os.environ.get("NO_COLOR")
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self.facts = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def line(self, text: str = "", style: str = "") -> None:
        """One line, as it is."""
        self._write(f"{self._styled(text, style)}\n")

    def heading(self, text: str) -> None:
        """What comes next."""
        self.line()
        self.line(text, "bold")

    def command(self, who: str, text: str) -> None:
        """A command as somebody types it."""
        self._write(f"\n  {self._styled(f'{who} $', 'cyan')} {self._styled(text, 'bold')}\n")

    def output(self, text: str, whole: bool = False) -> None:
        """What came back; very long lines lose their middle, unless they are to be copied."""
        for each in text.rstrip("\n").splitlines() or ["(nothing)"]:
            self.line(f"    {each if whole else shortened(each)}")

    def why(self, text: str) -> None:
        """The reason, in one sentence."""
        self.line(f"  why: {text}", "yellow")

    def fact(self, true: bool, text: str, saw: object = "") -> None:
        """Tells something that was checked. Raises Differs, with what was seen, if it is not so."""
        if not true:
            self.line(f"  ✗ {text}", "red")
            raise Differs(f"{text}; instead: {_brief(saw)}" if saw != "" else text)
        self.facts += 1
        self.line(f"  ✓ {text}", "green")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Says what is being done, that it still is, and how long it took; on a terminal, on one line."""
        began, over = time.monotonic(), threading.Event()
        self._progress(f"  … {what}", "dim")
        beat = threading.Thread(target=self._beat, args=(what, began, over), daemon=True)
        beat.start()
        try:
            yield
        except BaseException:
            self._progress(f"  ✗ {what}\n", "red")
            raise
        finally:
            over.set()
            beat.join()
        self._progress(f"  ✓ {what}: {time.monotonic() - began:.1f} s\n", "green")

    def _beat(self, what: str, began: float, over: threading.Event) -> None:
        while not over.wait(1.0 if self._terminal else HEARTBEAT_SECONDS):
            self._progress(f"  … {what}: {time.monotonic() - began:.0f} s", "dim")

    def _progress(self, text: str, style: str) -> None:
        """On a terminal each replaces the one before, elsewhere each is a line."""
        self._write(f"\r\x1b[K{self._styled(text, style)}" if self._terminal else text.rstrip("\n") + "\n")

    def _write(self, text: str) -> None:
        """Goes on in silence when nobody reads any more: what was started must still be stopped."""
        with self._lock, suppress(BrokenPipeError):
            self._stream.write(text)
            self._stream.flush()

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._coloured and style else text


def shortened(text: str, width: int = _WIDTH) -> str:
    """`text` on one or two lines of a usual terminal; the middle goes, since both ends tell what it is."""
    if len(text) <= width:
        return text
    half = (width - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


def _brief(saw: object) -> str:
    text = " | ".join(str(saw).strip().splitlines()) or "nothing"
    return text if len(text) <= 600 else f"{text[:600]}…"
