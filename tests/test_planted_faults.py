"""An exception planted in every hook of every addon: nothing is forwarded, and no reply gets through.

The real stack on a real proxy with real identity and STS processes; the cluster is an upstream that counts. One worker
serves all cases: each hook is wrapped once, and raises while it is the planted one.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.connection import Client
from mitmproxy.hooks import all_hooks

from addons.connections import Connections
from addons.edge.authority import Authority
from addons.gateway import prepare
from addons.parts import Parts, make_parts
from addons.settings import Settings
from addons.stack import build_stack
from scripts.devenv.cluster import Cluster
from scripts.devenv.oidc import mint
from tests.support.proxy import HOST, TlsInTls, Upstream, Worker, everything, get, open_tunnel, upstream, worker

SECRET = "planted-" + secrets.token_hex(8)
EXEC = "/api/v1/namespaces/a/pods/p/exec?command=ls&stdout=true"
STACK = (
    "Limits Perimeter CredentialRemoval Tls Authentication Bindings SingleUse AccessRequests Commands Upgrades Access"
    " Rates Guardrails SessionGuardrails Approvals Locks Masking Attempts Capture Expiry Credentials Reuse Metrics Seal"
).split()
# Start and stop of the process, and options, are not about a request: an exception there ends the process.
LIFE_CYCLE = {"load", "running", "configure", "done", "update"}


class Planted(RuntimeError):
    """The fault."""


def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
    """A Secret in clear, a stream of them for watches, and a WebSocket that says it for exec."""
    if handler.headers.get("Upgrade"):
        key = handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        handler.send_response(101)
        handler.send_header("Upgrade", "websocket")
        handler.send_header("Connection", "Upgrade")
        handler.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        handler.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        handler.end_headers()
        payload = b"\x01" + SECRET.encode()
        handler.wfile.write(bytes([0x82, len(payload)]) + payload + b"\x88\x02\x03\xe8")
        handler.close_connection = True
        return
    item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {"said": SECRET}}}
    body = json.dumps({"type": "ADDED", "object": item} if "watch=" in handler.path else item).encode() + b"\n"
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class Plant:
    """Wraps every hook of every addon; the one named in `at` raises."""

    def __init__(self) -> None:
        self.at: tuple[str, str] | None = None
        self.hooks: list[tuple[str, str]] = []
        self.ran: set[tuple[str, str]] = set()

    def wrap(self, addons: Sequence[object]) -> Sequence[object]:
        for addon in addons:
            for hook in sorted(set(all_hooks) - LIFE_CYCLE):
                if callable(function := getattr(addon, hook, None)):
                    setattr(addon, hook, self._guarded((type(addon).__name__, hook), function))
        return addons

    def _guarded(self, where: tuple[str, str], function: Callable[..., Any]) -> Callable[..., Any]:
        self.hooks.append(where)

        def call(*args: Any) -> Any:
            self.ran.add(where)
            if self.at == where:
                raise Planted(*where)
            return function(*args)

        return call


PLANT = Plant()


def write_rules(folder: Path, cluster: Cluster, server: Upstream) -> None:
    """A connection to the counting upstream whose thresholds let everything through: only faults stop it here."""
    documents = {
        "connections": ("Connection", "counting", {
            "host": f"{HOST}:443", "address": f"127.0.0.1:{server.port}", "serverName": "upstream.test",
            "caFile": str(server.ca_file), "thresholds": {"warn": 101, "approve": 101, "deny": 101},
            "eks": {"cluster": "c", "region": cluster.sts_region, "stsEndpoint": cluster.sts_endpoint_url},
        }),
        "identity": ("IdentityProvider", "test", {
            "issuer": cluster.oidc_issuer, "audiences": ["chaperone"],
        }),
        "access": ("Access", "agents", {
            "groups": ["agents"], "connections": ["counting"], "role": cluster.role_arns["edit"],
            "durationSeconds": 900,
        }),
    }  # fmt: skip
    folder.mkdir()
    for kind, (name, metadata, spec) in documents.items():
        document = {"apiVersion": "chaperone/v1", "kind": name, "metadata": {"name": metadata}, "spec": spec}
        (folder / f"{kind}.yaml").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def behind(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, Upstream, str]]:
    folder = tmp_path_factory.mktemp("planted")
    token = mint(cluster.oidc_issuer, "agent-7", groups=["agents"])
    repository = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch, upstream(folder, answer) as server:
        for name, value in cluster.aws_env.items():
            patch.setenv(name, value)
        patch.setattr("addons.idle.MAX_AGE_SECONDS", 0.0)  # each request dials, so that each hook is run
        write_rules(folder / "rules", cluster, server)
        settings = Settings(
            rules=[str(folder / "rules"), str(repository / "rules")],
            certs=str(folder / "certs"),
            state=str(folder / "state"),
        )
        prepared = prepare(settings)

        def stack(_: Connections, __: Authority, disconnect: Callable[[Client], None]) -> Sequence[object]:
            parts: Parts = make_parts(settings, prepared.policy, prepared.authority, 0)
            return PLANT.wrap(build_stack(parts, disconnect))

        with worker(folder, list(prepared.policy.connections.values()), stack) as gateway:
            yield gateway, server, token


def requests(token: str) -> dict[str, bytes]:
    """One of each kind: a document, a stream, a write with a body, a WebSocket."""
    bearer = f"Authorization: Bearer {token}"
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}).encode()
    post = (
        f"POST /api/v1/namespaces/a/configmaps HTTP/1.1\r\nHost: {HOST}\r\n{bearer}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    upgrade = (
        f"GET {EXEC} HTTP/1.1\r\nHost: {HOST}\r\n{bearer}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    )
    return {
        "get": get("/api/v1/namespaces/a/pods/p", bearer),
        "watch": get("/api/v1/namespaces/a/pods?watch=true", bearer),
        "post": post.encode() + body,
        "exec": upgrade.encode(),
    }


PATIENCE_SECONDS = 10.0


def answer_of(more: Callable[[], bytes], done: Callable[[], bool]) -> bytes:
    """Everything up to a silence that comes after `done`: on a busy machine, there may be one before."""
    received, ends = more(), time.monotonic() + PATIENCE_SECONDS
    while not done() and time.monotonic() < ends:
        time.sleep(0.05)
        with suppress(OSError):
            received += more()
    return received


def say(gateway: Worker, request: bytes, done: Callable[[], bool] = lambda: True) -> bytes:
    """Everything that comes back, b"" if not even the tunnel opens."""
    try:
        with gateway.tls() as tls:
            tls.sendall(request)
            return answer_of(lambda: everything(tls, 2), done)
    except (OSError, AssertionError) as error:
        return str(error).encode()


def say_by_path(gateway: Worker, request: bytes, done: Callable[[], bool] = lambda: True) -> bytes:
    """The same without a tunnel, on the listener that speaks TLS."""
    try:
        with gateway.in_tls("127.0.0.1") as tls:
            tls.sendall(request.replace(b" /api", b" /clusters/counting/api", 1))
            return answer_of(lambda: everything(tls, 1), done)
    except OSError as error:
        return str(error).encode()


def say_in_tls(gateway: Worker, request: bytes, done: Callable[[], bool] = lambda: True) -> bytes:
    """The same in a tunnel, on the listener that speaks TLS."""
    try:
        with gateway.in_tls("127.0.0.1") as outer:
            outer.settimeout(2)
            open_tunnel(outer, f"{HOST}:443")
            inner = TlsInTls(outer, gateway.trust(), HOST)
            inner.sendall(request)
            return answer_of(inner.everything, done)
    except OSError as error:
        return str(error).encode()


WAYS = {"tunnel": say, "path": say_by_path, "tunnel in TLS": say_in_tls}


def test_without_a_fault_everything_passes(behind: tuple[Worker, Upstream, str]) -> None:
    gateway, server, token = behind
    for name, request in requests(token).items():
        for way, ask in WAYS.items():
            assert SECRET.encode() in ask(gateway, request), (name, way)
    assert len(server.requests) == 4 * len(WAYS)
    assert {addon for addon, _ in PLANT.hooks} == set(STACK)


# When these run the reply has been sent, or there is none. The same is true of `response` for a reply that is streamed:
# streams are masked as they come, by what `responseheaders` decided.
TOO_LATE = ("client_disconnected", "error", "upgrade_end", "server_disconnected", "tls_failed_client")
FORWARDS_NOTHING = (
    "client_connected http_connect next_layer tls_clienthello tls_start_client tls_established_client requestheaders"
    " request server_connect tls_start_server"
).split()


EVERY_KIND = (("tunnel", "get watch post exec"), ("path", "get exec"), ("tunnel in TLS", "get"))


@pytest.mark.parametrize(("way", "asked"), EVERY_KIND)
def test_a_fault_in_any_hook_lets_nothing_through(behind: tuple[Worker, Upstream, str], way: str, asked: str) -> None:
    """Nothing is forwarded when a hook before forwarding fails; nothing comes back when one after it does."""
    gateway, server, token = behind
    kinds = {kind: request for kind, request in requests(token).items() if kind in asked.split()}
    for where in PLANT.hooks:
        PLANT.at = where
        for kind, request in kinds.items():
            server.requests.clear()
            PLANT.ran.discard(where)
            runs = where[1] in FORWARDS_NOTHING and (way, where[1]) != ("path", "http_connect")
            received = WAYS[way](gateway, request, *([partial(PLANT.ran.__contains__, where)] if runs else []))
            if runs:
                assert where in PLANT.ran, (where, kind, received)
                assert server.requests == [], (where, kind, received)
            sent_before = where[1] in TOO_LATE or (where[1], kind) == ("response", "watch")
            if where in PLANT.ran and not sent_before:
                assert SECRET.encode() not in received, (where, kind)
        PLANT.at = None
    assert SECRET.encode() in WAYS[way](gateway, kinds["get"]), "and afterwards it serves again"
