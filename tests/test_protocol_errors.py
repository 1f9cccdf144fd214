"""What mitmproxy answers by itself is a Status too, with the reference of the exchange that it ended."""

from __future__ import annotations

import http.server
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow

from addons.connections import Connections
from addons.edge.authority import Authority
from addons.exchange import exchange_of
from addons.perimeter import Perimeter
from addons.protocol_errors import speak_status
from addons.tls import Tls
from scripts.devenv.processes import free_ports
from tests.support.proxy import HOST, Upstream, Worker, get, upstream, worker


class References:
    """The ids of the exchanges that ended in an error."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def error(self, flow: HTTPFlow) -> None:
        self.ended.append(exchange_of(flow).id)


@contextmanager
def gateway(server: Upstream, folder: Path, references: References, **connection: object) -> Iterator[Worker]:
    def stack(connections: Connections, authority: Authority, _: Callable[[Client], None]) -> Sequence[object]:
        perimeter = Perimeter(connections, lambda: None, time.time, 1 << 20)
        return [perimeter, Tls(connections, authority, time.time, False), references]

    with worker(folder, [server.connection(**connection)], stack) as running:
        yield running


def status_of(answer: bytes) -> tuple[bytes, dict[str, Any]]:
    """Head and Status of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.lower(), json.loads(body)


def test_a_cluster_that_is_away(tmp_path: Path) -> None:
    references = References()
    (nobody,) = free_ports(1)
    with (
        upstream(tmp_path) as server,
        gateway(server, tmp_path, references, address=("127.0.0.1", nobody)) as running,
    ):
        head, status = status_of(running.ask(get("/api")))
    assert head.startswith(b"http/1.1 503 ")
    assert b"\r\nretry-after: 5" in head
    assert (status["code"], status["reason"]) == (503, "ServiceUnavailable")
    assert "chaperone refused to pass on GET /api\n  rule: cluster-unreachable" in status["message"]
    assert status["message"].endswith(f"reference: {references.ended[0]}")


def test_a_cluster_that_breaks_off(tmp_path: Path) -> None:
    def broken(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    references = References()
    with upstream(tmp_path, broken) as server, gateway(server, tmp_path, references) as running:
        head, status = status_of(running.ask(get("/api")))
    assert head.startswith(b"http/1.1 502 ")
    assert b"retry-after" not in head
    assert "a write may have taken effect" in status["message"]
    assert "retry: what only reads, yes" in status["message"]
    assert status["message"].endswith(f"reference: {references.ended[0]}")


@pytest.mark.parametrize("request_", [b"no http\r\n\r\n", b"GET /api HTTP/1.1\r\nHost : a\r\n\r\n"])
def test_what_is_no_http_has_no_reference(request_: bytes, tmp_path: Path) -> None:
    with upstream(tmp_path) as server, gateway(server, tmp_path, References()) as running:
        head, status = status_of(running.ask(request_))
        assert running.ask(get("/api", host=HOST)).startswith(b"HTTP/1.1 200 ")
    assert head.startswith(b"http/1.1 400 ")
    assert "rule: protocol-error" in status["message"]
    assert status["message"].endswith("reference: none")


def test_it_is_replaced_once() -> None:
    from mitmproxy.proxy.layers.http import HttpStream

    speak_status()
    handler = HttpStream.handle_protocol_error
    speak_status()
    assert HttpStream.handle_protocol_error is handler
