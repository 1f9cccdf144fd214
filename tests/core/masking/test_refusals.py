"""What masking refuses: placeholders sent back, probes of masked fields, upgrades whose frames are not masked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from addons.core.masking.refusals import refuse_reply, refuse_request
from tests.core.masking.support import b64, delivered, request

NS = "/api/v1/namespaces/team-a"
BACK = "masked:v1:0123456789abcdef"
SECRET = f"PATCH {NS}/secrets/db"


def rule(target: str, body: bytes = b"", headers: dict[str, str] | None = None, decoded: Any = None) -> str | None:
    asked = request(target)
    refusal = refuse_request(delivered().plan(asked), asked, headers or {}, body, decoded)
    return refusal.rule if refusal else None


@pytest.mark.parametrize(
    ("target", "body", "decoded", "expected"),
    [
        (SECRET, BACK.encode(), None, "masked-value-written"),
        (SECRET, b64(f"x{BACK}").encode(), None, "masked-value-written"),
        (SECRET, b"", {"data": {"a": b64(BACK)}}, "masked-value-written"),
        (f"POST {NS}/configmaps", BACK.encode(), {}, "masked-value-written"),
        (SECRET, b'{"data":{"a":"eA=="}}', {"data": {"a": "eA=="}}, None),
        (f"GET {NS}/secrets", BACK.encode(), None, None),
        (f"POST {NS}/services", BACK.encode(), None, "masked-value-written"),
        (f"POST {NS}/pods/p/exec", BACK.encode(), None, None),
    ],
)
def test_placeholders_are_not_written(target: str, body: bytes, decoded: Any, expected: str | None) -> None:
    assert rule(target, body, decoded=decoded) == expected


def test_the_refusal_names_the_field() -> None:
    asked = request(SECRET)
    refusal = refuse_request(delivered().plan(asked), asked, {}, b"", {"data": {"a": b64(BACK)}})
    assert refusal is not None
    assert refusal.code == 403
    assert "$.data.a" in refusal.why


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "test", "path": "/data/pw", "value": "x"}, "masked-value-probed"),
        ({"op": "copy", "from": "/data/pw", "path": "/metadata/labels/x"}, "masked-value-probed"),
        ({"op": "move", "From": "/data", "path": "/metadata/labels"}, "masked-value-probed"),
        ({"op": "copy", "from": "/metadata", "path": "/metadata/labels"}, "masked-value-probed"),
        ({"op": "test", "path": "/metadata/annotations/x", "value": 1}, "masked-value-probed"),
        ({"op": "test", "path": "", "value": {}}, "masked-value-probed"),
        ({"op": "test", "path": "/metadata/", "value": {}}, "masked-value-probed"),
        ({"op": "test", "path": 5}, "masked-value-probed"),
        ({"op": "test", "path": "/metadata/resourceVersion", "value": "1"}, None),
        ({"op": "copy", "from": "/metadata/labels/a~1b", "path": "/metadata/labels/c"}, None),
        ({"op": "replace", "path": "/data/pw", "value": "eA=="}, None),
        ({"op": "remove", "path": "/data/pw"}, None),
        ("no operation", "ambiguous-patch"),
    ],
)
def test_json_patches_do_not_probe(operation: Any, expected: str | None) -> None:
    body = json.dumps([operation]).encode()
    assert rule(SECRET, body, {"content-type": "Application/json-patch+json"}) == expected
    assert rule(SECRET, body, {"content-type": "application/merge-patch+json"}) is None
    assert rule(f"PATCH {NS}/pods/p", body, {"content-type": "application/json-patch+json"}) is None


@pytest.mark.parametrize("body", [b"{}", b"[", b""])
def test_a_patch_that_is_no_patch_is_refused(body: bytes) -> None:
    assert rule(SECRET, body, {"content-type": "application/json-patch+json"}) == "ambiguous-patch"


@pytest.mark.parametrize(
    ("target", "upgrade", "expected"),
    [
        (f"GET {NS}/pods/p/exec", "WebSocket", None),
        (f"POST {NS}/pods/p/exec", "SPDY/3.1", None),
        (f"POST {NS}/pods/p/portforward", "SPDY/3.1", None),
        (f"GET {NS}/pods/p/log", "websocket", None),
        ("GET /api/v1/secrets?watch=1", "websocket", "upgrade-not-masked"),
        ("GET /api/v1/services?watch=1", "websocket", "upgrade-not-masked"),
        (f"GET {NS}/secrets", "", None),
    ],
)
def test_upgrades_that_would_not_be_masked(target: str, upgrade: str, expected: str | None) -> None:
    assert rule(target, headers={"upgrade": upgrade}) == expected


def test_a_reply_that_cannot_be_masked() -> None:
    refusal = refuse_reply("it is protobuf")
    assert refusal.code == 502
    assert "it is protobuf" in refusal.why


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("GET /api/v1/secrets?fieldSelector=metadata.name%3Ddb", None),
        ("GET /api/v1/secrets?fieldSelector=type!=Opaque,metadata.namespace=a", None),
        ("GET /api/v1/secrets?fieldSelector=data.password=x", "masked-value-probed"),
        (
            "GET /api/v1/secrets?fieldSelector=metadata.name=db&fieldSelector=metadata.name=db,data.password==x",
            "masked-value-probed",
        ),
        ("GET /api/v1/watch/secrets?fieldSelector=data", "masked-value-probed"),
        ("DELETE /api/v1/namespaces/a/secrets?fieldSelector=data.a!=x", "masked-value-probed"),
        ("GET /api/v1/pods?fieldSelector=status.phase=Running", None),
    ],
)
def test_b73_no_selector_asks_for_a_masked_value(target: str, expected: str | None) -> None:
    assert rule(target.replace("%3D", "=")) == expected
