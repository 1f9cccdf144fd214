"""Placeholders: bound to their field, recognisable in any form they may come back in."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.masking.placeholder import (
    NO_FINGERPRINT,
    PLAIN,
    Fingerprints,
    contains_marker,
    contains_placeholder,
    encode,
    is_placeholder,
)
from tests.core.masking.support import KEY

ONE = Fingerprints(KEY).of("ns", "name").placeholder("$.data.a", "value")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Fingerprints(KEY).of("ns", "name").placeholder("$.data.a", "other"), id="value"),
        pytest.param(Fingerprints(KEY).of("ns", "name").placeholder("$.data.b", "value"), id="field"),
        pytest.param(Fingerprints(KEY).of("ns", "name2").placeholder("$.data.a", "value"), id="name"),
        pytest.param(Fingerprints(KEY).of("ns", "nam").placeholder("e$.data.a", "value"), id="shifted boundary"),
        pytest.param(Fingerprints(KEY[::-1]).of("ns", "name").placeholder("$.data.a", "value"), id="key"),
    ],
)
def test_a_fingerprint_is_bound_to(other: str) -> None:
    assert PLAIN.fullmatch(ONE)
    assert other != ONE
    assert Fingerprints(KEY).of("ns", "name").placeholder("$.data.a", "value") == ONE


def test_silent_fingerprints_tell_nothing() -> None:
    assert Fingerprints(KEY).silent().placeholder("a", "b") == NO_FINGERPRINT


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Fingerprints(b"short")


def test_whole_placeholders_are_recognised() -> None:
    assert is_placeholder(ONE)
    assert is_placeholder(encode(ONE))
    assert not is_placeholder(f"x{ONE}")
    assert base64.b64decode(encode(ONE)).decode() == ONE


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_placeholder_is_found_in_any_base64(before: bytes, after: bytes) -> None:
    assert contains_marker(base64.b64encode(before + ONE.encode() + after))
    assert contains_marker(before + ONE.encode() + after)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"data": {"a": encode(ONE)}}, "$.data.a"),
        ({"spec": ["x", {"y": f"pre {ONE}"}]}, "$.spec.1.y"),
        ({"a": 1, "b": [None, []], "c": "masked", "d": "\ud800"}, None),
        (ONE, "$"),
    ],
)
def test_the_path_of_a_placeholder(value: object, path: str | None) -> None:
    assert contains_placeholder(value) == path
