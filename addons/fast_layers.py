"""What of mitmproxy's protocol layers is replaced because it is slow: each does exactly what the original does.

Every event goes through a dozen layers, and every command back through them: what they do for each is a third of the
time of a request. Left out are the traces of debugging, type checks that come to nothing for nearly every command, and
reading from TLS what is not there. What is sent through TLS in a row is one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mitmproxy.proxy.commands import Command, OpenConnection, RequestWakeup, SendData
from mitmproxy.proxy.events import CommandCompleted, ConnectionEvent, DataReceived, Event
from mitmproxy.proxy.layer import Layer, Paused
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnection,
    HttpLayer,
    RegisterHttpConnection,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import RequestHeaders
from mitmproxy.proxy.layers.http._http1 import Http1Connection
from mitmproxy.proxy.layers.tls import TLSLayer
from mitmproxy.proxy.tunnel import TunnelLayer, TunnelState
from OpenSSL import SSL

from addons.inline import joins

_MAX_READ = 65535
_layer: Any = Layer
_http: Any = HttpLayer
_http1: Any = Http1Connection
_tunnel: Any = TunnelLayer
_tls: Any = TLSLayer


def speed_up_layers() -> None:
    """Replace them all, for the life of the process."""
    _layer.handle_event = handle_event
    _http.handle_event = http_handle_event
    _http.event_to_child = http_event_to_child
    _tunnel.event_to_child = tunnel_event_to_child
    _http1.handle_event = _http1._handle_event  # nothing that it does waits
    _tls.handle_event = tls_handle_event
    _tls.tls_interact = tls_interact


def handle_event(layer: Any, event: Event) -> Iterator[Command]:
    """`Layer.handle_event`: a command that blocks pauses the layer, until the event with its reply."""
    paused, reply = layer._paused, None
    if not paused:
        generator = layer._handle_event(event)
    elif isinstance(event, CommandCompleted) and event.command is paused.command:
        layer._paused, generator, reply = None, paused.generator, event.reply
    else:
        layer._paused_event_queue.append(event)
        return
    while True:
        try:
            command = generator.send(reply)
            while command.blocking is not True:
                yield command
                command = next(generator)
        except StopIteration:
            if not paused or layer._paused or not layer._paused_event_queue:
                return
            generator, reply = layer._handle_event(layer._paused_event_queue.popleft()), None
        else:
            command.blocking, layer._paused = layer, Paused(command, generator)
            yield command
            return


def http_handle_event(http: Any, event: Event) -> Iterator[Command]:
    """`HttpLayer.handle_event`: it waits for nothing itself, and mostly hands on to whom it knows."""
    if http._paused:
        yield from handle_event(http, event)
    elif isinstance(event, CommandCompleted):
        yield from http_event_to_child(http, http.command_sources.pop(event.command), event)
    elif isinstance(event, ConnectionEvent) and (child := http.connections.get(event.connection)) is not None:
        yield from http_event_to_child(http, child, event)
    else:
        yield from handle_event(http, event)


def http_event_to_child(http: Any, child: Any, event: Event) -> Iterator[Command]:
    """`HttpLayer.event_to_child`: streams and connections exchange HTTP events; replies find whoever asked."""
    for command in child.handle_event(event):
        kind = type(command)
        if kind is SendData:
            yield command
        elif kind is ReceiveHttp:
            received = command.event
            if isinstance(received, RequestHeaders):
                yield from http.make_stream(received.stream_id)
            if (stream := http.streams.get(received.stream_id)) is not None:
                yield from http_event_to_child(http, stream, received)
        elif kind is SendHttp:
            yield from http_event_to_child(http, http.connections[command.connection], command.event)
        else:
            yield from _rare(http, child, command)


def _rare(http: Any, child: Any, command: Command) -> Iterator[Command]:
    if command.blocking or isinstance(command, RequestWakeup):
        http.command_sources[command] = child
    if isinstance(command, DropStream):
        http.streams.pop(command.stream_id, None)
    elif isinstance(command, GetHttpConnection):
        yield from http.get_connection(command)
    elif isinstance(command, RegisterHttpConnection):
        yield from http.register_connection(command)
    else:
        if isinstance(command, OpenConnection):
            http.connections[command.connection] = child
        yield command


def tunnel_event_to_child(tunnel: Any, event: Event) -> Iterator[Command]:
    """`TunnelLayer.event_to_child`; what the child sends in a row goes through the tunnel at once."""
    if tunnel.tunnel_state is TunnelState.ESTABLISHING and not tunnel.command_to_reply_to:
        tunnel._event_queue.append(event)
        return
    waiting: SendData | None = None
    for command in tunnel.child_layer.handle_event(event):
        if waiting is not None:
            if type(command) is SendData and joins(waiting, command):
                waiting = SendData(waiting.connection, waiting.data + command.data)
                continue
            yield from tunnel._handle_command(waiting)
            waiting = None
        if type(command) is SendData and command.connection is tunnel.conn:
            waiting = command
        else:
            yield from tunnel._handle_command(command)
    if waiting is not None:
        yield from tunnel._handle_command(waiting)


def tls_handle_event(tls: Any, event: Event) -> Iterator[Command]:
    """`TLSLayer.handle_event`: once TLS is established it waits for nothing itself, until its connection is closed."""
    if tls.tunnel_state is not TunnelState.OPEN or tls._paused:
        yield from handle_event(tls, event)
    elif not isinstance(event, ConnectionEvent) or event.connection != tls.conn:
        yield from tunnel_event_to_child(tls, event)
    elif isinstance(event, DataReceived):
        yield from tls.receive_data(event.data)
    else:
        yield from handle_event(tls, event)


def tls_interact(tls: Any) -> Iterator[Command]:
    """`TLSLayer.tls_interact`: send what TLS has to say. A read that is not full has read it all (BIO_s_mem(3))."""
    try:
        while True:
            yield SendData(tls.conn, data := tls.tls.bio_read(_MAX_READ))
            if len(data) < _MAX_READ:
                return
    except SSL.WantReadError:
        return
