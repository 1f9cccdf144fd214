"""The commands addon: what it writes on the exchange, what it forwards, what it refuses, when it asks the cluster."""

from __future__ import annotations

import pytest
from mitmproxy.http import HTTPFlow, Response

from addons.commands import Commands
from addons.core.connection import Connection
from addons.core.identity import Identity
from addons.core.resources import BUILTIN, Resource, Resources
from addons.core.session import Session
from addons.exchange import Exchange, IncompleteExchange
from tests.support.flows import CONNECTION, begun, status

NS = "/api/v1/namespaces/team-a"
JSON = (b"content-type", b"application/json")
WIDGETS = Resources({("x.io", "v1", "widgets"): Resource(kind="Widget", namespaced=True, verbs=frozenset({"list"}))})

SESSION = Session(
    id="s",
    identity=Identity(iss="https://issuer.test", sub="agent", aud=("chaperone",), exp=2.0),
    connection=CONNECTION.name,
    started_at=1.0,
)


class Discovery:
    """Knows the built-in resources, learns of widgets when refreshed, and counts how often it was."""

    def __init__(self) -> None:
        self.refreshed: list[str] = []

    def resources_of(self, connection: Connection) -> Resources:
        return BUILTIN

    async def refresh(self, connection: Connection, session: Session) -> Resources:
        self.refreshed.append(connection.name)
        return WIDGETS


async def after(
    method: str, target: str, *fields: tuple[bytes, bytes], body: bytes = b""
) -> tuple[HTTPFlow, Exchange, Discovery]:
    flow, exchange = begun(*fields, session=SESSION)
    flow.request.method, flow.request.path, flow.request.raw_content = method, target, body
    discovery = Discovery()
    await Commands(discovery.resources_of, discovery.refresh).request(flow)
    return flow, exchange, discovery


async def test_a_read() -> None:
    flow, exchange, discovery = await after("GET", f"{NS}/pods/web", (b"kubectl-command", b"kubectl get"))
    assert flow.response is None and flow.request.path == f"{NS}/pods/web"
    assert exchange.request and (exchange.request.verb, exchange.request.name) == ("get", "web")
    assert exchange.command and exchange.command.claimed == "kubectl get"
    assert exchange.body_object is None and discovery.refreshed == []


async def test_a_write() -> None:
    _, exchange, _ = await after("POST", f"{NS}/pods", JSON, body=b'{"kind":"Pod"}')
    assert exchange.body_object == {"kind": "Pod"}


async def test_a_json_patch_is_no_object() -> None:
    patch = (b"content-type", b"application/json-patch+json")
    flow, exchange, _ = await after("PATCH", f"{NS}/pods/web", patch, body=b"[]")
    assert (flow.response, exchange.body_object) == (None, None)


async def test_what_was_understood_is_what_is_sent() -> None:
    flow, exchange, _ = await after("GET", f"{NS}/%73ecrets/?a;b&limit=1")
    assert flow.request.path == f"{NS}/secrets?limit=1"
    assert exchange.request and exchange.request.target == flow.request.path


async def test_b16_the_method_as_sent_counts() -> None:
    flow, exchange, _ = await after("get", f"{NS}/pods")
    assert exchange.request and (exchange.request.method, exchange.request.verb) == ("get", "")
    assert status(flow)["details"]["causes"][0]["reason"] == "unknown-verb"


@pytest.mark.parametrize(
    ("method", "target", "fields", "body", "code", "rule"),
    [
        ("GET", f"{NS}//pods", (), b"", 400, "ambiguous-request"),
        ("GET", f"{NS}/p\udcffds", (), b"", 400, "ambiguous-request"),
        ("POST", f"{NS}/pods", (JSON,), b'{"a":1,"a":2}', 400, "unreadable-body"),
        ("POST", f"{NS}/pods", ((b"content-type", b"application/cbor"),), b"\xa0", 415, "unsupported-body"),
        ("POST", f"{NS}/pods", (JSON, (b"content-encoding", b"gzip")), b"{}", 415, "unsupported-body"),
        ("GET", f"{NS}/gadgets", (), b"", 403, "unknown-resource"),
        ("GET", "/metrics", (), b"", 403, "non-resource-path"),
    ],
)
async def test_refused(
    method: str, target: str, fields: tuple[tuple[bytes, bytes], ...], body: bytes, code: int, rule: str
) -> None:
    flow, exchange, _ = await after(method, target, *fields, body=body)
    answer = status(flow)
    assert (answer["code"], answer["details"]["causes"][0]["reason"]) == (code, rule)
    assert exchange.refusal and exchange.command


async def test_the_record_shows_what_was_refused() -> None:
    _, exchange, _ = await after("GET", f"{NS}/gadgets/g1")
    assert exchange.request and (exchange.request.resource, exchange.request.name) == ("gadgets", "g1")


async def test_a_resource_installed_since_is_known_after_one_refresh() -> None:
    flow, exchange, discovery = await after("GET", "/apis/x.io/v1/widgets")
    assert (flow.response, exchange.refusal) == (None, None)
    assert discovery.refreshed == [CONNECTION.name]


@pytest.mark.parametrize("target", ["/metrics", f"{NS}//pods"])
async def test_no_refresh_for_what_no_discovery_could_change(target: str) -> None:
    assert (await after("GET", target))[2].refreshed == []


async def test_a_settled_flow_is_left_alone() -> None:
    flow, exchange = begun()
    flow.response = Response.make(403)
    await Commands(Discovery().resources_of, Discovery().refresh).request(flow)
    assert exchange.request is None


async def test_a_body_nobody_kept_is_not_taken_for_none() -> None:
    flow, _ = begun()
    flow.request.raw_content = None
    with pytest.raises(IncompleteExchange):
        await Commands(Discovery().resources_of, Discovery().refresh).request(flow)
