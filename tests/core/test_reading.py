"""A whole request, read once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.bodies import NO_BODY
from addons.core.reading import Headers, read, read_request, read_target, upgrade_of
from addons.core.request_line import AmbiguousRequest
from addons.core.resources import BUILTIN

NS = "/api/v1/namespaces/team-a"
EXEC = f"{NS}/pods/web/exec?command=ls"
WEBSOCKET = (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"))
SPDY = (("Upgrade", "SPDY/3.1"), ("Connection", "Upgrade"))
JSON = ("Content-Type", "application/json")
PROTOBUF = ("Content-Type", "application/vnd.kubernetes.protobuf")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param((), "", id="no upgrade"),
        pytest.param((("Connection", "keep-alive"), ("Expires", "x")), "", id="keep-alive"),
        pytest.param(WEBSOCKET, "websocket", id="websocket"),
        pytest.param(SPDY, "spdy", id="SPDY"),
        pytest.param(
            (("upgrade", " WebSocket "), ("connection", "keep-alive, upgrade"), ("sec-websocket-version", "13")),
            "websocket",
            id="B-30 any case",
        ),
    ],
)
def test_upgrade(headers: Headers, expected: str) -> None:
    assert upgrade_of(headers) == expected


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((*WEBSOCKET, ("Upgrade", "websocket")), id="two Upgrade headers"),
        pytest.param((("Upgrade", "SPDY/3.1, websocket"), ("Connection", "Upgrade")), id="B-30 two protocols"),
        pytest.param((("Upgrade", "foo"), ("Connection", "Upgrade")), id="B-30 unknown"),
        pytest.param((("Upgrade", "h2c"), ("Connection", "Upgrade")), id="h2c"),
        pytest.param((("Upgrade", ""), ("Connection", "Upgrade")), id="empty"),
        pytest.param((("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")), id="no Connection header"),
        pytest.param((("Connection", "Upgrade"),), id="no Upgrade header"),
        pytest.param(WEBSOCKET[:2], id="no version"),
        pytest.param((*WEBSOCKET, ("sec-websocket-version", "13")), id="the version twice"),
        pytest.param((*WEBSOCKET[:2], ("Sec-WebSocket-Version", "13, 8")), id="two versions in one"),
        pytest.param((*WEBSOCKET[:2], ("Sec-WebSocket-Version", "8")), id="another version"),
        pytest.param((*SPDY, ("Sec-WebSocket-Version", "13")), id="SPDY with a WebSocket version"),
        pytest.param((("Sec-WebSocket-Version", "13"),), id="a version alone"),
    ],
)
def test_upgrades_that_can_be_read_differently(headers: Headers) -> None:
    with pytest.raises(AmbiguousRequest):
        upgrade_of(headers)


@pytest.mark.parametrize(
    "target", [EXEC, f"{NS}/pods/web/attach", f"{NS}/pods/web/portforward?ports=1", "/api/v1/nodes/n/proxy/exec"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_streams_may_upgrade(target: str, method: str) -> None:
    assert read_request(method, target, WEBSOCKET).upgrade == "websocket"
    assert read_request(method, target, SPDY).upgrade == "spdy"
    assert read_request(method, target, ()).upgrade == ""


@pytest.mark.parametrize(
    "target", [f"{NS}/pods?watch=1", f"{NS}/pods/web/log?follow=true", f"{NS}/pods", "/version", "/apis/x/v1/a/b/exec"]
)
def test_b35_nothing_else_may_upgrade(target: str) -> None:
    with pytest.raises(AmbiguousRequest, match="only exec"):
        read_request("GET", target, WEBSOCKET)


@pytest.mark.parametrize(
    ("target", "canonical"),
    [
        (f"{NS}/pods/", f"{NS}/pods"),
        (f"{NS}/%73ecrets?", f"{NS}/secrets"),
        (f"{NS}/pods/web/exec/?command=a+b&x;y&tty", f"{NS}/pods/web/exec?command=a+b&tty="),
        (f"{NS}/pods/web/proxy/", f"{NS}/pods/web/proxy/"),
        (f"{NS}/pods/web/proxy/a/?q=1", f"{NS}/pods/web/proxy/a/?q=1"),
        (f"{NS}/pods/web/proxy", f"{NS}/pods/web/proxy"),
        ("/api/v1/pods?labelSelector=a%3Db&limit=500", "/api/v1/pods?labelSelector=a%3Db&limit=500"),
        ("/x/" + "y" * 3000, "/x/" + "y" * 3000),
    ],
)
def test_the_target_has_one_spelling(target: str, canonical: str) -> None:
    request = read_target("GET", target)
    assert request.target == canonical
    assert read_target("GET", canonical) == request


def test_everything_about_a_create() -> None:
    reading = read("POST", f"{NS}/pods?dryRun=All", [JSON, ("Kubectl-Command", "kubectl run")], b'{"a":1}', BUILTIN)
    assert reading.request and (reading.request.verb, reading.request.dry_run) == ("create", True)
    assert (reading.body.object, reading.refusal) == ({"a": 1}, None)
    assert (reading.command.claimed, reading.command.inferred) == ("kubectl run", "kubectl create")


def test_b67_the_body_of_a_delete_decides_about_dry_run() -> None:
    reading = read("DELETE", f"{NS}/pods/a?dryRun=All", [JSON], b'{"gracePeriodSeconds":0}', BUILTIN)
    assert reading.request and not reading.request.dry_run


@pytest.mark.parametrize(
    ("query", "headers", "body", "options"),
    [
        ("?gracePeriodSeconds=0", [], b"", {"gracePeriodSeconds": 0}),
        ("?gracePeriodSeconds=0", [JSON], b"{}", {}),
        ("", [JSON], b'{"propagationPolicy":"Orphan"}', {"propagationPolicy": "Orphan"}),
        ("", [PROTOBUF], b"k8s\x00\x12\x02\x08\x00", {"gracePeriodSeconds": 0}),
        ("", [PROTOBUF], b"k8s\x00", {}),
    ],
)
def test_b67_the_body_of_a_delete_decides_how(
    query: str, headers: Headers, body: bytes, options: dict[str, Any]
) -> None:
    reading = read("DELETE", f"{NS}/pods/a{query}", headers, body, BUILTIN)
    assert reading.refusal is None
    assert reading.request and reading.request.delete_options.named() == options


def test_delete_options_in_protobuf_that_cannot_be_read_are_refused() -> None:
    reading = read("DELETE", f"{NS}/pods/a", [PROTOBUF], b"k8s\x00\x12\x01\x08", BUILTIN)
    assert reading.refusal and reading.refusal.rule == "unreadable-body"


def test_what_goes_to_a_backend_is_not_read() -> None:
    reading = read("POST", f"{NS}/services/web/proxy/upload", [("Content-Type", "text/plain")], b"hello", BUILTIN)
    assert (reading.body, reading.refusal) == (NO_BODY, None)


@pytest.mark.parametrize(
    ("method", "target", "headers", "raw", "code", "rule", "verb"),
    [
        pytest.param("GET", "//api", (), b"", 400, "ambiguous-request", None, id="target"),
        pytest.param("GET", f"{NS}/pods", WEBSOCKET, b"", 400, "ambiguous-request", "list", id="upgrade"),
        pytest.param("POST", f"{NS}/pods", (JSON,), b"{", 400, "unreadable-body", "create", id="body"),
        pytest.param("GET", f"{NS}/pods", (JSON,), b"{}", 400, "unreadable-body", "list", id="body of a read"),
        pytest.param(
            "POST",
            f"{NS}/pods",
            (("Content-Type", "application/cbor"),),
            b"\xa0",
            415,
            "unsupported-body",
            "create",
            id="CBOR",
        ),
        pytest.param(
            "GET", EXEC, (("Content-Encoding", "gzip"),), b"", 415, "unsupported-body", "get", id="content encoding"
        ),
        pytest.param("GET", f"{NS}/widgets", (), b"", 403, "unknown-resource", "list", id="unknown resource"),
        pytest.param("LIST", f"{NS}/pods", (), b"", 403, "unknown-verb", "", id="unknown method"),
    ],
)
def test_refused(
    method: str, target: str, headers: Headers, raw: bytes, code: int, rule: str, verb: str | None
) -> None:
    reading = read(method, target, headers, raw, BUILTIN)
    assert reading.refusal and (reading.refusal.code, reading.refusal.rule) == (code, rule)
    assert reading.refusal.why and reading.refusal.hint
    assert (reading.request.verb if reading.request else None) == verb


@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text())), st.binary())
def test_anything_is_read_or_refused(method: str, target: str, headers: list[tuple[str, str]], raw: bytes) -> None:
    reading = read(method, f"/{target}", headers, raw, BUILTIN)
    assert reading.request or reading.refusal
