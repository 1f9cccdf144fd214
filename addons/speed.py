"""What is replaced because it is slow: each piece does exactly what the original does, as tests prove.

Only called for every event, every look-up of a header or every id; a gateway spends a third of a request's time there.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Hashable
from functools import cache
from typing import Any, cast

from mitmproxy import http
from mitmproxy.hooks import Hook


def speed_up() -> None:
    """Replace them all, for the life of the process."""
    Hook.args = _arguments  # type: ignore[method-assign, assignment]
    for message in (http.MessageData, http.RequestData, http.ResponseData):
        # A type check of every field of every message: a debugging aid of mitmproxy's own development.
        setattr(message, "__post_init__", lambda _self: None)  # noqa: B010 - a method of a dataclass mypy will not assign
    http.Headers.get_all = get_all  # type: ignore[method-assign, assignment]
    http.Headers.get = get  # type: ignore[method-assign, assignment]
    http.Headers.__contains__ = contains  # type: ignore[method-assign, assignment]
    uuid.uuid4 = uuid4
    os.register_at_fork(after_in_child=_random.clear)


_random: list[bytes] = []
_IDS = 256


def uuid4() -> uuid.UUID:
    """`uuid.uuid4`; randomness is fetched for many at once, as each time is a system call."""
    while True:
        try:
            return uuid.UUID(bytes=_random.pop(), version=4)
        except IndexError:
            fetched = os.urandom(16 * _IDS)
            _random.extend(fetched[start : start + 16] for start in range(0, len(fetched), 16))


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
