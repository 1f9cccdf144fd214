"""A stream passes unchanged, and its first bytes are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from addons.edge.sample import Sample, Transform


def _as_sent(sample: Sample, chunks: Iterable[bytes]) -> bytes:
    sent = b""
    for chunk in [*chunks, b""]:
        made = sample(chunk)
        sent += made if isinstance(made, bytes) else b"".join(made)
    return sent


def _generator(chunk: bytes) -> Iterator[bytes]:
    yield chunk[:1]
    yield chunk[1:].upper()


@pytest.mark.parametrize(
    ("inner", "sent"),
    [
        pytest.param(True, b"abcdef", id="unmasked"),
        pytest.param(lambda chunk: chunk.upper(), b"ABCDEF", id="function"),
        pytest.param(lambda chunk: [chunk, b"!"] if chunk else [], b"abc!def!", id="several"),
        pytest.param(_generator, b"aBCdEF", id="generator"),
    ],
)
def test_what_passes_is_what_is_kept(inner: Transform | bool, sent: bytes) -> None:
    sample = Sample(inner)
    assert _as_sent(sample, [b"abc", b"def"]) == sent == sample.kept
    assert sample.total == len(sent)


def test_withholding_stays_withholding() -> None:
    assert Sample(lambda _: [])(b"secret") == []


def test_the_end_of_an_unmasked_stream_is_empty() -> None:
    assert Sample(True)(b"") == b""


def test_only_the_first_bytes_are_kept() -> None:
    sample = Sample(True, limit=4)
    assert _as_sent(sample, [b"abc", b"def", b"ghi"]) == b"abcdefghi"
    assert (sample.kept, sample.total) == (b"abcd", 9)


def test_an_error_of_the_masker_is_not_hidden() -> None:
    def broken(_: bytes) -> bytes:
        raise LookupError("bug")

    with pytest.raises(LookupError):
        Sample(broken)(b"x")
