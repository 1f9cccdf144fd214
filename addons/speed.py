"""What is replaced because it is slow: each piece does exactly what the original does, as tests prove.

Only called for every event, every look-up of a header or every id; a gateway spends a third of a request's time there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import uuid
from collections.abc import Hashable, Iterable
from functools import cache, lru_cache
from typing import Any, cast

from mitmproxy import http, optmanager
from mitmproxy.connection import Client, Connection, Server
from mitmproxy.hooks import Hook
from mitmproxy.net.http import http1, validate
from mitmproxy.net.http.http1 import read
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.utils import asyncio_utils

_option: Any = optmanager._Option
_current = _option.current
_expected_http_body_size = read.expected_http_body_size
_raise_if_http_version_unknown = read.raise_if_http_version_unknown
_body_size_users: tuple[Any, ...] = (read, http1, http_layers)
parse_transfer_encoding = lru_cache(16)(validate.parse_transfer_encoding)
"""Of the caller's own texts only few are remembered."""


def speed_up() -> None:
    """Replace them all, for the life of the process."""
    Hook.args = _arguments  # type: ignore[method-assign, assignment]
    for message in (http.MessageData, http.RequestData, http.ResponseData):
        # A type check of every field of every message: a debugging aid of mitmproxy's own development.
        setattr(message, "__post_init__", lambda _self: None)  # noqa: B010 - a method of a dataclass mypy will not assign
    http.Headers.get_all = get_all  # type: ignore[method-assign, assignment]
    http.Headers.get = get  # type: ignore[method-assign, assignment]
    http.Headers.__contains__ = contains  # type: ignore[method-assign, assignment]
    http.Headers.set_all = set_all  # type: ignore[method-assign, assignment]
    Context.fork = fork  # type: ignore[method-assign, assignment]
    Connection.__eq__ = same  # type: ignore[method-assign]
    for module in _body_size_users:
        module.expected_http_body_size = expected_http_body_size
    read.raise_if_http_version_unknown = raise_if_http_version_unknown
    validate.parse_transfer_encoding = parse_transfer_encoding
    _option.current = current
    asyncio_utils.set_task_debug_info = set_task_debug_info
    uuid.uuid4 = uuid4
    os.register_at_fork(after_in_child=_random.clear)


_random: list[bytes] = []
_IDS = 256


def uuid4() -> uuid.UUID:
    """`uuid.uuid4`; randomness is fetched for many at once, as each time is a system call."""
    while True:
        try:
            number = int.from_bytes(_random.pop())
        except IndexError:
            fetched = os.urandom(16 * _IDS)
            _random.extend(fetched[start : start + 16] for start in range(0, len(fetched), 16))
        else:
            made = object.__new__(uuid.UUID)  # without a check of each of six ways to say what it is
            object.__setattr__(made, "int", number & _FREE_BITS | _VERSION_4)
            object.__setattr__(made, "is_safe", uuid.SafeUUID.unknown)
            return made


_VERSION_4 = 0x4 << 76 | 0b10 << 62
"""Version and variant (RFC 9562, section 5.4)."""
_FREE_BITS = (1 << 128) - 1 ^ (0xF << 76 | 0b11 << 62)


def fork(context: Context) -> Context:
    """`Context.fork`, without a server that it makes and throws away."""
    made = object.__new__(Context)
    made.client, made.server, made.options = context.client, context.server, context.options
    made.layers = context.layers.copy()
    return made


def same(one: Connection, other: object) -> bool:
    """`Connection.__eq__`; mostly a connection is compared with itself, or a client's with a server's."""
    if one is other:
        return True
    known = type(other) in _CONNECTIONS or isinstance(other, Connection)  # which looks into a registry of subclasses
    return known and one.id == cast(Connection, other).id


_CONNECTIONS = (Client, Server)


def get_all(headers: http.Headers, name: str | bytes) -> list[str]:
    """`Headers.get_all`: every value of a header, in order."""
    wanted = _key(name)
    length = len(wanted)
    return [
        value.decode("utf-8", "surrogateescape")
        for key, value in headers.fields
        if len(key) == length and key.lower() == wanted  # the length alone tells most names apart, and at once
    ]


def get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    """`Headers.get`: the values of a header folded into one, `default` without any."""
    values = get_all(headers, name)
    return ", ".join(values) if values else default


def contains(headers: http.Headers, name: object) -> bool:
    """`name in headers`."""
    if not isinstance(name, str | bytes):
        return False
    wanted = _key(name)
    length = len(wanted)
    for key, _ in headers.fields:  # noqa: SIM110 - a loop is faster than any()
        if len(key) == length and key.lower() == wanted:
            return True
    return False


def set_all(headers: http.Headers, name: str | bytes, values: Iterable[str | bytes]) -> None:
    """`Headers.set_all`: these values, where the old ones were; what is more goes to the end."""
    new, wanted, old = [_bytes(value) for value in values], _key(name), headers.fields
    length = len(wanted)
    places = [place for place, (key, _) in enumerate(old) if len(key) == length and key.lower() == wanted]
    fields = [*old]
    for place, value in zip(places, new, strict=False):
        fields[place] = (fields[place][0], value)
    for place in reversed(places[len(new) :]):
        del fields[place]
    headers.fields = (*fields, *((_bytes(name), value) for value in new[len(places) :]))


def expected_http_body_size(request: http.Request, response: http.Response | None = None) -> int | None:
    """`expected_http_body_size`; most messages that may have a body tell its length, or that there is none."""
    message: http.Message = request
    if response is not None:
        message, status = response, response.data.status_code
        if status < 200 or status in (204, 304) or request.data.method not in _METHODS:
            return _expected_http_body_size(request, response)
    length = coding = b""
    for name, value in message.data.headers.fields:
        if len(name) == _TRANSFER_ENCODING and name.lower() == b"transfer-encoding":
            if coding or value != b"chunked":
                return _expected_http_body_size(request, response)
            coding = value
        if len(name) == _CONTENT_LENGTH and name.lower() == b"content-length":
            if length or not value.isdigit() or value[:1] == b"0":
                return _expected_http_body_size(request, response)
            length = value
    if coding:
        return None  # whatever its length is said to be
    if length:
        return int(length)
    return 0 if response is None else -1


_METHODS = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE")
"""Whose replies have bodies."""
_TRANSFER_ENCODING, _CONTENT_LENGTH = len("transfer-encoding"), len("content-length")


def raise_if_http_version_unknown(http_version: bytes) -> None:
    """`raise_if_http_version_unknown`; nearly everybody speaks HTTP/1.1."""
    if http_version != b"HTTP/1.1":
        _raise_if_http_version_unknown(http_version)


def current(option: Any) -> Any:
    """`_Option.current`, without a deep copy of what nobody can change."""
    value = option._default if option.value is optmanager.unset else option.value
    return value if type(value) in (bool, int, str, type(None)) else _current(option)


def set_task_debug_info(task: asyncio.Task[Any], *, name: str, client: object = None) -> None:
    """`set_task_debug_info`, without what is for dumps of mitmproxy's own; it looks into the environment each time."""
    task.set_name(name)


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


@cache
def _lower(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape").lower()


def _key(name: str | bytes) -> bytes:
    """Names in code are few and are remembered; names from callers are bytes and are not."""
    return _lower(name) if isinstance(name, str) else name.lower()


def _arguments(event: Hook) -> list[Any]:
    return [getattr(event, name) for name in _field_names(cast(Hashable, type(event)))]


@cache
def _field_names(event: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(event))
