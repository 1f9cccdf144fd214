"""The masking addon on flows: what is asked upstream, what the agent gets, what a failure does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from mitmproxy.connection import Client
from mitmproxy.http import Headers, HTTPFlow, Response

from addons.core.channels import Channel
from addons.core.grant import Grant
from addons.core.identity import Identity
from addons.core.refusal import Refusal
from addons.core.session import Session
from addons.core.wires import Lane, Message
from addons.exchange import Exchange, IncompleteExchange, exchange_of
from addons.masking import Masking
from addons.policy import Policy
from addons.refusal import refuse
from addons.stack import masker_of
from addons.upgrade_hooks import Passing
from tests.core.masking.support import AWS, JWT, compact, delivered, request, secret
from tests.support.flows import NOW, begun, status

WHO = Identity(iss="https://idp", sub="agent", aud=("c",), exp=NOW + 60)
SESSION = Session(id="s1", identity=WHO, connection="prod", started_at=NOW)
GRANT = Grant(id="g", identity=WHO, connection="prod", role="arn:r", not_before_at=NOW, expires_at=NOW + 60)
NS = "/api/v1/namespaces/team-a"


class Harness:
    """The addon with the delivered rules, and the clients it disconnected."""

    def __init__(self) -> None:
        self.disconnected: list[Client] = []
        self.addon = Masking(lambda _: delivered(), self.disconnected.append)

    def asked(self, text: str, *headers: tuple[bytes, bytes], body: bytes = b"", **values: Any) -> HTTPFlow:
        """A flow whose request went through the addon."""
        flow, exchange = begun(*headers, **{"request": request(text), "session": SESSION, **values})
        flow.request.method, flow.request.http_version = text.split()[0], "HTTP/1.1"
        flow.request.raw_content = body
        self.addon.request(flow)
        assert exchange.masked
        return flow

    def answered(self, text: str, body: bytes, code: int = 200, **headers: str) -> HTTPFlow:
        """As `asked`, and the reply's hooks ran, streaming `body` where the addon wants that."""
        flow = self.asked(text)
        fields = Headers([(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()])
        flow.response = Response(b"HTTP/1.1", code, b"OK", fields, None, None, 0, 0)
        self.addon.responseheaders(flow)
        if not flow.response.stream:
            flow.response.raw_content = body
        self.addon.response(flow)
        return flow


@pytest.fixture
def gateway() -> Harness:
    return Harness()


def streamed(flow: HTTPFlow, *chunks: bytes) -> list[list[bytes]]:
    assert flow.response is not None
    assert callable(flow.response.stream)
    stream: Any = flow.response.stream
    return [list(stream(chunk)) for chunk in (*chunks, b"")]


def test_the_request_asks_for_what_can_be_masked(gateway: Harness) -> None:
    flow = gateway.asked(
        f"GET {NS}/secrets", (b"Accept", b"application/vnd.kubernetes.protobuf"), (b"Accept-Encoding", b"gzip")
    )
    assert flow.request.headers["Accept"] == "application/json"
    assert flow.request.headers["Accept-Encoding"] == "identity"
    assert flow.response is None


@pytest.mark.parametrize("target", ["GET /openapi/v3", f"GET {NS}/pods/p/log"])
def test_other_requests_keep_their_accept(gateway: Harness, target: str) -> None:
    assert gateway.asked(target, (b"Accept", b"x/y")).request.headers["Accept"] == "x/y"
    assert "Accept" not in gateway.asked(target).request.headers


def test_a_settled_request_is_left_alone(gateway: Harness) -> None:
    flow, exchange = begun()
    flow.response = Response.make(403)
    gateway.addon.request(flow)
    assert not exchange.masked


def test_without_a_request_there_is_no_plan(gateway: Harness) -> None:
    flow, _ = begun()
    with pytest.raises(IncompleteExchange):
        gateway.addon.request(flow)
    flow.response = Response.make(200)
    for hook in (gateway.addon.responseheaders, gateway.addon.response):
        with pytest.raises(IncompleteExchange):
            hook(flow)
    with pytest.raises(IncompleteExchange):
        gateway.addon.upgrade_message(Passing(flow, Message(lane=Lane(Channel.STDOUT), from_client=False)))


def test_placeholders_are_refused(gateway: Harness) -> None:
    flow = gateway.asked(f"PUT {NS}/secrets/db", body=b"masked:v1:0123456789abcdef")
    assert status(flow)["code"] == 403
    assert exchange_of(flow).refusal is not None
    gateway.addon.responseheaders(flow)
    gateway.addon.response(flow)
    assert "masked-value-written" in status(flow)["message"]


def test_what_passes_is_streamed(gateway: Harness) -> None:
    flow = gateway.answered("GET /openapi/v3", b"", content_length="3", content_type="x/y")
    assert flow.response is not None
    assert flow.response.stream is True
    assert flow.response.headers["content-length"] == "3"


def test_documents_are_replaced(gateway: Harness) -> None:
    raw = compact(secret())
    flow = gateway.answered(f"GET {NS}/secrets/db", raw, content_type="application/json", content_length=str(len(raw)))
    assert flow.response is not None
    assert flow.response.raw_content is not None
    assert b"hunter2" not in flow.response.raw_content
    assert json.loads(flow.response.raw_content)["metadata"]["name"] == "db"
    assert flow.response.headers["content-length"] == str(len(flow.response.raw_content))


def test_documents_without_secrets_stay(gateway: Harness) -> None:
    flow = gateway.answered(f"GET {NS}/configmaps/c", b'{"kind":"ConfigMap"}', content_type="application/json")
    assert flow.response is not None
    assert flow.response.raw_content == b'{"kind":"ConfigMap"}'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"k8s\0", {"content_type": "application/vnd.kubernetes.protobuf"}),
        (b"{}", {}),
        (b"{", {"content_type": "application/json"}),
        (b"\x1f\x8b", {"content_type": "application/json", "content_encoding": "gzip"}),
    ],
)
def test_what_cannot_be_masked_is_a_502(gateway: Harness, body: bytes, headers: dict[str, str]) -> None:
    flow = gateway.answered(f"GET {NS}/secrets/db", body, 200, **headers)
    assert status(flow)["code"] == 502
    assert exchange_of(flow).refusal is not None


