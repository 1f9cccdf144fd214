"""Decoding loses nothing and gives up loudly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.masking.codec import Unmaskable, decode_copy, decode_json, decode_yaml, encode_json, encode_yaml

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=10,
)


@given(JSON, st.sampled_from([b"", b"{\n  ", b"{}\n"]))
def test_json_round_trip(value: Any, like: bytes) -> None:
    assert decode_json(encode_json(value, like)) == value


@pytest.mark.parametrize(
    ("text", "like", "again"),
    [
        (b'{"a":123456789012345678901234567890}', b"{}", b'{"a":123456789012345678901234567890}'),
        (b'{"a":-9223372036854775809}', b"{\n", b'{\n  "a": -9223372036854775809\n}\n'),
        (b'{"a":"\\ud800"}', b"{}\n", b'{"a":"\\ud800"}\n'),
        (b'{"a":"\xc3\xa9"}', b"{}", b'{"a":"\xc3\xa9"}'),
        (b'{"a":1.0}', b"{\n}\n", b'{\n  "a": 1.0\n}\n'),
    ],
)
def test_json_survives_masking(text: bytes, like: bytes, again: bytes) -> None:
    assert encode_json(decode_json(text), like) == again


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b'{"a":1}{"b":2}', b'{"a":NaN}', b'{"a":"\xff"}', b"k8s\x00\n", b"[" * 200_000],
    ids=["empty", "cut", "two values", "NaN", "no UTF-8", "protobuf", "deep"],
)
def test_what_is_not_json_is_unmaskable(text: bytes) -> None:
    with pytest.raises(Unmaskable):
        decode_json(text)


def test_a_number_without_json_form_is_unmaskable() -> None:
    with pytest.raises(Unmaskable):
        encode_json(decode_json(b'{"a":1e400,"b":"\\ud800"}'), b"")


@pytest.mark.parametrize("text", ["", '{"a":1,"a":2}', '{"a":{"b":1,"b":1}}', "{'a':1}", '{"a":Infinity}'])
def test_a_copy_must_be_unambiguous(text: str) -> None:
    with pytest.raises(Unmaskable):
        decode_copy(text)


@given(JSON)
def test_yaml_reads_json(value: Any) -> None:
    """JSON is YAML too, once what YAML forbids, or takes for a line break, is escaped."""
    assert decode_yaml(encode_yaml(value)) == value


@pytest.mark.parametrize("character", ["\x7f", "\x85", "\x9f", "\u2028", "\u2029", "\ufeff", "\uffff", "é", "😀"])
def test_no_character_is_lost_in_yaml(character: str) -> None:
    assert decode_yaml(encode_yaml({character: f"a{character}b"})) == {character: f"a{character}b"}


def test_yaml_scalars_mean_what_they_mean_in_json() -> None:
    text = b"""
kind: Secret
date: 2026-01-01T00:00:00Z
words: [yes, on, ~, null, true, "true", 'null', "12"]
numbers: [0, -1, 1e+06, 1.5, 010, 12:30:45, 1_000, 0x10, .inf]
block: |
  a
  b
empty:
"""
    assert decode_yaml(text) == {
        "kind": "Secret",
        "date": "2026-01-01T00:00:00Z",
        "words": ["yes", "on", None, None, True, "true", "null", "12"],
        "numbers": [0, -1, 1e6, 1.5, "010", "12:30:45", "1_000", "0x10", ".inf"],
        "block": "a\nb\n",
        "empty": None,
    }


@pytest.mark.parametrize(
    "text",
    [
        b"a: &x 1\nb: *x",
        b"a: !!binary aGk=",
        b"a: 1\n---\nb: 2",
        b"a: [",
        b"a: 1\na: 2",
        b"",
        b"\xff",
        b"a: !!python/x y",
    ],
    ids=["alias", "binary", "two documents", "cut", "duplicate key", "empty", "no UTF-8", "tag"],
)
def test_what_is_not_plain_yaml_is_unmaskable(text: bytes) -> None:
    with pytest.raises(Unmaskable):
        decode_yaml(text)
