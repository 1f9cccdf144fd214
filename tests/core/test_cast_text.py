"""What a cast holds, piece by piece, however it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.cast_text import MAX_TEXT, PIECE, CastText, Piece, cast_has, folded, pieces


def cast(*events: Any, tty: bool = True) -> list[str]:
    header = {"version": 3, "command": "sh -c date", "tags": ["tty" if tty else "no-tty"]}
    return [json.dumps(line) + "\n" for line in (header, *events)]


@pytest.mark.parametrize(
    ("text", "events", "found"),
    [
        ("date", [], True),
        ("DATE", [], True),
        ("secret", [[0, "o", "the Sec"], [0, "o", "ret is"]], True),
        ("secret", [[0, "o", "s\x1b[1me\x1b]0;t\x07c\x1b]8;;\x1b\\ret"]], True),
        ("a\nb", [[0, "o", "a\r\nb"]], True),
        ("rm -rf", [[0, "i", "rm -x\x7frf"]], True),
        ("rm -rf", [[0, "i", "rm "], [0, "i", "-rf\r"], [0, "o", "x"]], True),
        ("rm -x", [[0, "i", "rm -x\x7frf\r"]], False),
        ("ls rm", [[0, "i", "ls "], [0, "o", "rm"]], False),
        ("80x24", [[0, "r", "80x24"]], False),
        ("note", [[0, "m", "note"]], False),
        ("x", [[0, "o", 1], "torn", 1, [0, "x", "0"]], False),
    ],
)
def test_what_a_cast_holds(text: str, events: list[Any], found: bool) -> None:
    assert cast_has(text, cast(*events)) is found


@pytest.mark.parametrize("lines", [[], ["torn {"], ["[]\n", "{\n", '[0, "o", "hidden"]\n']])
def test_what_is_torn_or_no_cast_is_read_as_far_as_it_can_be(lines: list[str]) -> None:
    assert cast_has("hidden", lines) is (len(lines) == 3)


@given(st.integers(60_000, 72_000), st.integers(1, 9))
def test_a_text_is_found_wherever_it_is_cut(place: int, piece: int) -> None:
    printed = "a" * place + "needle" + "b" * 70_000
    cut = place + piece
    assert cast_has("needle", cast([0, "o", printed[:cut]], [0, "o", printed[cut:]]))
    assert not cast_has("needles", cast([0, "o", printed[:cut]], [0, "o", printed[cut:]]))


HOSTILE = st.text(st.sampled_from("aA\x1b[]0;\x07\\m\r\n\x00ßİ\U0001f600 (B"), max_size=30)
EVENTS = st.lists(st.tuples(st.floats(0, 9), st.sampled_from("ioxrm"), HOSTILE).map(list), max_size=20)


def texts(found: list[Piece]) -> dict[str, str]:
    """All that is in pieces, put together again."""
    whole = dict.fromkeys(("command", "typed", "printed"), "")
    for piece in found:
        whole[piece.kind] += piece.text[piece.fresh :]
    return whole


@given(EVENTS, st.booleans(), st.lists(st.integers(0, 20), max_size=5))
def test_it_can_be_read_in_parts(events: list[Any], tty: bool, stops: list[int]) -> None:
    lines = cast(*events, tty=tty)
    reader, found = CastText(), list[Piece]()
    for number, line in enumerate(lines):
        if number in stops:
            found_now = [*found, *reader.rest()]
            assert texts(found_now) == texts(list(pieces(lines[:number])))
            reader = CastText(reader.state())
        found += reader.feed(line)
    assert [*found, *reader.rest()] == list(pieces(lines))


@given(st.lists(HOSTILE, max_size=20), st.integers(1, 7))
def test_escapes_are_none_of_the_text_wherever_they_are_cut(printed: list[str], size: int) -> None:
    whole = "".join(printed)
    cut = [[0, "o", whole[start : start + size]] for start in range(0, len(whole), size)]
    assert texts(list(pieces(cast(*cut)))) == texts(list(pieces(cast([0, "o", whole]))))


@pytest.mark.parametrize(
    ("printed", "text", "places"),
    [
        ("abab", "B", [1, 3]),
        ("ßb b", "b", [1, 3]),  # "ssb b": behind what folds into two characters
        ("aßb", "SS", [1]),
        ("aßb", "sb", [1]),  # begins within the ß
        ("İßx", "x", [2]),
        ("ß", "x", []),
    ],
)
def test_places_count_the_characters_that_were_printed(printed: str, text: str, places: list[int]) -> None:
    assert list(Piece(kind="printed", text=printed).places(folded(text))) == places


@given(st.text(st.sampled_from("abß\n"), max_size=60), st.text(st.sampled_from("abSß"), min_size=1, max_size=4))
def test_places_are_where_the_text_is(printed: str, text: str) -> None:
    (piece,) = [each for each in pieces(cast([1, "o", printed])) if each.kind == "printed"] or [Piece(kind="", text="")]
    wanted = folded(text)
    found = list(piece.places(wanted))
    assert bool(found) is (wanted in printed.casefold())
    assert all(wanted in piece.text[place : place + len(wanted) + 1].casefold() for place in found)


def test_a_place_is_in_one_piece_only_and_has_its_time() -> None:
    line = "." * 99 + "\n"
    events = [[1, "o", line] for _ in range(1000)]
    events[700:700] = [[0.5, "o", "it is\x1b[1m here\n"]]
    found = [(piece, place) for piece in pieces(cast(*events)) for place in piece.places(folded("IT IS here"))]
    ((piece, place),) = found
    assert (piece.seconds(place), piece.around(place, 10)) == (700.5, ("", "it is here", ""))
    assert len(piece.text) == PIECE
    assert len([place for piece in pieces(cast(*events)) for place in piece.places("." * 99)]) == 1000


def test_the_line_around_a_place_is_shortened() -> None:
    (piece,) = [
        each for each in pieces(cast([0, "o", "x\n" + "a" * 500 + "needle" + "b" * 500])) if each.text[:1] == "x"
    ]
    assert piece.around(502, 6) == ("a" * 100, "needle", "b" * 100)


def test_long_texts_and_long_commands() -> None:
    command = json.dumps({"version": 3, "command": "c" * (PIECE + 5) + "end", "timestamp": 1e300})
    found = list(pieces([command]))
    assert [len(each.text) for each in found] == [PIECE, MAX_TEXT + 8]
    assert cast_has("ccend", [command])
    assert cast_has("x" * MAX_TEXT + "y", cast([0, "o", "x" * MAX_TEXT])), "the rest of it does not count"
    unfinished = cast([0, "o", "a\x1b[" + "1" * 5000], [0, "o", "mb"])
    assert cast_has("1111", unfinished), "so long a sequence is none"


@pytest.mark.parametrize("stamp", ["x", -1, None, [], 1e12])
def test_when_a_cast_began(stamp: Any) -> None:
    reader = CastText()
    reader.feed(json.dumps({"version": 3, "timestamp": stamp, "tags": 1}))
    assert reader.started_at == 0
    reader = CastText()
    reader.feed(json.dumps({"version": 3, "timestamp": 5}))
    assert CastText(reader.state()).started_at == 5
