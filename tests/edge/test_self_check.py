"""The attack on itself: a whole gateway holds it off within a second, and one with a hole does not start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.connection import Client
from mitmproxy.proxy import layer

from addons.connections import Connections
from addons.core.refusal import Refusal
from addons.edge.authority import Authority
from addons.edge.own_certificate import made_certificate
from addons.edge.self_check import ATTACKS, HOST, Bypass, self_check
from addons.master import acceptor
from addons.perimeter import Perimeter
from addons.refusal import refuse, settled
from addons.tls import Tls
from addons.tunnel import HttpsProxy
from tests.support.proxy import worker


class Nobody:
    """Stands in for authentication: nobody is somebody here."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if not settled(flow):
            refuse(flow, Refusal(code=401, rule="authentication", why="nobody"))


class AnyTarget(Perimeter):
    """The hole of B-03: tunnels lead anywhere."""

    def http_connect(self, flow: http.HTTPFlow) -> None:
        super().http_connect(flow)
        flow.response = None


class AnyProtocol(Perimeter):
    """The holes of B-01 and B-02: mitmproxy's own choice of protocols, with raw TCP where it cannot tell."""

    def next_layer(self, data: layer.NextLayer) -> None:
        NextLayer().next_layer(data)


class AnyPath(Perimeter):
    """A hole of the listener that speaks TLS: what has no tunnel is for some cluster."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        super().requestheaders(flow)
        flow.response = None


class Nothing:
    """Somebody forgot a step."""


def check(folder: Path, perimeter: type[Perimeter], nobody: object, **options: bool) -> float:
    """Seconds that the self-check took."""
    known: list[Connections] = []

    def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
        known.append(connections)
        outer = perimeter(connections, lambda: None, time.time, 1 << 20)
        own = made_certificate(authority, ["gateway.test"])
        return [outer, Tls(connections, authority, time.time, False, own), nobody]

    with worker(folder, [], stack) as gateway:
        gateway.master.options.update(**options)
        ca_file = gateway.authority.certificate_file
        began = time.monotonic()
        in_tls = acceptor(gateway.master, HttpsProxy)
        checking = self_check(acceptor(gateway.master), known[0].also, ca_file, in_tls)
        asyncio.run_coroutine_threadsafe(checking, gateway.master.event_loop).result(30)
        assert known[0].open(Client(peername=("a", 1), sockname=("b", 2)), HOST, 443) is None, "afterwards it is gone"
        return time.monotonic() - began


@pytest.mark.alone
def test_a_whole_gateway_holds_it_off_at_once(tmp_path: Path) -> None:
    assert check(tmp_path, Perimeter, Nobody()) < 1


@pytest.mark.parametrize(
    ("perimeter", "nobody", "options", "holes"),
    [
        (AnyTarget, Nobody(), {}, {"a tunnel to a foreign address"}),
        (AnyProtocol, Nobody(), {"rawtcp": True}, {"a ClientHello cut after 1 byte", "plain text inside a tunnel"}),
        (Perimeter, Nothing(), {}, {"a request line cut inside a tunnel", "a cluster by its path, of nobody"}),
        (AnyPath, Nobody(), {}, {"a request without a tunnel"}),
    ],
)
def test_a_gateway_with_a_hole_does_not(
    perimeter: type[Perimeter], nobody: object, options: dict[str, bool], holes: set[str], tmp_path: Path
) -> None:
    with pytest.raises(Bypass, match="did not hold off") as caught:
        check(tmp_path, perimeter, nobody, **options)
    found = set(str(caught.value).partition("did not hold off ")[2].split(", nor "))
    both = {name for name in holes if name in ATTACKS}
    assert found >= both | {f"{name} in TLS" for name in holes}
