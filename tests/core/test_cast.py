"""Recordings that asciicast v3 players understand and that lose nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core import cast as core_cast
from addons.core.cast import Cast, CastFull
from addons.core.channels import Channel, ExitStatus


def _cast(tty: bool = True) -> Cast:
    return Cast(100.5, ("sh", "-c", "a\udcff"), "exec team/web app", tty)


def _events(*pieces: bytes) -> list[list[object]]:
    return [json.loads(line) for line in b"".join(pieces).splitlines()]


def test_header() -> None:
    assert json.loads(_cast().header()) == {
        "version": 3,
        "term": {"cols": 80, "rows": 24},
        "timestamp": 100,
        "command": "sh -c a\\udcff",
        "title": "exec team/web app",
        "tags": ["tty"],
    }
    assert json.loads(_cast(tty=False).header())["tags"] == ["no-tty"]


def test_a_session() -> None:
    cast = _cast()
    pieces = [
        cast.resize(120, 40, 100.5),
        cast.data(Channel.STDIN, b"ls\r", 101),
        cast.data(Channel.STDOUT, b"\x1b[1mfile\x1b[0m\r\n", 101.25),
        cast.data(Channel.STDERR, b"oops\n", 101.25),
        cast.end(ExitStatus(2), 103),
    ]
    assert _events(*pieces) == [
        [0, "r", "120x40"],
        [0.5, "i", "ls\r"],
        [0.25, "o", "\x1b[1mfile\x1b[0m\r\n"],
        [0, "o", "oops\n"],
        [1.75, "x", "2"],
    ]
    assert cast.seen == {Channel.STDIN: 3, Channel.STDOUT: 14, Channel.STDERR: 5}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (None, "ended without an exit status"),
        (ExitStatus(None, "killed\udcff"), "ended without an exit status killed\\udcff"),
    ],
)
def test_an_end_nobody_explained(status: ExitStatus | None, text: str) -> None:
    assert _events(_cast().end(status, 101)) == [[0.5, "m", text]]


def test_time_never_runs_backwards() -> None:
    cast = _cast()
    intervals = [json.loads(cast.data(Channel.STDOUT, b"x", at))[0] for at in (200, 90, 201)]
    assert intervals == [99.5, 0, 1]


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        pytest.param([b"a\nb"], "a\r\nb", id="line-feed"),
        pytest.param([b"a\r\nb"], "a\r\nb", id="crlf-stays"),
        pytest.param([b"a\r", b"\nb"], "a\r\nb", id="crlf-in-two-chunks"),
        pytest.param([b"a\r", b"b\n"], "a\rb\r\n", id="return-alone"),
        pytest.param([b"a\n", b"\nb"], "a\r\n\r\nb", id="two-lines"),
    ],
)
def test_without_a_terminal_lines_begin_at_the_left(chunks: list[bytes], text: str) -> None:
    cast = _cast(tty=False)
    events = _events(*(cast.data(Channel.STDOUT, chunk, 101) for chunk in chunks))
    assert "".join(str(event[2]) for event in events) == text


def test_input_is_never_changed() -> None:
    assert _events(_cast(tty=False).data(Channel.STDIN, b"a\n", 101))[0][2] == "a\n"


@given(st.text(max_size=30), st.data(), st.booleans())
def test_any_chunking_gives_the_same_text(text: str, data: st.DataObject, tty: bool) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    whole, parts = _cast(tty), _cast(tty)
    expected = _events(whole.data(Channel.STDOUT, raw, 101), whole.end(ExitStatus(0), 101))
    chunks = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    got = _events(*(parts.data(Channel.STDOUT, chunk, 101) for chunk in chunks), parts.end(ExitStatus(0), 101))
    assert "".join(str(e[2]) for e in got if e[1] == "o") == "".join(str(e[2]) for e in expected if e[1] == "o")


def test_what_is_no_utf8_is_replaced_and_a_cut_character_is_kept() -> None:
    cast = _cast()
    assert cast.data(Channel.STDOUT, b"\xe2\x82", 101) == b""
    assert _events(cast.data(Channel.STDOUT, b"\xac\xff", 101)) == [[0.5, "o", "€\N{REPLACEMENT CHARACTER}"]]
    cast.data(Channel.STDERR, b"\xe2", 101)
    assert _events(cast.end(ExitStatus(0), 101)) == [[0, "o", "\N{REPLACEMENT CHARACTER}"], [0, "x", "0"]]


def test_b41_long_output_is_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_cast, "MAX_OUTPUT", 5)
    cast = _cast()
    assert cast.data(Channel.STDOUT, b"123", 101)
    assert _events(cast.data(Channel.STDERR, b"456", 101)) == [
        [0, "m", "output beyond this point was counted, not recorded"]
    ]
    assert cast.data(Channel.STDOUT, b"789", 101) == b""
    assert cast.data(Channel.STDIN, b"exit\n", 101)
    assert sum(cast.seen.values()) == 14


def test_b41_too_much_input_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_cast, "MAX_INPUT", 5)
    cast = _cast()
    cast.data(Channel.STDIN, b"12345", 101)
    with pytest.raises(CastFull):
        cast.data(Channel.STDIN, b"6", 101)
