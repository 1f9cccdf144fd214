"""mitmproxy's reading of requests, stricter: what it would crash on, or keep without end, is refused with a `Status`.

Trailers and broken chunks are answered with 400, a head that does not end with 431, a body that does not end with 413;
then the connection is closed. Each function here stands in for the one it names, and calls it for all that is in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from h11 import EndOfMessage, RemoteProtocolError
from h11._readers import ChunkedReader
from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Error
from mitmproxy.proxy.commands import CloseConnection, Command, SendData
from mitmproxy.proxy.events import DataReceived, Event
from mitmproxy.proxy.layers.http import HttpStream, SendHttp, _http1
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook

from addons.protocol_errors import status_response, traced

MAX_HEAD_BYTES = 512 * 1024
"""Of a request line and headers; an exec carries its whole command there, and the API server takes 1 MiB."""
_MAX_CHUNK = 1 << 31
_Reading = Callable[[Any, Any], Iterator[Command]]

_server: Any = _http1.Http1Server
_stream: Any = HttpStream
_read_headers, _read_body, _wait = _server.read_headers, _server.read_body, _server.wait
_send = _server.send
_make_body_reader, _check_body_size = _http1.make_body_reader, _stream.check_body_size


def be_strict(request_bytes: int) -> None:
    """Replace them all, for the life of the process; `request_bytes` is the largest body of a request."""
    _http1.make_body_reader = _body_reader
    _server.read_body = _answered(_read_body)
    _server.read_headers = _bounded(_read_headers, answer=True)
    _server.wait = _bounded(_wait)
    _server.send = _interim(_send)
    _stream.check_body_size = _limited(_check_body_size, request_bytes)


class PlainChunks(ChunkedReader):
    """A chunked body without trailers: they come after the headers were judged, and mitmproxy crashes on them."""

    def __call__(self, buf: Any) -> Any:
        """As h11's, which raises a ProtocolError for what it cannot read."""
        event = super().__call__(buf)
        if isinstance(event, EndOfMessage) and event.headers:
            raise RemoteProtocolError("trailers are not accepted")
        if self._bytes_in_chunk > _MAX_CHUNK or (self._reading_trailer and len(buf) > MAX_HEAD_BYTES):
            raise RemoteProtocolError("a chunk or the trailers are too large")
        return event


def _body_reader(expected_size: int | None) -> Any:
    return PlainChunks() if expected_size is None else _make_body_reader(expected_size)


def _answered(original: _Reading) -> _Reading:
    """mitmproxy closes the connection without a word when it cannot read a body; here the client learns why."""

    def read_body(self: Any, event: Event) -> Iterator[Command]:
        closing: CloseConnection | None = None
        for command in original(self, event):
            if isinstance(command, CloseConnection):
                closing = command
                continue
            if closing and isinstance(event, DataReceived) and (why := _unreadable(command)):
                if self.conn.state & ConnectionState.CAN_WRITE:  # it may have had its answer, by its headers
                    yield SendData(self.conn, status_response(400, why))
                self.state = self.done
            yield command
        if closing:
            yield closing

    return read_body


def _unreadable(command: Command) -> str:
    """Why the request cannot be read, if that is what a command says."""
    if isinstance(command, ReceiveHttp) and isinstance(command.event, RequestProtocolError):
        return command.event.message
    return ""


def _bounded(original: _Reading, answer: bool = False) -> _Reading:
    """A client may not make the gateway keep more than a head: of one request, or behind one that is not over yet."""

    def read(self: Any, event: Event) -> Iterator[Command]:
        state = self.state
        yield from original(self, event)
        if isinstance(event, DataReceived) and self.state == state and len(self.buf) > MAX_HEAD_BYTES:
            if answer:
                yield SendData(self.conn, status_response(431, "the request line and headers are too large"))
                self.state = self.done
            yield CloseConnection(self.conn)

    return read


def _interim(original: _Reading) -> _Reading:
    """`100 Continue` is no answer yet: a refusal that follows it is told, too."""

    def send(self: Any, event: Any) -> Iterator[Command]:
        yield from original(self, event)
        if isinstance(event, ResponseHeaders) and event.response.status_code == 100:
            self.response = None

    return send


def _limited(original: Callable[[Any, bool], Iterator[Any]], limit: int) -> Callable[[Any, bool], Iterator[Any]]:
    """mitmproxy has one limit for requests and replies; a reply may be larger by far."""

    def check_body_size(self: Any, request: bool) -> Any:
        if not request or len(self.request_body_buf) <= limit:
            return (yield from original(self, request))
        why = traced(self, f"the body is larger than the {limit} bytes this gateway inspects")
        self.flow.error = Error(why)
        yield HttpErrorHook(self.flow)
        yield SendHttp(ResponseProtocolError(self.stream_id, why, ErrorCode.REQUEST_TOO_LARGE), self.context.client)
        self.client_state, self.flow.live = self.state_errored, False
        return True

    return check_body_size
