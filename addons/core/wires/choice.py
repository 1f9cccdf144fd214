"""Which protocols a session may be opened in, and how to read the one that the server chose.

A client offers several. The server is only offered those that can be read here: what it then chooses is never one that
would have to be cut off after the command has started.
"""

from __future__ import annotations

from collections.abc import Mapping

from addons.core.channels import CHANNELS, PROTOCOLS, Channel, Protocol, UnknownProtocol, protocol
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.wires.message import Lane, Wire
from addons.core.wires.purposes import Forwarding, RemoteCommand
from addons.core.wires.spdy import SpdyWire
from addons.core.wires.tunnel import TunnelWire
from addons.core.wires.websocket import ChannelWire, PlainWire

WEBSOCKET_PROTOCOL = "sec-websocket-protocol"
SPDY_PROTOCOL = "x-stream-protocol-version"
_COMMANDS = frozenset({"exec", "attach"})
_TUNNEL = "SPDY/3.1+portforward.k8s.io"
_PAIRS = {"": Protocol(1), "v4.channel.k8s.io": Protocol(4), "v4.base64.channel.k8s.io": Protocol(4, base64=True)}
_SPDY_COMMANDS = frozenset({"v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"})
_SPDY_FORWARD = frozenset({"portforward.k8s.io"})


def refuse_upgrade(request: KubeRequest) -> Refusal | None:
    """Why an upgraded connection could not be read, so that it must not be opened; None for everything else."""
    readable = request.upgrade != "spdy" or request.subresource in _COMMANDS | {"portforward"}
    return None if readable else _UNREADABLE


def offer(request: KubeRequest, offered: str) -> list[str]:
    """Of the protocols that a client offers, those that can be read here, in its order. Raises UnknownProtocol.

    `offered` is the value of WEBSOCKET_PROTOCOL or SPDY_PROTOCOL. Without any, it is the unnamed one.
    """
    names = [name for name in map(str.strip, offered.split(",")) if name]
    known = [name for name in names if request.subresource == "proxy" or name in _readable(request)]
    if names and not known:
        raise UnknownProtocol(f"none of the sub-protocols {', '.join(names)[:200]!r} can be read")
    return known


def wire_of(request: KubeRequest, reply: Mapping[str, str]) -> Wire:
    """How to read a session; `reply` are the headers of the 101 and finds names in lower case.

    Raises UnknownProtocol if the server switched to something else than what was asked for.
    """
    upgrade = reply.get("upgrade", "").lower()
    if upgrade != {"websocket": "websocket", "spdy": "spdy/3.1"}.get(request.upgrade):
        raise UnknownProtocol(f"the server switched to {upgrade[:80]!r}, which was not asked for")
    if request.upgrade == "spdy":
        return _spdy(request, reply.get(SPDY_PROTOCOL, ""))
    if reply.get("sec-websocket-extensions", ""):
        raise UnknownProtocol("the server chose a WebSocket extension, which was not asked for")
    chosen = reply.get(WEBSOCKET_PROTOCOL, "")
    if request.subresource == "proxy":
        return PlainWire()
    if request.subresource in _COMMANDS:
        return ChannelWire(protocol(chosen), {number: Lane(channel) for number, channel in enumerate(CHANNELS)})
    if chosen == _TUNNEL:
        return TunnelWire(SpdyWire(Forwarding(request.ports), json_status=False))
    return _pairs(request, chosen)


def _readable(request: KubeRequest) -> frozenset[str]:
    if request.subresource in _COMMANDS:
        return _SPDY_COMMANDS if request.upgrade == "spdy" else frozenset(PROTOCOLS)
    return _SPDY_FORWARD if request.upgrade == "spdy" else frozenset({_TUNNEL, *_PAIRS})


def _spdy(request: KubeRequest, chosen: str) -> Wire:
    if chosen not in _readable(request):
        raise UnknownProtocol(f"the sub-protocol {chosen[:80]!r} cannot be recorded")
    if request.subresource in _COMMANDS:
        return SpdyWire(RemoteCommand(request), json_status=chosen == "v4.channel.k8s.io")
    return SpdyWire(Forwarding(request.ports), json_status=False)


def _pairs(request: KubeRequest, chosen: str) -> Wire:
    """Ports in the order of the request; of each, an even channel for its data and the next one for errors."""
    if chosen not in _PAIRS:
        raise UnknownProtocol(f"the sub-protocol {chosen[:80]!r} cannot be recorded")
    lanes = {}
    for index, port in enumerate(request.ports):
        lanes[2 * index] = Lane(Channel.DATA, index + 1, port)
        lanes[2 * index + 1] = Lane(Channel.ERROR, index + 1, port)
    return ChannelWire(_PAIRS[chosen], lanes)


_UNREADABLE = Refusal(
    code=403,
    rule="upgrade-not-recorded",
    why="SPDY through a proxy subresource cannot be read, and what cannot be recorded is not forwarded",
    hint="use kubectl exec, attach or port-forward, which may speak SPDY, or a WebSocket",
)
