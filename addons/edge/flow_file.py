"""Exchanges as records of a mitmproxy flow file: scrubbed, and readable by stock mitmweb and mitmdump.

A record is built from the parts of a flow, never from a copy of it: headers are scrubbed, bodies are the ones given
here, and mitmproxy's `backup` (which would hold the flow as it was before) is left out. What does not change during a
connection is encoded once per connection.
Source of the format: mitmproxy/io/tnetstring.py and `get_state()` of mitmproxy's flow classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.http import HTTPFlow, Message
from mitmproxy.io import tnetstring
from mitmproxy.version import FLOW_FORMAT_VERSION

from addons.core.headers import Fields
from addons.core.redaction import scrub_headers, scrub_target

MessageState = tuple[int, bool, bytes, float, bool, bool]
"""A WebSocket message as mitmproxy stores it: type, from client, content, timestamp, dropped, injected."""


class FlowEncoder:
    """Encodes the flows of one process."""

    def __init__(self) -> None:
        self._connections: WeakKeyDictionary[Connection, bytes] = WeakKeyDictionary()

    def encode(
        self,
        flow: HTTPFlow,
        request_body: bytes | None,
        response_body: bytes | None,
        metadata: Mapping[str, str | int | bool],
        comment: str,
        mark: str,
        messages: Sequence[MessageState] = (),
    ) -> bytes:
        """One record. The bodies must be masked already; the next three are what viewers show with it."""
        parts = {
            "id": flow.id,
            "error": flow.error.get_state() if flow.error else None,
            "marked": mark,
            "comment": comment,
            "timestamp_created": flow.timestamp_created,
            "websocket": _websocket(flow, messages),
        }
        return _dictionary(
            parts,
            *(_ALWAYS, _METADATA, _dictionary({}, _CHAPERONE, _dictionary(metadata))),
            *(_CLIENT, self._connection(flow.client_conn), _SERVER, self._connection(flow.server_conn)),
            *(_REQUEST, _request(flow, request_body), _RESPONSE, _response(flow, response_body)),
        )

    def _connection(self, connection: Connection) -> bytes:
        """Cached only once nothing about it will change but its end."""
        if (known := self._connections.get(connection)) is not None:
            return known
        told = {name: getattr(connection, name) for name in _names(type(connection))}
        lists = [(_KEYS[name], _list(value)) for name, value in told.items() if type(value) is list]
        scalars = {name: _state(value) for name, value in told.items() if type(value) is not list}
        encoded = _dictionary(scalars, *(part for pair in lists for part in pair))
        if connection.state is ConnectionState.OPEN and connection.timestamp_tls_setup:
            self._connections[connection] = encoded
        return encoded


@cache
def _names(connection: type[Connection]) -> tuple[str, ...]:
    """The fields of a connection that are written down."""
    return tuple(field.name for field in fields(connection) if field.metadata.get("serialize", True))


def _state(value: Any) -> Any:
    return value.get_state() if hasattr(value, "get_state") else value


def _list(values: list[Any]) -> bytes:
    """Certificates, ciphers and protocols: those of one program, or one cluster, are always the same."""
    return _usual(tuple(values)) if len(values) <= _USUAL else _unusual(values)


def _unusual(values: Sequence[Any]) -> bytes:
    return tnetstring.dumps([_state(each) for each in values])


_USUAL = 64
_usual = lru_cache(256)(_unusual)


_CLIENT, _SERVER, _REQUEST, _RESPONSE, _HEADERS, _METADATA, _CHAPERONE = (
    tnetstring.dumps(key)
    for key in ("client_conn", "server_conn", "request", "response", "headers", "metadata", "chaperone")
)
_NONE = tnetstring.dumps(None)


def _dictionary(scalars: Mapping[str, Any], *encoded: bytes) -> bytes:
    """What `tnetstring.dumps` makes of a dictionary, some of it encoded already, in a quarter of the time."""
    inner = _content(scalars, *encoded)
    return b"%d:%s}" % (len(inner), inner)


def _content(scalars: Mapping[str, Any], *encoded: bytes) -> bytes:
    """The same without what encloses it."""
    parts = [*encoded]
    for key, value in scalars.items():
        parts.append(_KEYS[key])
        kind = type(value)  # told apart here, forty times per record: a function for it would take twice as long
        if value is None:
            parts.append(_NONE)
        elif kind is bytes:
            parts.append(b"%d:%s," % (len(value), value))
        elif kind is str:
            text = value.encode()
            parts.append(b"%d:%s;" % (len(text), text))
        elif kind is float:
            text = repr(value).encode()
            parts.append(b"%d:%s^" % (len(text), text))
        else:
            parts.append(tnetstring.dumps(value))
    return b"".join(parts)


class _Keys(dict[str, bytes]):
    """The few names of fields, encoded."""

    def __missing__(self, key: str) -> bytes:
        encoded = self[key] = tnetstring.dumps(key)
        return encoded


_KEYS = _Keys()


_ALWAYS = _content(
    {"version": FLOW_FORMAT_VERSION, "type": "http", "intercepted": False, "is_replay": None, "backup": None}
)


def _message(message: Message, body: bytes | None, line: bytes, more: Mapping[str, Any]) -> bytes:
    data = message.data
    scalars = {"content": body, "timestamp_start": data.timestamp_start, "timestamp_end": data.timestamp_end, **more}
    return _dictionary(scalars, line, _HEADERS, _fields(data.headers.fields))


def _fields(fields: Fields) -> bytes:
    """What `tnetstring.dumps` makes of scrubbed headers, in a third of the time."""
    pairs = [b"%d:%s,%d:%s," % (len(name), name, len(value), value) for name, value in scrub_headers(fields)]
    inner = b"".join([b"%d:%s]" % (len(pair), pair) for pair in pairs])
    return b"%d:%s]" % (len(inner), inner)


def _request(flow: HTTPFlow, body: bytes | None) -> bytes:
    data = flow.request.data
    line = _request_line(data.host, data.port, data.method, data.scheme, data.authority, data.http_version)
    path = scrub_target(data.path.decode("latin-1")).encode("latin-1")
    return _message(flow.request, body, line, {"path": path})


def _response(flow: HTTPFlow, body: bytes | None) -> bytes:
    if flow.response is None:
        return _NONE
    data = flow.response.data
    return _message(flow.response, body, _status_line(data.status_code, data.reason, data.http_version), {})


# Most requests of a cluster have one of a few lines, but for the path.
@lru_cache(256)
def _request_line(host: str, port: int, method: bytes, scheme: bytes, authority: bytes, http_version: bytes) -> bytes:
    line = {"host": host, "port": port, "method": method, "scheme": scheme, "authority": authority}
    return _content({**line, "http_version": http_version, "trailers": None})


@lru_cache(256)
def _status_line(status_code: int, reason: bytes, http_version: bytes) -> bytes:
    return _content({"status_code": status_code, "reason": reason, "http_version": http_version, "trailers": None})


def _websocket(flow: HTTPFlow, messages: Sequence[MessageState]) -> dict[str, Any] | None:
    return None if flow.websocket is None else {**flow.websocket.get_state(), "messages": [*messages]}
