"""What "refused" means for each kind of event, and the one place that catches everything.

mitmproxy logs an exception in an addon and carries on, which for a gate means: let it pass. Here every hook runs under
`run_hooks`, and an exception refuses whatever the event was about. A fault in one hook does not skip the others: the
record of a refused request must still be written.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import structlog
from mitmproxy import http, tcp
from mitmproxy.connection import Client
from mitmproxy.exceptions import AddonHalt
from mitmproxy.flow import Flow
from mitmproxy.hooks import Hook
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tls import ClientHelloData, TlsData

from addons.core.printable import printable
from addons.core.redaction import scrub_text
from addons.core.refusal import Refusal
from addons.core.scope import spoken
from addons.edge.database import StoreUnavailable
from addons.exchange import Exchange, IncompleteExchange, exchange_of
from addons.upgrade_hooks import Passing

log = structlog.get_logger()

Disconnect = Callable[[Client], None]
HookFunction = Callable[..., Any]

STATUS_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_TEXT_HEADERS = ((b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"))
_READ_RAW = ("/api", "/apis")  # where a client starts; see Refusal.plain
_FAULT = Refusal(
    code=503,
    rule="gateway-fault",
    why="the gateway could not judge this request, so it was not forwarded",
    hint="tell the people who run the gateway the reference; it is in the gateway's log",
)
_NO_STORE = Refusal(
    code=503,
    rule="store-unavailable",
    why="the gateway cannot reach its store of approvals, so it could not judge this request",
    hint="try again; if it lasts, tell the people who run the gateway",
    retry_after_seconds=5,
)


def settled(flow: http.HTTPFlow) -> bool:
    """True once the flow has its answer, or its end: later gates then leave it alone."""
    return flow.response is not None or flow.error is not None


def refuse(flow: http.HTTPFlow, refusal: Refusal) -> None:
    """Answer the request here, as a `metav1.Status`; it is never forwarded."""
    try:
        exchange = exchange_of(flow)
        refusal = refusal if refusal.what else replace(refusal, what=what_of(flow, exchange))
        exchange.refusal, reference = refusal, exchange.id
    except IncompleteExchange:  # the perimeter itself failed
        reference = flow.id
    raw = refusal.code == 403 and flow.request.path.partition("?")[0] in _READ_RAW
    headers = [*(_TEXT_HEADERS if raw else STATUS_HEADERS)]
    if refusal.retry_after_seconds is not None:
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    if refusal.code == 401:
        headers.append((b"www-authenticate", b'Bearer realm="chaperone"'))
    body = refusal.plain(reference) if raw else refusal.status(reference)
    flow.response = http.Response.make(refusal.code, body, headers)


def what_of(flow: http.HTTPFlow, exchange: Exchange) -> str:
    """The request in words; its method and path alone while nobody has understood it."""
    if exchange.request is not None:
        return spoken(exchange.request)
    return printable(f"pass on {flow.request.method} {scrub_text(flow.request.path.partition('?')[0])}")


async def run_hooks(functions: Sequence[HookFunction], event: Hook, disconnect: Disconnect) -> None:
    """Run an event's hooks in order; an exception in one refuses what the event is about."""
    if (rest := start_hooks(functions, event, disconnect)) is not None:
        await rest


def start_hooks(functions: Sequence[HookFunction], event: Hook, disconnect: Disconnect) -> Awaitable[None] | None:
    """As `run_hooks`, up to the first that has to wait: what is left to be awaited, or None. Most have none."""
    hooks = _hooks(functions, event, disconnect)
    try:
        hooks.send(None)
    except StopIteration:
        return None
    return hooks


@types.coroutine
def _hooks(functions: Sequence[HookFunction], event: Hook, disconnect: Disconnect) -> Generator[Any, Any, None]:
    """Stops once by itself, before the first that has to wait: whoever goes on from there does it in a task."""
    args, waits = event.args(), False
    for function in functions:
        try:
            result = function(*args)
            if result is not None and inspect.isawaitable(result):
                if not waits:
                    waits = True
                    yield
                yield from result.__await__()
        except AddonHalt:
            return
        except Exception as fault:  # the one broad except: whatever went wrong, the request stays here
            _fail_closed(event.name, args[0] if args else None, disconnect, fault)  # before anything else can go wrong
            if isinstance(fault, StoreUnavailable):  # no fault of the gateway's
                log.error("store unavailable: the request was refused", addon=_owner(function), error=str(fault))
            else:
                log.error("hook failed", hook=event.name, addon=_owner(function), exc_info=fault)


def _owner(function: HookFunction) -> str:
    return type(getattr(function, "__self__", function)).__name__


def _fail_closed(name: str, subject: Any, disconnect: Disconnect, fault: Exception) -> None:
    """Refuse `subject`, whichever kind it is. An event of no known kind (start, configuration) ends the process."""
    match subject:
        case http.HTTPFlow() if name in ("http_connect", "requestheaders", "request"):
            refuse(subject, _NO_STORE if isinstance(fault, StoreUnavailable) else _FAULT)
        case http.HTTPFlow() if name in ("responseheaders", "response"):
            _withhold(subject, disconnect)
        case Passing():
            subject.message.withheld = True
            disconnect(subject.flow.client_conn)
        case tcp.TCPFlow() if subject.messages:
            subject.messages[-1].content = b""
            disconnect(subject.client_conn)
        case Client() if name == "client_connected":
            subject.error = "gateway fault"
        case Flow():
            disconnect(subject.client_conn)
        case Client():
            pass  # client_disconnected: there is nothing left to refuse
        case ServerConnectionHookData():
            subject.server.error = "gateway fault"
            disconnect(subject.client)
        case TlsData() | ClientHelloData() | NextLayer():
            disconnect(subject.context.client)
        case _:
            raise fault


def _withhold(flow: http.HTTPFlow, disconnect: Disconnect) -> None:
    """Keep a reply from the agent: a kill works in these two hooks; once the flow is over only a disconnect does."""
    if flow.killable:
        flow.kill()
    else:
        disconnect(flow.client_conn)
