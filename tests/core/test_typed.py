"""Lines out of keys and bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.typed import MAX_LINE, LineReader


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        (b"ls -l\r", ["ls -l"]),
        (b"lx\x7fs\rpwd\r", ["ls", "pwd"]),
        (b"rm -rf /\x15ls\r", ["ls"]),
        (b"rm\x03ls\r", ["ls"]),
        (b"rm -rf \x17x\r", ["rmx"]),
        (b"a\x1b[Db\x1b[3~\x1bOAc\x1bbd\r", ["abcd"]),
        (b"\x1b[200~pasted\x1b[201~\r", ["pasted"]),
        (b"tab\tbed\x01\r\r\n", ["tab\tbed"]),
        (b"no end", []),
        ("é\r".encode(), ["é"]),
    ],
)
def test_keys_on_a_terminal(keys: bytes, lines: list[str]) -> None:
    assert LineReader(tty=True).feed(keys) == lines


@given(st.lists(st.integers(0, 20), max_size=5))
def test_lines_whatever_the_split(cuts: list[int]) -> None:
    data, reader = b"first\r\nsecond\nthird", LineReader(tty=False)
    at = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    lines = [line for begin, end in zip(at, [*at[1:], len(data)], strict=True) for line in reader.feed(data[begin:end])]
    assert lines + reader.feed(b"", ends=True) == ["first", "second", "third"]


def test_the_end_completes_a_line_once() -> None:
    reader = LineReader(tty=True)
    assert reader.feed(b"exit", ends=True) == ["exit"]
    assert reader.feed(b"", ends=True) == []


@pytest.mark.parametrize("tty", [True, False])
def test_long_lines_are_judged_in_pieces(tty: bool) -> None:
    assert [len(line) for line in LineReader(tty).feed(b"x" * (2 * MAX_LINE + 1) + b"\n")][0] <= 2 * MAX_LINE + 1  # noqa: RUF015
    reader = LineReader(tty)
    found = reader.feed(b"x" * (MAX_LINE + 5)) + reader.feed(b"\n")
    assert [len(line) for line in found] == [MAX_LINE, 5]