def test_what_cannot_be_masked_and_may_not_end_is_killed(gateway: Harness) -> None:
    flow = gateway.asked("GET /api/v1/secrets?watch=true")
    flow.response = Response.make(200, b"", {"content-type": "application/cbor-seq"})
    gateway.addon.responseheaders(flow)
    assert flow.error is not None


def test_watches_stream_masked(gateway: Harness) -> None:
    flow = gateway.answered(
        "GET /api/v1/secrets?watch=true", b"", content_type="application/json", transfer_encoding="chunked"
    )
    event = compact({"type": "ADDED", "object": secret()})
    first, second, end = streamed(flow, event[:100], event[100:])
    assert first == []
    assert b"hunter2" not in second[0]
    assert second[0].endswith(b"}\n")
    assert end == []


def test_logs_stream_masked(gateway: Harness) -> None:
    flow = gateway.answered(f"GET {NS}/pods/p/log", b"", content_type="text/plain", content_length="99")
    assert flow.response is not None
    assert "content-length" not in flow.response.headers
    assert flow.response.headers["transfer-encoding"] == "chunked"
    assert streamed(flow, b"ready\n", b"key " + AWS.encode())[:1] == [[b"ready\n"]]


def test_http_1_0_gets_no_chunks(gateway: Harness) -> None:
    flow = gateway.asked(f"GET {NS}/pods/p/log")
    flow.request.http_version = "HTTP/1.0"
    flow.response = Response.make(200, b"", {"content-type": "text/plain", "content-length": "99"})
    gateway.addon.responseheaders(flow)
    assert "transfer-encoding" not in flow.response.headers


async def test_a_stream_that_cannot_be_masked_ends_with_an_error(gateway: Harness) -> None:
    flow = gateway.answered("GET /api/v1/secrets?watch=true", b"", content_type="application/json")
    error, muted, end = streamed(flow, b"garbage\n", compact({"type": "ADDED", "object": secret()}))
    assert json.loads(error[0])["type"] == "ERROR"
    assert muted == end == []
    assert gateway.disconnected == []  # not before the error was written
    await asyncio.sleep(0)
    assert gateway.disconnected == [flow.client_conn]


