"""What a port-forward carried, written down."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from addons.core.channels import Channel
from addons.core.forward import MAX_KEPT, ForwardLog
from addons.core.wires import Lane, Message

WEB, DB = Lane(Channel.DATA, 1, 80), Lane(Channel.DATA, 2, 5432)


def said(lane: Lane, data: bytes = b"", from_client: bool = True, ends: bool = False, aborts: bool = False) -> Message:
    return Message(lane=lane, from_client=from_client, data=data, size=len(data), ends=ends, aborts=aborts)


def lines(written: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.splitlines()]


def test_connections_and_what_they_carried() -> None:
    log = ForwardLog(100, "portforward a/web")
    written = log.start()
    for at, message in enumerate([
        said(WEB, b"GET /"), said(DB, b"\x00\xff"), said(WEB, b"200 OK", from_client=False), said(WEB, ends=True),
        said(WEB, from_client=False, ends=True), said(Lane(Channel.ERROR, 2, 5432), b"refused", from_client=False),
        said(Lane(Channel.ERROR, 2, 5432), ends=True),
    ]):  # fmt: skip
        written += log.message(message, 101 + at)
    written += log.end(110)
    first, *rest = lines(written)
    assert first == {"version": 1, "timestamp": 100, "title": "portforward a/web"}
    assert rest[0] == {
        "at": 1,
        "connection": 1,
        "port": 80,
        "from": "client",
        "data": base64.b64encode(b"GET /").decode(),
    }
    assert [line["connection"] for line in rest] == [1, 2, 1, 1, 2, 2]
    assert rest[3]["client"] == {"bytes": 5, "sha256": hashlib.sha256(b"GET /").hexdigest()}
    assert rest[3]["server"] == {"bytes": 6, "sha256": hashlib.sha256(b"200 OK").hexdigest()}
    assert rest[4]["error"] == "refused"
    assert rest[5]["client"]["bytes"] == 2
    assert log.summary() == {"ports": "80 5432", "connections": "2", "client-bytes": "7", "server-bytes": "6"}


def test_a_reset_ends_a_connection_at_once() -> None:
    log = ForwardLog(0, "")
    log.message(said(WEB, b"x"), 1)
    assert lines(log.message(said(WEB, ends=True, aborts=True), 2))[0]["client"]["bytes"] == 1
    assert log.end(3) == b""


def test_beyond_the_cap_there_is_a_digest() -> None:
    log, data = ForwardLog(0, ""), b"x" * (MAX_KEPT - 1)
    kept = lines(log.message(said(WEB, data), 1) + log.message(said(WEB, b"yyy"), 1) + log.message(said(WEB, b"zz"), 1))
    assert [len(base64.b64decode(line["data"])) for line in kept] == [MAX_KEPT - 1, 1]
    (end,) = lines(log.end(2))
    assert end["client"] == {"bytes": MAX_KEPT + 4, "sha256": hashlib.sha256(data + b"yyyzz").hexdigest()}
