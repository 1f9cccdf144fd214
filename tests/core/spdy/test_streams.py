"""What may happen on a stream, and flow control when lengths change (B-33)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.spdy import Data, Headers, ReusedStream, RstStream, Streams, SynReply, SynStream, UnknownStream
from addons.core.spdy.frames import WindowUpdate
from addons.core.spdy.streams import MAX_STREAMS, StreamFrame, TooManyStreams
from addons.core.spdy.windows import INITIAL_WINDOW, MAX_WAITING, WindowOverflow, Windows
from addons.core.violation import Violation

CLIENT, SERVER = True, False


@pytest.fixture
def streams() -> Streams:
    """Stream 1 is open and accepted."""
    streams = Streams()
    assert streams.passes(SynStream(1), CLIENT)
    assert streams.unaccepted == [1]
    assert streams.passes(SynReply(1), SERVER)
    assert streams.unaccepted == []
    return streams


@pytest.mark.parametrize(
    ("frame", "from_client", "violation"),
    [
        pytest.param(SynStream(1), CLIENT, ReusedStream, id="same-id"),
        pytest.param(SynStream(4), CLIENT, ReusedStream, id="a-servers-id"),
        pytest.param(SynStream(4), SERVER, ReusedStream, id="opened-by-the-server"),
        pytest.param(SynReply(1), SERVER, UnknownStream, id="second-reply"),
        pytest.param(SynReply(1), CLIENT, UnknownStream, id="reply-by-the-client"),
        pytest.param(SynReply(3), SERVER, UnknownStream, id="reply-to-none"),
        pytest.param(Data(3, b"x"), CLIENT, UnknownStream, id="data-on-none"),
        pytest.param(Data(2, b"x"), SERVER, UnknownStream, id="data-on-an-even-one"),
        pytest.param(RstStream(3, 1), CLIENT, UnknownStream, id="reset-of-none"),
        pytest.param(WindowUpdate(3, 1), CLIENT, UnknownStream, id="window-of-none"),
    ],
)
def test_violations(streams: Streams, frame: StreamFrame, from_client: bool, violation: type[Violation]) -> None:
    with pytest.raises(violation):
        streams.passes(frame, from_client)


def test_a_stream_ends_when_both_sides_have_said_so(streams: Streams) -> None:
    assert streams.passes(Data(1, b"last", True), CLIENT)
    assert not streams.passes(Data(1, b"more"), CLIENT)
    assert streams.passes(Data(1, b"answer"), SERVER)
    assert 1 in streams
    assert streams.passes(Headers(1, fin=True), SERVER)
    assert 1 not in streams
    assert not streams.passes(Data(1, b"more"), SERVER)
    assert not streams.passes(RstStream(1, 5), CLIENT)


def test_what_crosses_a_reset_goes_nowhere(streams: Streams) -> None:
    assert streams.passes(RstStream(1, 5), CLIENT)
    assert not streams.passes(Data(1, b"in flight"), SERVER)
    assert not streams.passes(WindowUpdate(1, 5), SERVER)
    with pytest.raises(ReusedStream):
        streams.passes(SynStream(1), CLIENT)


def test_windows_pass(streams: Streams) -> None:
    assert streams.passes(WindowUpdate(1, 5), CLIENT)


def test_a_stream_of_which_the_opener_says_nothing(streams: Streams) -> None:
    assert streams.passes(SynStream(3, fin=True), CLIENT)
    assert not streams.passes(Data(3, b"x"), CLIENT)
    assert streams.passes(SynReply(3, fin=True), SERVER)
    assert 3 not in streams


def test_streams_are_bounded() -> None:
    streams = Streams()
    for number in range(MAX_STREAMS):
        streams.passes(SynStream(2 * number + 1), CLIENT)
    with pytest.raises(TooManyStreams):
        streams.passes(SynStream(2 * MAX_STREAMS + 1), CLIENT)


def made(size: int, stream: int = 1, fin: bool = False) -> Data:
    return Data(stream, b"x" * size, fin)


def opened() -> Windows:
    windows = Windows()
    windows.open(1)
    windows.open(3)
    return windows


def test_what_was_masked_away_is_given_back() -> None:
    windows = opened()
    windows.keep()
    assert list(windows.passed(100, made(40))) == [made(40), WindowUpdate(0, 60), WindowUpdate(1, 60)]
    assert list(windows.grant(1, 40)) == [WindowUpdate(1, 40)]
    assert list(windows.grant(0, 40)) == [WindowUpdate(0, 40)]


def test_what_masking_added_is_not_asked_for_twice() -> None:
    windows = opened()
    assert list(windows.passed(40, made(100))) == [made(100)]
    assert list(windows.grant(1, 100)) == [WindowUpdate(1, 40)]


def test_peers_without_flow_control_are_never_made_to_wait_nor_told() -> None:
    windows = opened()
    assert list(windows.passed(100, made(40))) == [made(40)]
    assert list(windows.passed(3 * INITIAL_WINDOW, made(4 * INITIAL_WINDOW, fin=True))) == [
        made(4 * INITIAL_WINDOW, fin=True)
    ]


def test_a_receiver_that_keeps_count_is_never_overrun() -> None:
    windows = opened()
    assert list(windows.grant(1, 0)) == []
    assert list(windows.passed(INITIAL_WINDOW, made(INITIAL_WINDOW + 10))) == [made(INITIAL_WINDOW)]
    assert list(windows.passed(0, made(0, fin=True))) == []
    assert list(windows.passed(0, made(0, 3))) == [made(0, 3)]
    assert list(windows.grant(0, 100)) == [WindowUpdate(0, 90)]
    assert list(windows.grant(1, 100)) == [made(10), made(0, fin=True)]
    assert list(windows.grant(1, 100)) == []


def test_what_waits_for_a_stream_that_is_reset_is_for_nobody() -> None:
    windows = opened()
    assert list(windows.grant(0, 1000)) == [WindowUpdate(0, 1000)]
    assert list(windows.passed(INITIAL_WINDOW, made(INITIAL_WINDOW + 10))) == [made(INITIAL_WINDOW)]
    windows.close(1)
    assert list(windows.grant(3, 5)) == [WindowUpdate(3, 5)]


def test_a_changed_initial_window_is_everybodys() -> None:
    windows = opened()
    windows.announce(100)
    assert list(windows.passed(100, made(110))) == [made(100)]
    windows.announce(120)
    assert list(windows.grant(0, 1)) == [made(10)]


def test_windows_are_bounded() -> None:
    windows = opened()
    with pytest.raises(WindowOverflow):
        list(windows.grant(1, 2**31 - 1))
    windows = opened()
    list(windows.grant(1, 1))
    with pytest.raises(WindowOverflow):
        for _ in range(MAX_WAITING // INITIAL_WINDOW + 3):
            list(windows.passed(INITIAL_WINDOW, made(INITIAL_WINDOW)))


class Ends:
    """A sender that keeps to its windows and a receiver that enforces its own, of stream 1 and of the session."""

    def __init__(self) -> None:
        self.windows = Windows()
        self.windows.open(1)
        self.told = {0: INITIAL_WINDOW, 1: INITIAL_WINDOW}
        self.left = {0: INITIAL_WINDOW, 1: INITIAL_WINDOW}
        self.received = 0
        self.reads(0)

    def sends(self, size: int, became: int) -> None:
        for number in self.told:
            self.told[number] -= size
        self._apply(self.windows.passed(size, made(became)))

    def reads(self, number: int) -> None:
        """It has read everything, and says so."""
        delta, self.left[number] = INITIAL_WINDOW - self.left[number], INITIAL_WINDOW
        self._apply(self.windows.grant(number, delta))

    def _apply(self, events: Iterator[Data | WindowUpdate]) -> None:
        for event in events:
            if isinstance(event, WindowUpdate):
                self.told[event.stream] += event.delta
                continue
            self.received += len(event.data)
            for number in self.left:
                self.left[number] -= len(event.data)
                assert self.left[number] >= 0


@given(st.data())
def test_two_ends_that_keep_count_neither_overrun_nor_starve_each_other(data: st.DataObject) -> None:
    """Whatever masking makes of what is sent."""
    ends, expected = Ends(), 0
    for _ in range(data.draw(st.integers(1, 12))):
        size = data.draw(st.integers(0, min(ends.told.values())))
        became = data.draw(st.integers(0, 2 * size + 100))
        expected += became
        ends.sends(size, became)
        for number in data.draw(st.lists(st.sampled_from([0, 1]), max_size=2)):
            ends.reads(number)
    while ends.received < expected:
        ends.reads(0)
        ends.reads(1)
    ends.reads(0)
    ends.reads(1)
    assert min(ends.told.values()) >= INITIAL_WINDOW  # the sender may go on as in the beginning