async def test_a_fault_in_a_stream_mutes_and_ends_it(gateway: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = gateway.answered(f"GET {NS}/pods/p/log", b"", content_type="text/plain")
    assert flow.response is not None
    stream: Any = flow.response.stream
    monkeypatch.setattr(type(stream._masker), "feed", lambda masker, data: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        stream(b"x")
    assert stream(AWS.encode()) == []
    await asyncio.sleep(0)
    assert gateway.disconnected == [flow.client_conn]


def test_a_reply_to_a_refused_request_is_left_alone(gateway: Harness) -> None:
    flow, exchange = begun(request=request(f"GET {NS}/secrets"))
    refuse(flow, Refusal(code=403, rule="r", why="w"))
    gateway.addon.responseheaders(flow)
    gateway.addon.response(flow)
    assert isinstance(exchange, Exchange)
    assert status(flow)["code"] == 403


def said(
    gateway: Harness, flow: HTTPFlow, channel: Channel, data: bytes, from_client: bool = False, ends: bool = False
) -> bytes:
    """What the other side gets of one message."""
    message = Message(lane=Lane(channel), from_client=from_client, data=data, size=len(data), ends=ends)
    gateway.addon.upgrade_message(Passing(flow, message))
    return message.data


def opened(gateway: Harness, target: str) -> HTTPFlow:
    flow = gateway.answered(target, b"", 101)
    assert flow.response is not None
    assert not flow.response.stream
    return flow


def test_command_output_is_masked_per_channel(gateway: Harness) -> None:
    flow = opened(gateway, f"GET {NS}/pods/p/exec?command=sh")
    assert said(gateway, flow, Channel.STDOUT, b"$ ") == b"$ "
    assert said(gateway, flow, Channel.STDOUT, b"id AKIAIOSF") != b"id AKIAIOSF"
    assert said(gateway, flow, Channel.STDOUT, b"ODNN7EXAMPLE") == b""
    assert said(gateway, flow, Channel.STDERR, b"fine\n") == b"fine\n"
    assert said(gateway, flow, Channel.STDOUT, b" next\n") == b" next\n"
    assert b"hbGci" not in said(gateway, flow, Channel.STDERR, JWT.encode(), ends=True)


@pytest.mark.parametrize("channel", [Channel.ERROR, Channel.DATA])
def test_other_channels_pass(gateway: Harness, channel: Channel) -> None:
    assert said(gateway, opened(gateway, f"GET {NS}/pods/p/exec"), channel, JWT.encode()) == JWT.encode()


def test_what_the_agent_types_passes(gateway: Harness) -> None:
    content = b"export A=" + AWS.encode()
    assert said(gateway, opened(gateway, f"GET {NS}/pods/p/exec"), Channel.STDIN, content, from_client=True) == content


@pytest.mark.parametrize("channel", [Channel.TEXT, Channel.BINARY])
def test_messages_of_proxied_pods_are_masked(gateway: Harness, channel: Channel) -> None:
    flow = opened(gateway, f"GET {NS}/pods/p/proxy/ws")
    assert AWS.encode()[4:] not in said(gateway, flow, channel, AWS.encode(), ends=True)


def test_port_forwards_pass(gateway: Harness) -> None:
    assert said(gateway, opened(gateway, f"GET {NS}/pods/p/portforward"), Channel.DATA, AWS.encode()) == AWS.encode()


def test_warnings_are_masked_or_dropped(gateway: Harness) -> None:
    flow = gateway.asked(f"POST {NS}/secrets")
    flow.response = Response.make(201, b"{}", {"content-type": "application/json"})
    flow.response.headers.set_all("Warning", ['299 - "bad value \\"hunter2\\""', "what is this"])
    gateway.addon.responseheaders(flow)
    assert flow.response.headers.get_all("warning") == ['299 - "bad value \\"(masked)\\""']


def test_what_a_grant_unmasks_is_shown_and_nothing_else(gateway: Harness) -> None:
    exchange = exchange_of(gateway.asked(f"GET {NS}/secrets/db"))
    exchange.policy = cast(Policy, SimpleNamespace(masker=delivered()))
    exchange.grant = replace(GRANT, unmask=("secrets",))
    value, token = compact(secret()), compact({"kind": "TokenRequest", "status": {"token": "hunter2"}})
    masker = masker_of(exchange)
    plan = masker.plan(request(f"GET {NS}/secrets/db"))
    assert plan.mask_document(value, "application/json") == value
    plan = masker.plan(request(f"POST {NS}/serviceaccounts/a/token"))
    assert b"hunter2" not in plan.mask_document(token, "application/json")
    exchange.grant = None
    with pytest.raises(IncompleteExchange):
        masker_of(exchange)
