"""Flow control when what is passed on is shorter or longer than what came.

The rule: a sender may have as much in flight as its receiver still takes. What was masked away is therefore given back
to the sender at once, and what masking added waits until the receiver has room. Go's peers have no flow control: they
send without asking, and an update that reaches one as it closes resets the connection under its last data. So a sender
is told nothing before either end has shown that it keeps count, and nothing waits before its receiver has.
Draft 3.1, section 2.6.8.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from addons.core.spdy.frames import Data, WindowUpdate
from addons.core.violation import Violation

INITIAL_WINDOW = 64 * 1024
MAX_WINDOW = 0x7FFFFFFF
MAX_WAITING = 1024 * 1024
"""Bytes that wait for a receiver. A sender that keeps to its window cannot come near."""
SESSION = 0


class WindowOverflow(Violation):
    """A window granted beyond 2^31 - 1 bytes, or not kept to by far."""


class _Window:
    """`left` is what the receiver still takes, `told` what the sender believes that to be; `waiting` is to be sent."""

    __slots__ = ("left", "told", "waiting")

    def __init__(self, size: int) -> None:
        self.left = self.told = size
        self.waiting = 0

    def widen(self, delta: int) -> None:
        self.left += delta
        if self.left > MAX_WINDOW:
            raise WindowOverflow("a window larger than 2^31 - 1 bytes")

    def credit(self) -> int:
        """What the sender is told now, 0 for nothing: a window can be widened, and never narrowed."""
        more = max(0, self.left - self.waiting - self.told)
        self.told += more
        return more


class Windows:
    """All data in one direction: of each stream that may still carry some, and of the session as a whole."""

    def __init__(self) -> None:
        self._initial = INITIAL_WINDOW
        self._session = _Window(INITIAL_WINDOW)
        self._streams: dict[int, _Window] = {}
        self._waiting: deque[Data] = deque()
        self._kept = self._told = False

    def keep(self) -> None:
        """One of the ends keeps count."""
        self._told = True

    def open(self, stream: int) -> None:
        """A stream begins."""
        self._streams[stream] = _Window(self._initial)

    def close(self, stream: int) -> None:
        """A stream was reset: what waits for it is for nobody."""
        self._streams.pop(stream, None)
        self._session.waiting -= sum(len(made.data) for made in self._waiting if made.stream == stream)
        self._waiting = deque(made for made in self._waiting if made.stream != stream)

    def announce(self, size: int) -> None:
        """The receiver changed the initial window, that of open streams too; the sender reads the same announcement."""
        self._kept = self._told = True
        for window in self._streams.values():
            window.widen(size - self._initial)
            window.told += size - self._initial
        self._initial = size

    def grant(self, stream: int, delta: int) -> Iterator[Data | WindowUpdate]:
        """The receiver takes `delta` bytes more: what may be sent now, and what the sender is told."""
        self._kept = self._told = True
        window = self._session if stream == SESSION else self._streams.get(stream)
        if window is not None:
            window.widen(delta)
        yield from self._ready(stream)

    def passed(self, size: int, made: Data) -> Iterator[Data | WindowUpdate]:
        """`size` bytes came and became `made`: what may be sent now, and what the sender is told."""
        window = self._streams[made.stream]
        for each in (window, self._session):
            each.told -= size
            each.waiting += len(made.data)
        if self._kept and self._session.waiting > MAX_WAITING:
            raise WindowOverflow("more data than its receiver takes")
        self._waiting.append(made)
        yield from self._ready(made.stream)

    def dropped(self, size: int) -> Iterator[Data | WindowUpdate]:
        """`size` bytes came for a stream that is gone: the session's window is not theirs to keep."""
        self._session.told -= size
        yield from self._ready(SESSION)

    def _ready(self, stream: int) -> Iterator[Data | WindowUpdate]:
        held: deque[Data] = deque()
        blocked: set[int] = set()
        for made in self._waiting:
            sent, rest = (None, made) if made.stream in blocked else _split(made, self._room(made))
            if sent is not None:
                self._sent(sent)
                yield sent
            if rest is not None:
                blocked.add(made.stream)
                held.append(rest)
        self._waiting = held
        if not self._told:
            return
        if more := self._session.credit():
            yield WindowUpdate(SESSION, more)
        if stream in self._streams and (more := self._streams[stream].credit()):
            yield WindowUpdate(stream, more)

    def _room(self, made: Data) -> int:
        if not self._kept:
            return len(made.data)
        return max(0, min(self._session.left, self._streams[made.stream].left))

    def _sent(self, sent: Data) -> None:
        for window in (self._streams[sent.stream], self._session):
            window.left -= len(sent.data)
            window.waiting -= len(sent.data)
        if sent.fin:
            del self._streams[sent.stream]


def _split(made: Data, room: int) -> tuple[Data | None, Data | None]:
    """What there is room for, and the rest. What carries nothing but the end of a stream needs no room."""
    if room >= len(made.data):
        return made, None
    rest = Data(made.stream, made.data[room:], made.fin)
    return (Data(made.stream, made.data[:room]) if room else None), rest
