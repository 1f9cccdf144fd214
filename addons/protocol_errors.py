"""What mitmproxy answers by itself, when a peer does not speak HTTP or the cluster is away: a Status, as all refusals.

Its own answer would be an HTML page, which kubectl prints whole, and would not say which request it was about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from mitmproxy import http
from mitmproxy.net.http.http1.assemble import assemble_response
from mitmproxy.proxy.commands import Command
from mitmproxy.proxy.layers.http import HttpStream, _http1, _http2
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseProtocolError

from addons.core.refusal import Refusal
from addons.exchange import IncompleteExchange, exchange_of
from addons.refusal import STATUS_HEADERS, what_of

_OUR_CODES = (400, 413, 431, 502, 503)
_RETRY_SECONDS = 5
_TOO_LARGE = ("too-large", "send smaller objects, or several requests")
_MALFORMED = ("protocol-error", "send a well-formed, smaller request")


def speak_status() -> None:
    """Replace mitmproxy's own answers, for the life of the process."""
    if HttpStream.handle_protocol_error is not _handle_protocol_error:
        HttpStream.handle_protocol_error = _handle_protocol_error  # type: ignore[method-assign, assignment]
        ErrorCode.http_status_code = _status_code  # type: ignore[method-assign, assignment]
    _http1.make_error_response = status_response
    _http2.format_error = _body  # type: ignore[attr-defined]


class _Traced(str):
    """The text of an error, and which exchange it ended: mitmproxy hands on nothing but the text."""

    __slots__ = ("reference", "what")
    reference: str
    what: str


_original_handler: Callable[[HttpStream, Any], Iterator[Command]] = HttpStream.handle_protocol_error
_original_code: Callable[[ErrorCode], int | None] = ErrorCode.http_status_code


def _handle_protocol_error(
    stream: HttpStream, event: RequestProtocolError | ResponseProtocolError
) -> Iterator[Command]:
    event.message = traced(stream, event.message)
    return _original_handler(stream, event)


def traced(stream: HttpStream, message: str) -> str:
    """The message, and in it whatever the answer can say about the request it ended."""
    try:
        exchange = exchange_of(stream.flow)
    except (AttributeError, IncompleteExchange):
        return message  # its headers were never read
    text = _Traced(message)
    text.reference, text.what = exchange.id, what_of(stream.flow, exchange)
    return text


def _status_code(code: ErrorCode) -> int | None:
    """503 while nothing was sent to the cluster: unlike after a broken reply, anything may be sent again."""
    return 503 if code is ErrorCode.CONNECT_FAILED else _original_code(code)


def _refusal(status_code: int, message: str) -> Refusal:
    code = status_code if status_code in _OUR_CODES else 502
    if code < 500:
        rule, hint = _TOO_LARGE if code == 413 else _MALFORMED
        return Refusal(code=code, rule=rule, why=message, hint=hint)
    if code == 503:
        return Refusal(
            code=code,
            rule="cluster-unreachable",
            why=f"the gateway cannot reach the cluster: {message}",
            hint="wait: nothing was sent; if it stays so, tell the people who run the gateway the reference",
            retry_after_seconds=_RETRY_SECONDS,
        )
    return Refusal(
        code=code,
        rule="cluster-broke-off",
        why=f"the cluster did not answer to the end: {message}",
        hint="a write may have taken effect: look before you repeat it",
        retry="what only reads, yes",
    )


def _body(status_code: int, message: str) -> bytes:
    refusal = _refusal(status_code, message)
    if isinstance(message, _Traced):
        return replace(refusal, what=message.what).status(message.reference)
    return refusal.status("none")


def status_response(status_code: int, message: str = "") -> bytes:
    """Such an answer, whole, in HTTP/1."""
    refusal = _refusal(status_code, message)
    retry = refusal.retry_after_seconds
    headers = [*STATUS_HEADERS, (b"connection", b"close")]
    if retry is not None:
        headers.append((b"retry-after", str(retry).encode()))
    response = http.Response.make(refusal.code, _body(status_code, message), headers)
    return bytes(assemble_response(response))
