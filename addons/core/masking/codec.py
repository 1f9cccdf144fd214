"""Bytes of a reply to objects and back, losing nothing: large integers, surrogates, indentation.

Anything that cannot be decoded is `Unmaskable`: the reply is then withheld, never passed on unmasked.
YAML is read as Kubernetes writes it (JSON's scalars only, no aliases) and written as JSON, which is YAML too and which
no parser can read two ways.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson
import yaml

from addons.core.masking.detectors import compile_re2

_LONG_NUMBER = compile_re2("[0-9]{19}")
"""orjson turns integers over 64 bits into floats, so a body with such digits is left to the slower decoder."""
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""JSON has these in strings alone, unescaped. Source: YAML 1.1, sections 5.1 and 5.4."""


class Unmaskable(ValueError):
    """A reply that cannot be masked, with the reason. It has to be withheld."""


def decode_json(body: bytes) -> Any:
    """The value of a JSON text. Raises Unmaskable."""
    if not _LONG_NUMBER.search(body):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # a lone surrogate, a number out of range: the other decoder decides
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Unmaskable(f"the reply is not JSON: {type(error).__name__}") from None


def encode_json(value: Any, like: bytes) -> bytes:
    """The value in JSON, indented and ended with a newline if the text it came from was. Raises Unmaskable."""
    pretty = like.startswith(b"{\n")
    end = b"\n" if like.endswith(b"\n") else b""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else None) + end
    except orjson.JSONEncodeError:
        pass
    layout: dict[str, Any] = {"indent": 2 if pretty else None, "separators": (",", ": " if pretty else ":")}
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, **layout)
    except (ValueError, RecursionError):
        raise Unmaskable("the reply holds a value that JSON cannot express") from None
    try:
        return text.encode() + end
    except UnicodeEncodeError:  # a lone surrogate has no form but its escape
        return json.dumps(value, **layout).encode() + end


def encode_yaml(value: Any) -> bytes:
    """The value in JSON that YAML reads the same: what YAML forbids or takes for a line break is escaped."""
    text = encode_json(value, like=b"{\n").decode()
    return _NOT_IN_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def decode_copy(text: str) -> Any:
    """The object in a string that should hold JSON. Stricter, because people write it. Raises Unmaskable."""
    try:
        return _COPY.decode(text)
    except (ValueError, RecursionError):
        raise Unmaskable("not JSON") from None


def decode_yaml(body: bytes) -> Any:
    """The value of one YAML document as Kubernetes writes it. Raises Unmaskable."""
    try:
        node = yaml.compose(body.decode(), Loader=_Loader)
        return _build(node, set())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unmaskable(f"the reply is not plain YAML: {type(error).__name__}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("duplicate key")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Made once: with keyword arguments json.loads makes a decoder for every call.
_COPY = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes only: what a plain scalar means is decided below, as in JSON (no dates, no sexagesimals, no `yes`)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in the base class


_STRING = "tag:yaml.org,2002:str"
_INTEGER = re.compile("-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}


def _build(node: yaml.Node | None, seen: set[int]) -> Any:
    if id(node) in seen:
        raise ValueError("aliases are not supported")
    seen.add(id(node))
    match node:
        case yaml.ScalarNode(tag=tag) if tag == _STRING:
            return node.value if node.style else _plain(node.value)
        case yaml.SequenceNode():
            return [_build(item, seen) for item in node.value]
        case yaml.MappingNode():
            return _unique([(str(key.value), _build(value, seen)) for key, value in node.value])
    raise ValueError("tags and empty documents are not supported")


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
