"""JSON that can only be read one way, decoded fast.

Refused: duplicate keys at any level (the API server merges them, others take the last), integers beyond 64 bits, NaN
and infinities, lone surrogates, a byte order mark, anything after the value, text that is not UTF-8, deep nesting.
Source: RFC 8259; sigs.k8s.io/json, which the API server uses, is as case-sensitive as this.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

MAX_DEPTH = 254
"""Levels of objects and lists, as many as orjson writes. The API server takes 10,000; no API type comes near 100."""

_INT64 = range(-(2**63), 2**63)
_SMALL_INTEGERS = orjson.OPT_STRICT_INTEGER


class UnreadableBody(ValueError):
    """A body that cannot be read, or could be read in two ways. The message never quotes the body."""


def loads(raw: bytes) -> Any:
    """The decoded value. Raises UnreadableBody.

    Text that is exactly how its own value is written cannot hold a duplicate key: that proof is cheap and covers what
    clients write. Only other text is decoded again, by a parser that sees every key.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise UnreadableBody(f"the body is not JSON: {error.msg} at line {error.lineno}") from None
    if _spells(value, raw):
        return value
    if isinstance(value, dict | list):
        _check_depth(value)
    return _strictly(raw)


def _check_depth(value: dict[str, Any] | list[Any]) -> None:
    """Nothing, if `value` nests at most MAX_DEPTH levels. Raises UnreadableBody."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise UnreadableBody(f"the body nests deeper than {MAX_DEPTH} levels")


def _spells(value: Any, raw: bytes) -> bool:
    """True if `raw` is how `value` is written, with integers that every parser holds exactly."""
    try:
        return orjson.dumps(value, option=_SMALL_INTEGERS) == raw.rstrip(b"\n")
    except orjson.JSONEncodeError:
        return False


def _strictly(raw: bytes) -> Any:
    return json.loads(raw.decode(), object_pairs_hook=_object, parse_int=_integer)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise UnreadableBody("the body has the same key twice in one object")
    return result


def _integer(digits: str) -> int:
    if len(digits) > 20 or (value := int(digits)) not in _INT64:
        raise UnreadableBody("the body has an integer beyond 64 bits")
    return value
