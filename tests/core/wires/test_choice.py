"""Which protocols a session may be opened in (B-30, B-40)."""

from __future__ import annotations

import pytest

from addons.core.channels import UnknownProtocol
from addons.core.wires import offer, refuse_upgrade, wire_of
from addons.core.wires.spdy import SpdyWire
from addons.core.wires.tunnel import TunnelWire
from addons.core.wires.websocket import ChannelWire, PlainWire
from tests.core.wires.test_websocket import request

TUNNEL = "SPDY/3.1+portforward.k8s.io"


@pytest.mark.parametrize(
    ("subresource", "upgrade", "offered", "passed"),
    [
        ("exec", "websocket", "", ""),
        ("exec", "websocket", "v5.channel.k8s.io, v4.channel.k8s.io", "v5.channel.k8s.io, v4.channel.k8s.io"),
        ("exec", "websocket", "v9.channel.k8s.io,base64.channel.k8s.io", "base64.channel.k8s.io"),
        ("attach", "spdy", "v4.channel.k8s.io, v9, v2.channel.k8s.io", "v4.channel.k8s.io, v2.channel.k8s.io"),
        ("portforward", "spdy", "portforward.k8s.io", "portforward.k8s.io"),
        ("portforward", "websocket", TUNNEL, TUNNEL),
        ("portforward", "websocket", "v4.channel.k8s.io", "v4.channel.k8s.io"),
        ("proxy", "websocket", "graphql-ws", "graphql-ws"),
    ],
)
def test_offers(subresource: str, upgrade: str, offered: str, passed: str) -> None:
    assert ", ".join(offer(request(subresource, upgrade), offered)) == passed


@pytest.mark.parametrize(
    ("subresource", "upgrade", "offered"),
    [
        ("exec", "websocket", "v6.channel.k8s.io"),
        ("exec", "websocket", TUNNEL),
        ("exec", "spdy", "v5.channel.k8s.io"),
        ("portforward", "websocket", "v5.channel.k8s.io"),
        ("portforward", "spdy", "v4.channel.k8s.io"),
    ],
)
def test_what_cannot_be_read_is_not_offered(subresource: str, upgrade: str, offered: str) -> None:
    with pytest.raises(UnknownProtocol, match="can be read"):
        offer(request(subresource, upgrade), offered)


@pytest.mark.parametrize(
    ("subresource", "upgrade", "headers", "kind"),
    [
        ("exec", "websocket", {"upgrade": "websocket"}, ChannelWire),
        ("exec", "spdy", {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io"}, SpdyWire),
        ("portforward", "spdy", {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "portforward.k8s.io"}, SpdyWire),
        ("portforward", "websocket", {"upgrade": "websocket", "sec-websocket-protocol": TUNNEL}, TunnelWire),
        ("portforward", "websocket", {"upgrade": "websocket"}, ChannelWire),
        ("proxy", "websocket", {"upgrade": "websocket", "sec-websocket-protocol": "x"}, PlainWire),
    ],
)
def test_wires(subresource: str, upgrade: str, headers: dict[str, str], kind: type) -> None:
    assert type(wire_of(request(subresource, upgrade), headers)) is kind


@pytest.mark.parametrize(
    ("subresource", "upgrade", "headers"),
    [
        pytest.param("exec", "", {"upgrade": "websocket"}, id="not-asked"),
        pytest.param("exec", "websocket", {"upgrade": "SPDY/3.1"}, id="another"),
        pytest.param("exec", "spdy", {"upgrade": "websocket"}, id="the-other"),
        pytest.param("exec", "spdy", {}, id="none"),
        pytest.param("exec", "spdy", {"upgrade": "SPDY/3.1"}, id="no-version"),
        pytest.param("exec", "websocket", {"upgrade": "websocket", "sec-websocket-protocol": "v6"}, id="unknown"),
        pytest.param("portforward", "websocket", {"upgrade": "websocket", "sec-websocket-protocol": "v5"}, id="pairs"),
        pytest.param(
            "exec",
            "websocket",
            {"upgrade": "websocket", "sec-websocket-extensions": "permessage-deflate"},
            id="deflate",
        ),
    ],
)
def test_b40_what_the_server_may_not_switch_to(subresource: str, upgrade: str, headers: dict[str, str]) -> None:
    with pytest.raises(UnknownProtocol):
        wire_of(request(subresource, upgrade), headers)


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "proxy"])
@pytest.mark.parametrize("upgrade", ["", "websocket", "spdy"])
def test_only_spdy_to_a_proxy_cannot_be_read(subresource: str, upgrade: str) -> None:
    refusal = refuse_upgrade(request(subresource, upgrade))
    assert (refusal is not None) == (subresource == "proxy" and upgrade == "spdy")
