"""YAML that can only be read one way."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from addons.core.strict_json import MAX_DEPTH, UnreadableBody
from addons.core.strict_yaml import loads
from tests.core.test_strict_json import VALUES


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: b", {"a": "b"}, id="block mapping"),
        pytest.param("---\na: b\n...\n", {"a": "b"}, id="document markers"),
        pytest.param("# note\na: b # note", {"a": "b"}, id="comments"),
        pytest.param("a:\n- 1\n- {b: [x, 'y']}", {"a": [1, {"b": ["x", "y"]}]}, id="nesting and flow"),
        pytest.param("a: |\n  x\n  y\n", {"a": "x\ny\n"}, id="literal"),
        pytest.param("a: >\n  x\n  y\n", {"a": "x y\n"}, id="folded"),
        pytest.param("a: \"yes\"\nb: '0777'", {"a": "yes", "b": "0777"}, id="quoted values are text"),
        pytest.param('"yes": 1', {"yes": 1}, id="quoted keys are text"),
        pytest.param("a: true\nb: false", {"a": True, "b": False}, id="booleans"),
        pytest.param("a: null\nb: ~\nc:", {"a": None, "b": None, "c": None}, id="nulls"),
        pytest.param("a: 0\nb: -12\nc: 1.5\nd: 1e3", {"a": 0, "b": -12, "c": 1.5, "d": 1e3}, id="JSON numbers"),
        pytest.param("a: 10Mi\nb: 100m\nc: 1.2.3", {"a": "10Mi", "b": "100m", "c": "1.2.3"}, id="quantities, versions"),
        pytest.param("a: 10.0.0.1\nb: nginx:1.27", {"a": "10.0.0.1", "b": "nginx:1.27"}, id="addresses, images"),
        pytest.param("a: 50%\nb: a,b", {"a": "50%", "b": "a,b"}, id="other text"),
        pytest.param('{"a":1}', {"a": 1}, id="JSON, as kubectl apply sends it"),
        pytest.param('\n {"a":"\\u003c"}\n', {"a": "<"}, id="JSON with spaces around"),
        pytest.param('---\n{"a": 1}', {"a": 1}, id="JSON after a marker"),
    ],
)
def test_read(text: str, value: Any) -> None:
    assert loads(text.encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 1\n---\na: 2", id="B-62 two documents"),
        pytest.param('---\n{"a": 1}\n---\n{"a": 2}', id="B-62 two documents of JSON"),
        pytest.param("", id="no document"),
        pytest.param("# only a comment", id="only a comment"),
        pytest.param("%YAML 1.1\n---\na: 1", id="directive"),
        pytest.param("a: &x 1\nb: *x", id="B-62 alias"),
        pytest.param("a: &x 1", id="anchor alone"),
        pytest.param("a: &x {b: 1}", id="anchor on a mapping"),
        pytest.param("a: &x [1]", id="anchor on a list"),
        pytest.param("<<: {a: 1}", id="B-62 merge key"),
        pytest.param('"<<": {a: 1}', id="B-62 quoted merge key"),
        pytest.param("a: <<", id="merge value"),
        pytest.param("a: 1\na: 2", id="B-62 duplicate key"),
        pytest.param("a: {b: 1, 'b': 2}", id="duplicate key in other quotes"),
        pytest.param('{"a":1,"a":2}', id="duplicate key in JSON"),
        pytest.param("{a: 1}", id="flow that is no JSON, at the top"),
        pytest.param("a: !!binary aGk=", id="B-62 tag"),
        pytest.param("a: !!python/object:os.system x", id="B-62 Python tag"),
        pytest.param("a: ! x", id="non-specific tag"),
        pytest.param("a: !!map {}", id="tag on a mapping"),
        pytest.param("1: a", id="number as a key"),
        pytest.param("true: a", id="boolean as a key"),
        pytest.param("? [a]\n: b", id="list as a key"),
        pytest.param("a: [b", id="not YAML"),
        pytest.param("a: b: c", id="not YAML either"),
        pytest.param("a: \x85 b", id="next line"),
        pytest.param('{"a":"\u2028"}', id="line separator"),
        pytest.param("\ufeffa: 1", id="byte order mark"),
        pytest.param("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), id="too deep"),
        pytest.param("a: 9223372036854775808", id="integer beyond 64 bits"),
        pytest.param("a: 1e400", id="infinite"),
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UnreadableBody):
        loads(text.encode())


@pytest.mark.parametrize("raw", [b"a: \xff", "a: 1".encode("utf-16")], ids=["not UTF-8", "UTF-16"])
def test_refused_bytes(raw: bytes) -> None:
    with pytest.raises(UnreadableBody):
        loads(raw)


@pytest.mark.parametrize(
    "scalar",
    [
        *("y", "Y", "n", "yes", "Yes", "NO", "on", "Off", "True", "FALSE", "Null", "NULL"),
        *("0777", "0o17", "0x1F", "0b101", "+1", "1_000", "-_1", "00", "-012"),
        *(".5", "1.", "+1.5", "1_0.5", ".inf", "-.INF", ".NaN"),
        *("1:30", "12:30:45", "190:20:30.15"),
        *("2001-01-01", "2001-1-1 00:00:00", "="),
    ],
)
def test_plain_scalars_that_parsers_read_differently(scalar: str) -> None:
    with pytest.raises(UnreadableBody, match="quote it"):
        loads(f"a: {scalar}".encode())
    assert loads(f"a: '{scalar}'".encode()) == {"a": scalar}


@given(VALUES.filter(lambda value: isinstance(value, dict)))
def test_json_in_yaml_is_read_as_json_or_refused(value: dict[str, Any]) -> None:
    try:
        assert loads(json.dumps(value).encode()) == value
    except UnreadableBody:
        assert any(character in json.dumps(value, ensure_ascii=False) for character in "\x85\u2028\u2029\ufeff")


@given(st.dictionaries(st.text("abc", min_size=1), st.text("ynoesYNtrufal0123456789_.:-+xeE~=< ") | st.integers()))
def test_what_is_read_is_what_pyyaml_reads(value: dict[str, Any]) -> None:
    text = "".join(f"{key}: {item}\n" for key, item in value.items())
    try:
        read = loads(text.encode())
    except UnreadableBody:
        return
    reference = yaml.safe_load(text)
    for key, item in read.items():
        # PyYAML knows floats with an exponent only if they have a point and a sign; the API server knows all of JSON's.
        assert reference[key] == item or (isinstance(item, float) and float(reference[key]) == item)


@given(st.text() | st.text("a:-[]{}&*!|>'\"%#\n "))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        loads(text.encode("utf-8", "surrogatepass"))
    except UnreadableBody as error:
        assert str(error).startswith("the body ")
