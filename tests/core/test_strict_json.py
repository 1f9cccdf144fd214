"""JSON that can only be read one way."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.strict_json import MAX_DEPTH, UnreadableBody, loads

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b'{"a":1}', {"a": 1}, id="compact"),
        pytest.param(b'{"a":1}\n', {"a": 1}, id="with the line feed Go's encoder adds"),
        pytest.param(b' { "a" : [ 1 , 2.5e0 ] }\r\n\t', {"a": [1, 2.5]}, id="spaces"),
        pytest.param(b'{"sp\\u0065c":1}', {"spec": 1}, id="B-61 an escaped key is that key"),
        pytest.param(b'{"a":{"a":{}}}', {"a": {"a": {}}}, id="the same key on different levels"),
        pytest.param(b'{"a":"\\u003c\\ud83d\\ude00"}', {"a": "<\U0001f600"}, id="escapes"),
        pytest.param(b'{"a":9223372036854775807}', {"a": 2**63 - 1}, id="largest integer"),
        pytest.param(b'{"a":-9223372036854775808}', {"a": -(2**63)}, id="smallest integer"),
        pytest.param(b'{"a":1e9}', {"a": 1e9}, id="a number with an exponent is no integer"),
        pytest.param(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None, id="deepest lists"),
        pytest.param(b"[" * (MAX_DEPTH - 1) + b"[ ]" + b"]" * (MAX_DEPTH - 1), None, id="deepest lists, with a space"),
        pytest.param(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH, None, id="deepest objects"),
        pytest.param(b"5", 5, id="a bare number"),
        pytest.param(b" 5", 5, id="a bare number after a space"),
    ],
)
def test_read(raw: bytes, value: Any) -> None:
    assert loads(raw) == (json.loads(raw) if value is None else value)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":1,"a":2}', id="B-60 duplicate key"),
        pytest.param(b'{"a":1,"a":1}', id="B-60 duplicate key with the same value"),
        pytest.param(b'{"a":{"b":[{"c":1,"c":2}]}}', id="B-60 duplicate key inside"),
        pytest.param(b'{"spec":1,"sp\\u0065c":2}', id="B-61 duplicate by an escape"),
        pytest.param(b'{"a":1,"b":2,"a":1}', id="duplicate around another"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="infinity"),
        pytest.param(b'{"a":1e400}', id="a number that becomes infinite"),
        pytest.param(b'{"a":9223372036854775808}', id="integer beyond 64 bits"),
        pytest.param(b'{"a":-9223372036854775809}', id="negative integer beyond 64 bits"),
        pytest.param(b'{"a":18446744073709551615}', id="unsigned 64 bits"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="huge integer"),
        pytest.param(b'{"a":1}{}', id="trailing data"),
        pytest.param(b'{"a":1} x', id="trailing text"),
        pytest.param(b'{"a":1}\x00', id="trailing NUL"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="encoded surrogate"),
        pytest.param(b'{"a":"\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"\\ud800":1}', id="lone surrogate as a key"),
        pytest.param(b'{"a":"\n"}', id="line feed in a string"),
        pytest.param(b'{"a":1,}', id="trailing comma"),
        pytest.param(b'{"a":1}// x', id="comment"),
        pytest.param(b"{a:1}", id="bare key"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), id="too deep"),
        pytest.param(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), id="objects too deep"),
        pytest.param(b"[" * 9000 + b"]" * 9000, id="B-64 far too deep"),
    ],
)
def test_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableBody) as caught:
        loads(raw)
    assert str(caught.value).startswith("the body ")


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_valid_json_is_read_as_by_the_reference(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    read = loads(text.encode())
    assert json.dumps(read, sort_keys=True) == json.dumps(json.loads(text), sort_keys=True)


@given(VALUES, VALUES, st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.sampled_from("[{"), max_size=5))
def test_a_duplicate_key_is_refused_wherever_it_is(one: Any, two: Any, key: str, around: list[str]) -> None:
    text = f"{{{json.dumps(key)}:{json.dumps(one)},{json.dumps(key)}:{json.dumps(two)}}}"
    for bracket in around:
        text = f"[{text}]" if bracket == "[" else f'{{"x":{text}}}'
    with pytest.raises(UnreadableBody):
        loads(text.encode())


@given(st.binary() | st.text(alphabet='{}[]",:a1e\\u \n').map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = loads(raw)
    except UnreadableBody:
        return
    assert not isinstance(value, float) or math.isfinite(value)
