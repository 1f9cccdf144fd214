"""Flow records that stock mitmproxy reads and that hold no credential."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.certs import Cert
from mitmproxy.connection import ConnectionState
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.io import FlowReader
from mitmproxy.test import tflow

from addons.edge.authority import open_authority
from addons.edge.flow_file import FlowEncoder

BEARER = b"base64url.bearer.authorization.k8s.io."


def _flow(**kinds: Any) -> HTTPFlow:
    flow = tflow.tflow(**kinds) if "ws" not in kinds else tflow.twebsocketflow()
    flow.request.headers = Headers(
        [
            (b"Host", b"api"),
            (b"Authorization", b"Bearer t0psecret"),
            (b"Cookie", b"a=t0psecret"),
            (b"Sec-WebSocket-Protocol", BEARER + b"t0psecret, v5.channel.k8s.io"),
        ]
    )
    flow.request.path = "/api?access_token=t0psecret&limit=5"
    return flow


def _read(record: bytes) -> list[HTTPFlow]:
    flows = [*FlowReader(io.BytesIO(record)).stream()]
    assert all(isinstance(flow, HTTPFlow) for flow in flows)
    return flows  # type: ignore[return-value]


def test_a_record_is_the_flow_without_its_secrets() -> None:
    flow = _flow(resp=True)
    assert flow.response is not None
    flow.response.headers["set-cookie"] = "t0psecret"
    record = FlowEncoder().encode(flow, b"in", b"out", {"rule": "r", "risk": 3, "masked": True}, "why", "")
    assert b"t0psecret" not in record
    [read] = _read(record)
    assert (read.id, read.comment, read.marked) == (flow.id, "why", "")
    assert read.metadata == {"chaperone": {"rule": "r", "risk": 3, "masked": True}}
    assert (read.request.method, read.request.path) == ("GET", "/api?access_token=[scrubbed]&limit=5")
    assert (read.request.host, read.request.port) == (flow.request.host, flow.request.port)
    assert (read.request.raw_content, read.request.headers["authorization"]) == (b"in", "[scrubbed]")
    assert read.response is not None
    assert (read.response.status_code, read.response.raw_content) == (200, b"out")
    assert read.client_conn.peername == flow.client_conn.peername
    assert read.server_conn.address == flow.server_conn.address


def test_an_edited_flow_does_not_keep_what_it_was() -> None:
    flow = _flow(resp=True)
    flow.backup()
    assert b"t0psecret" not in FlowEncoder().encode(flow, b"", b"", {}, "", "")


def test_the_mark_is_the_one_given() -> None:
    [read] = _read(FlowEncoder().encode(_flow(resp=True), None, None, {}, "no", ":no_entry:"))
    assert read.marked == ":no_entry:"
    assert read.request.raw_content is None


def test_without_a_response() -> None:
    [read] = _read(FlowEncoder().encode(_flow(err=True), b"", None, {}, "", ""))
    assert read.response is None
    assert read.error is not None


def test_websocket_messages_are_the_ones_given() -> None:
    flow = _flow(ws=True)
    [read] = _read(FlowEncoder().encode(flow, b"", b"", {}, "", "", [(2, True, b"\x00ls", 1.0, False, False)]))
    assert read.websocket is not None
    assert [message.content for message in read.websocket.messages] == [b"\x00ls"]


@pytest.mark.parametrize("ciphers", [0, 1, 64, 65, 5000])
def test_connections_are_written_as_mitmproxy_writes_them(tmp_path: Path, ciphers: int) -> None:
    leaf = open_authority(tmp_path, datetime.now(UTC)).leaf("api.test", datetime.now(UTC))
    flow = _flow(resp=True)
    for connection in (flow.client_conn, flow.server_conn):
        connection.certificate_list = [Cert(leaf.certificate)]
        connection.alpn_offers, connection.cipher_list, connection.timestamp_tls_setup = (
            [b"h2", b"http/1.1"],
            ["A"],
            2.0,
        )
    flow.server_conn.via = ("http", ("proxy.test", 8080))
    [read] = _read(FlowEncoder().encode(flow, b"", b"", {}, "", ""))
    assert read.client_conn.get_state() == flow.client_conn.get_state()
    assert read.server_conn.get_state() == flow.server_conn.get_state()


@pytest.mark.parametrize("live", [True, False])
def test_connections_are_encoded_once_they_are_settled(live: bool) -> None:
    flow, encoder = _flow(resp=True), FlowEncoder()
    flow.client_conn.state = ConnectionState.OPEN if live else ConnectionState.CLOSED
    encoder.encode(flow, b"", b"", {}, "", "")
    flow.client_conn.timestamp_end = 99.0
    [read] = _read(encoder.encode(flow, b"", b"", {}, "", ""))
    assert (read.client_conn.timestamp_end == 99.0) is not live


def test_stock_mitmdump_reads_many(tmp_path: Path) -> None:
    encoder = FlowEncoder()
    flows = [_flow(resp=True), _flow(err=True), _flow(ws=True)]
    file = tmp_path / "flows.mitm"
    file.write_bytes(b"".join(encoder.encode(flow, b"", b"{}", {"rule": "r"}, "c", "") for flow in flows))
    program = "from mitmproxy.tools.main import mitmdump; mitmdump()"
    command = [sys.executable, "-c", program, "-n", "-r", str(file), "--set", f"confdir={tmp_path}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.count("[scrubbed]") == 3
    assert "rror" not in shown.stderr
