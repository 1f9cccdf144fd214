"""SPDY frames and header blocks, read and written, whole and in pieces (B-33)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.spdy import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    HeaderDesync,
    Headers,
    MalformedFrame,
    OversizedFrame,
    Ping,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from addons.core.spdy.headers import DICTIONARY, MAX_HEADER_BYTES
from addons.core.violation import Violation

STREAMS = st.integers(1, 2**31 - 1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=30)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=4).map(lambda fields: tuple(fields.items()))
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(SynStream, STREAMS, FIELDS, st.booleans(), st.integers(0, 7)),
    st.builds(SynReply, STREAMS, FIELDS, st.booleans()),
    st.builds(Headers, STREAMS, FIELDS, st.booleans()),
    st.builds(RstStream, STREAMS, st.integers(1, 11)),
    st.builds(
        Settings,
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8), st.integers(0, 2**32 - 1)), max_size=4).map(tuple),
        st.booleans(),
    ),
    st.builds(Ping, st.integers(1, 2**32 - 1)),
    st.builds(GoAway, st.integers(0, 2**31 - 1), st.integers(0, 2)),
    st.builds(WindowUpdate, st.integers(0, 2**31 - 1), STREAMS),
    st.builds(Data, STREAMS, st.binary(max_size=200), st.booleans()),
)


def written(frames: Iterable[Frame]) -> bytes:
    writer = FrameWriter()
    return b"".join(writer.write(frame) for frame in frames)


def joined(frames: Iterable[Frame]) -> list[Frame]:
    """With the pieces of each data frame as one."""
    whole: list[Frame] = []
    for frame in frames:
        last = whole[-1] if whole else None
        if isinstance(frame, Data) and isinstance(last, Data) and last.stream == frame.stream and not last.fin:
            whole[-1] = Data(frame.stream, last.data + frame.data, frame.fin)
        else:
            whole.append(frame)
    return whole


def read(*pieces: bytes) -> list[Frame]:
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


@given(st.lists(FRAMES, max_size=8))
def test_what_was_written_is_read(frames: list[Frame]) -> None:
    assert joined(read(written(frames))) == joined(frames)


@given(st.lists(FRAMES, min_size=1, max_size=6), st.data())
def test_any_split_gives_the_same_frames(frames: list[Frame], data: st.DataObject) -> None:
    stream = written(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert joined(read(*pieces)) == joined(frames)


@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_byte_by_byte(frames: list[Frame]) -> None:
    assert joined(read(*(bytes([byte]) for byte in written(frames)))) == joined(frames)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except Violation:
        return


def test_a_huge_data_frame_is_never_held() -> None:
    """16 MB that are claimed are passed on as they come."""
    reader = FrameReader()
    head = struct.pack(">II", 1, 1 << 24 | 0xFFFFFF)
    assert list(reader.feed(head + b"abc")) == [Data(1, b"abc")]
    assert list(reader.feed(b"d")) == [Data(1, b"d")]
    assert len(reader._buffer) == 0


def test_the_dictionary_is_the_protocols() -> None:
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def control(kind: int, payload: bytes, flags: int = 0, version: int = 3, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">II", 0x80000000 | version << 16 | kind, flags << 24 | size) + payload


@pytest.mark.parametrize(
    ("data", "violation"),
    [
        pytest.param(struct.pack(">II", 0, 0), MalformedFrame, id="data-of-stream-0"),
        pytest.param(struct.pack(">II", 1, 2 << 24), MalformedFrame, id="data-with-unknown-flag"),
        pytest.param(control(6, b"\0\0\0\1", version=2), MalformedFrame, id="version-2"),
        pytest.param(control(5, b""), MalformedFrame, id="noop"),
        pytest.param(control(10, b"\0\0"), MalformedFrame, id="credential"),
        pytest.param(control(6, b"", length=0xFFFFFF), OversizedFrame, id="oversized"),
        pytest.param(control(6, b"\0\0\0"), MalformedFrame, id="short-ping"),
        pytest.param(control(6, b"\0\0\0\1\0"), MalformedFrame, id="long-ping"),
        pytest.param(control(6, b"\0\0\0\0"), MalformedFrame, id="ping-0"),
        pytest.param(control(6, b"\0\0\0\1", flags=1), MalformedFrame, id="ping-with-flags"),
        pytest.param(control(7, bytes(8), flags=1), MalformedFrame, id="goaway-with-flags"),
        pytest.param(control(3, struct.pack(">II", 1, 0)), MalformedFrame, id="reset-without-status"),
        pytest.param(control(3, struct.pack(">II", 0, 1)), MalformedFrame, id="reset-of-stream-0"),
        pytest.param(control(4, struct.pack(">I", 2) + bytes(8)), MalformedFrame, id="fewer-settings-than-said"),
        pytest.param(control(4, struct.pack(">I", 101) + bytes(808)), MalformedFrame, id="many-settings"),
        pytest.param(control(4, bytes(4), flags=2), MalformedFrame, id="settings-with-unknown-flag"),
        pytest.param(control(9, struct.pack(">II", 1, 0)), MalformedFrame, id="window-by-nothing"),
        pytest.param(control(9, struct.pack(">II", 1, 1), flags=1), MalformedFrame, id="window-with-flags"),
        pytest.param(control(1, bytes(4)), MalformedFrame, id="short-syn-stream"),
        pytest.param(control(1, struct.pack(">IIBB", 0, 0, 0, 0)), MalformedFrame, id="syn-stream-of-0"),
        pytest.param(control(1, struct.pack(">IIBB", 1, 0, 0, 0), flags=2), HeaderDesync, id="no-header-block"),
        pytest.param(control(1, struct.pack(">IIBB", 1, 3, 0, 0)), MalformedFrame, id="associated"),
        pytest.param(control(1, struct.pack(">IIBB", 1, 0, 0, 1)), MalformedFrame, id="certificate-slot"),
        pytest.param(control(2, struct.pack(">I", 1) + b"zz"), HeaderDesync, id="not-zlib"),
        pytest.param(control(8, struct.pack(">I", 1)), HeaderDesync, id="empty-header-block"),
    ],
)
def test_b33_hostile_frames(data: bytes, violation: type[Violation]) -> None:
    with pytest.raises(violation):
        read(data)


def test_a_push_is_refused() -> None:
    pushed = bytearray(written([SynStream(2)]))
    pushed[4] = 2  # unidirectional
    with pytest.raises(MalformedFrame, match="only its opener"):
        read(bytes(pushed))


def block(plain: bytes, dictionary: bytes = DICTIONARY, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    deflate = zlib.compressobj(zdict=dictionary)
    return control(1, struct.pack(">IIBB", 1, 0, 0, 0) + deflate.compress(plain) + deflate.flush(end))


def pairs(*texts: bytes) -> bytes:
    lengths = [len(text).to_bytes(4, "big") + text for text in texts]
    return (len(texts) // 2).to_bytes(4, "big") + b"".join(lengths)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(block(pairs(b"a", b"1"), dictionary=b"another"), id="another-dictionary"),
        pytest.param(block(pairs(b"a", b"1"), end=zlib.Z_FINISH), id="compression-ends"),
        pytest.param(block(pairs(b"a", b"1"), end=zlib.Z_NO_FLUSH), id="not-flushed"),
        pytest.param(block(pairs(b"a", b"1") + b"rest"), id="more-than-its-headers"),
        pytest.param(block(pairs(b"a", b"1")[:-1]), id="ends-within-a-value"),
        pytest.param(block(pairs(b"a", b"1")[:7]), id="ends-within-a-length"),
        pytest.param(block(b"\xff\xff\xff\xff"), id="four-billion-headers"),
        pytest.param(block(pairs(b"a", b"x" * MAX_HEADER_BYTES)), id="bomb"),
        pytest.param(block(pairs(b"a", b"1", b"a", b"2")), id="twice"),
        pytest.param(block(pairs(b"streamType", b"stdin")), id="upper-case"),
        pytest.param(block(pairs(b"streamtype", b"stdin\0stdout")), id="several-values"),
        pytest.param(block(pairs(b"", b"1")), id="nameless"),
    ],
)
def test_b33_header_blocks_that_two_readers_would_not_read_the_same(data: bytes) -> None:
    with pytest.raises(HeaderDesync):
        read(data)


def test_a_block_read_is_the_next_ones_context() -> None:
    """The compression of one direction is one stream: a block taken out of it cannot be read."""
    writer = FrameWriter()
    first, second = writer.write(SynStream(1, (("port", "80"),))), writer.write(SynStream(3, (("port", "443"),)))
    assert joined(read(first, second)) == [SynStream(1, (("port", "80"),)), SynStream(3, (("port", "443"),))]
    with pytest.raises(HeaderDesync):
        read(second)
