"""YAML that can only be read one way, for the few clients that send it: curl, and server-side apply.

The API server turns YAML into JSON (sigs.k8s.io/yaml, YAML 1.1): it reads the first document only, follows anchors,
honours merge keys, and takes `yes`, `0777` and `1_000` for other things than text. Refused here: several documents,
directives, anchors, aliases, tags, merge keys, duplicate keys, keys that are not text, and every plain scalar that one
of YAML 1.1, YAML 1.2, PyYAML or go-yaml reads as something other than what JSON would. Quoting always helps.
kubectl and client-go send JSON inside YAML, which is read as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml import events

from addons.core import strict_json
from addons.core.strict_json import MAX_DEPTH, UnreadableBody

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where it is there: go-yaml's scanner is a port of it."""

_LINE_BREAKS_ONLY_FOR_YAML = re.compile("[\x85\u2028\u2029\ufeff]")
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_AMBIGUOUS = re.compile(
    r"""
    y|n|yes|no|on|off|null|true|false|=|<<          # in any case, though not all parsers take all cases
    | [-+]?(0b[01]+|0o?[0-7]+|0x[0-9a-f]+|[0-9]+)   # integers with a base, a plus or a leading zero
    | [-+]?(\.[0-9]+|[0-9]+\.?[0-9]*)(e[-+]?[0-9]+)?
    | [-+]?[0-9]+(:[0-9]+)+(\.[0-9]*)?              # base 60
    | [-+]?\.(inf|nan)
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*              # timestamps
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def loads(raw: bytes) -> Any:
    """The decoded value of the only document. Raises UnreadableBody."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise UnreadableBody("the body is not UTF-8") from None
    if _LINE_BREAKS_ONLY_FOR_YAML.search(text):
        raise UnreadableBody("the body has a character that YAML takes for a line break or a byte order mark")
    if text.lstrip(" \n").startswith(("{", "[")):
        return strict_json.loads(raw)
    if _DIRECTIVE.search(text):
        raise UnreadableBody("the body has a YAML directive")
    return _document(text)


def _document(text: str) -> Any:
    try:
        stream = yaml.parse(text, Loader=_LOADER)
        for expected in (events.StreamStartEvent, events.DocumentStartEvent):
            if not isinstance(next(stream), expected):
                raise UnreadableBody("the body has no YAML document")
        value = _value(next(stream), stream, 0)
        next(stream)
        if not isinstance(next(stream), events.StreamEndEvent):
            raise UnreadableBody("the body has several YAML documents, of which the API server reads the first alone")
    except yaml.YAMLError:
        raise UnreadableBody("the body is not YAML") from None
    return value


def _value(event: yaml.Event, stream: Iterator[yaml.Event], depth: int) -> Any:
    if not isinstance(event, events.ScalarEvent | events.CollectionStartEvent) or event.anchor is not None:
        raise UnreadableBody("the body has a YAML anchor or alias")
    if event.tag is not None:
        raise UnreadableBody("the body has a YAML tag")
    if depth > MAX_DEPTH:
        raise UnreadableBody(f"the body nests deeper than {MAX_DEPTH} levels")
    if isinstance(event, events.ScalarEvent):
        return event.value if event.style else _plain(event.value)
    if isinstance(event, events.SequenceStartEvent):
        return list(_items(stream, events.SequenceEndEvent, depth))
    return _mapping(stream, depth)


def _items(stream: Iterator[yaml.Event], end: type[yaml.Event], depth: int) -> Iterator[Any]:
    while not isinstance(event := next(stream), end):
        yield _value(event, stream, depth + 1)


def _mapping(stream: Iterator[yaml.Event], depth: int) -> dict[str, Any]:
    flat = list(_items(stream, events.MappingEndEvent, depth))
    keys = flat[::2]
    if not all(isinstance(key, str) and key != "<<" for key in keys):
        raise UnreadableBody("the body has a YAML key that is not plain text")
    if len(set(keys)) != len(keys):
        raise UnreadableBody("the body has the same key twice in one mapping")
    return dict(zip(keys, flat[1::2], strict=True))


def _plain(text: str) -> Any:
    """A scalar without quotes: a JSON constant or number, or text that no parser takes for anything else."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _JSON_NUMBER.fullmatch(text):
        return strict_json.loads(text.encode())
    if _AMBIGUOUS.fullmatch(text.replace("_", "")):
        raise UnreadableBody("the body has an unquoted YAML value that parsers read differently: quote it")
    return text
