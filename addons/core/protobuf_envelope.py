"""The envelope of Kubernetes' protobuf bodies: which apiVersion and kind are inside, read without any schema.

The object itself is not decoded. Fields that occur twice, unknown fields and malformed lengths are refused, because
parsers merge or skip them differently.
Source: `Unknown` and `TypeMeta` in k8s.io/apimachinery/pkg/runtime/generated.proto;
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from addons.core.strict_json import UnreadableBody

MAGIC = b"k8s\x00"

_TYPE_META, _RAW, _CONTENT_ENCODING, _CONTENT_TYPE = 1, 2, 3, 4
_API_VERSION, _KIND = 1, 2
_LENGTH_DELIMITED = 2


def read_envelope(raw: bytes) -> tuple[str, str]:
    """`(apiVersion, kind)`, "" where the envelope leaves one out. Raises UnreadableBody."""
    meta = _fields(_envelope(raw).get(_TYPE_META, b""), {_API_VERSION, _KIND})
    return _text(meta.get(_API_VERSION, b"")), _text(meta.get(_KIND, b""))


def message_of(raw: bytes) -> bytes:
    """The object itself, still encoded. Raises UnreadableBody."""
    return _envelope(raw).get(_RAW, b"")


def _envelope(raw: bytes) -> dict[int, bytes]:
    if not raw.startswith(MAGIC):
        raise UnreadableBody("the body is not Kubernetes protobuf")
    envelope = _fields(raw[len(MAGIC) :], {_TYPE_META, _RAW, _CONTENT_ENCODING, _CONTENT_TYPE})
    if envelope.get(_CONTENT_ENCODING):
        raise UnreadableBody("the protobuf envelope has a content encoding")
    if envelope.get(_CONTENT_TYPE) not in (None, b"", b"application/vnd.kubernetes.protobuf"):
        raise UnreadableBody("the protobuf envelope has a content type of its own")
    return envelope


def _fields(message: bytes, known: set[int]) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        length, position = _varint(message, position)
        number = key >> 3
        if key & 7 != _LENGTH_DELIMITED or number not in known or number in fields:
            raise UnreadableBody("the protobuf envelope has a field that is unknown or occurs twice")
        if length > len(message) - position:
            raise UnreadableBody("the protobuf envelope is cut off")
        fields[number] = message[position : position + length]
        position += length
    return fields


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise UnreadableBody("the protobuf envelope is cut off")


def _text(raw: bytes) -> str:
    if len(raw) > 253 or not raw.isascii() or not raw.decode("ascii").isprintable():
        raise UnreadableBody("the protobuf envelope names no kind that could exist")
    return raw.decode("ascii")
