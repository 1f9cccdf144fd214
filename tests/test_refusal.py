"""What "refused" means for each kind of event, and how a refusal reads."""

from __future__ import annotations

from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.exceptions import AddonHalt
from mitmproxy.hooks import Hook, RunningHook
from mitmproxy.proxy.layer import NextLayer, NextLayerHook
from mitmproxy.proxy.layers.http._hooks import HttpConnectHook, HttpErrorHook, HttpRequestHook, HttpResponseHook
from mitmproxy.proxy.layers.tcp import TcpMessageHook, TcpStartHook
from mitmproxy.proxy.layers.tls import TlsStartClientHook
from mitmproxy.proxy.server_hooks import (
    ClientConnectedHook,
    ClientDisconnectedHook,
    ServerConnectHook,
    ServerConnectionHookData,
)
from mitmproxy.test import tflow
from mitmproxy.tls import TlsData

from addons.core.channels import Channel
from addons.core.kube_request import KubeRequest
from addons.core.refusal import Refusal
from addons.core.request_info import request_info
from addons.core.wires import Lane, Message
from addons.edge.database import StoreUnavailable
from addons.exchange import begin, exchange_of, need
from addons.refusal import refuse, run_hooks, settled
from addons.upgrade_hooks import Passing, UpgradeMessageHook
from tests.support.flows import begun, status


class Planted(RuntimeError):
    """The fault."""


def broken(*_: Any) -> None:
    raise Planted


async def failing(hook: Hook) -> list[Client]:
    """Run one broken hook; the clients that were disconnected."""
    gone: list[Client] = []
    await run_hooks([broken], hook, gone.append)
    return gone


def live() -> http.HTTPFlow:
    flow = tflow.tflow()
    flow.live = True
    return flow


async def test_without_the_store_it_says_so_and_not_where_it_is() -> None:
    def away(*_: Any) -> None:
        raise StoreUnavailable("connection to db.internal refused")

    flow = live()
    await run_hooks([away], HttpRequestHook(flow), lambda _: None)
    assert flow.response is not None and flow.response.headers["retry-after"] == "5"
    said = status(flow)
    assert (said["code"], "store-unavailable" in said["message"]) == (503, True)
    assert b"db.internal" not in need(flow.response.content, "content")


@pytest.mark.parametrize("hook", [HttpConnectHook, HttpRequestHook])
async def test_a_request_is_answered(hook: Any) -> None:
    flow = live()
    assert await failing(hook(flow)) == []
    assert status(flow)["code"] == 503
    assert "gateway-fault" in status(flow)["message"]


async def test_a_reply_is_withheld() -> None:
    flow = live()
    assert await failing(HttpResponseHook(flow)) == []
    assert flow.error is not None
    over = tflow.tflow(resp=True)
    over.live = False
    assert await failing(HttpResponseHook(over)) == [over.client_conn]


async def test_a_message_is_dropped_and_its_client_disconnected() -> None:
    flow, message = live(), Message(lane=Lane(Channel.STDOUT), from_client=False, data=b"x", size=1)
    assert await failing(UpgradeMessageHook(Passing(flow, message))) == [flow.client_conn]
    assert message.withheld
    tcp = tflow.ttcpflow()
    assert await failing(TcpMessageHook(tcp)) == [tcp.client_conn]
    assert tcp.messages[-1].content == b""


async def test_everything_else_loses_its_connection() -> None:
    tcp = tflow.ttcpflow()
    tcp.messages.clear()
    assert await failing(TcpStartHook(tcp)) == [tcp.client_conn]
    flow = live()
    assert await failing(HttpErrorHook(flow)) == [flow.client_conn]
    client = tflow.tclient_conn()
    assert await failing(ClientConnectedHook(client)) == []
    assert client.error == "gateway fault"
    assert await failing(ClientDisconnectedHook(client)) == []
    data = ServerConnectionHookData(client=client, server=tflow.tserver_conn())
    assert await failing(ServerConnectHook(data)) == [client]
    assert data.server.error == "gateway fault"


@pytest.mark.parametrize("kind", [TlsStartClientHook, NextLayerHook])
async def test_a_tunnel_is_closed(kind: Any) -> None:
    from mitmproxy.options import Options
    from mitmproxy.proxy.context import Context

    context = Context(tflow.tclient_conn(), Options())
    subject = TlsData(context.client, context) if kind is TlsStartClientHook else NextLayer(context)
    assert await failing(kind(subject)) == [context.client]


async def test_a_fault_that_is_about_nothing_ends_the_process() -> None:
    with pytest.raises(Planted):
        await failing(RunningHook())


async def test_a_fault_does_not_skip_the_other_hooks_and_a_halt_does() -> None:
    flow, ran = live(), []

    def halt(_: object) -> None:
        raise AddonHalt

    async def later(_: object) -> None:
        ran.append("later")

    await run_hooks([broken, later, halt, later], HttpRequestHook(flow), lambda _: None)
    assert ran == ["later"]
    assert settled(flow)


async def test_a_fault_is_on_record() -> None:
    flow = live()
    begin(flow, 0.0)
    await failing(HttpRequestHook(flow))
    assert exchange_of(flow).refusal is not None
    assert exchange_of(flow).id in status(flow)["message"]


@pytest.mark.parametrize(
    ("path", "code", "content_type"),
    [
        ("/api?timeout=32s", 403, "text/plain; charset=utf-8"),
        ("/apis", 403, "text/plain; charset=utf-8"),
        ("/api", 401, "application/json"),
        ("/api/v1", 403, "application/json"),
        ("/api/v1/pods", 403, "application/json"),
    ],
)
def test_where_a_client_starts_a_refusal_is_text(path: str, code: int, content_type: str) -> None:
    flow = live()
    flow.request.path = path
    refuse(flow, Refusal(code=code, rule="r", why="the reason", retry_after_seconds=3))
    assert flow.response is not None
    assert flow.response.headers["content-type"] == content_type
    assert flow.response.headers["retry-after"] == "3"
    assert b"the reason" in (flow.response.content or b"")


@pytest.mark.parametrize(
    ("request_", "given", "what"),
    [
        (request_info("GET", "/api/v1/namespaces/a/pods/p/exec"), "", "to open pods/exec p in namespace a"),
        (request_info("GET", "/version"), {}, "to pass on GET /version"),
        (None, "", "to pass on GET /a%00b\\x1b"),
        (None, "do this", "to do this"),
    ],
)
async def test_what_was_refused_is_said(request_: KubeRequest | None, given: str, what: str) -> None:
    flow, _ = begun(request=request_)
    flow.request.path = "/a%00b\x1b?token=secret"
    refuse(flow, Refusal(code=400, rule="r", why="w", what=given))
    assert status(flow)["message"].startswith(f"chaperone refused {what}\n")
