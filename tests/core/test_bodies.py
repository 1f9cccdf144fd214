"""Bodies by media type, one row per fact."""

from __future__ import annotations

import pytest

from addons.core.bodies import NO_BODY, Body, UnreadableBody, UnsupportedBody, body_of, decode_body, is_dry_run
from addons.core.request_info import request_info
from addons.core.request_line import parse_target
from tests.core.test_protobuf_envelope import SENT

NS = "/api/v1/namespaces/team-a"


@pytest.mark.parametrize(
    ("content_type", "raw", "form"),
    [
        pytest.param("", b'{"a":1}', "json", id="B-63 no type is JSON"),
        pytest.param("application/json", b'{"a":1}', "json", id="JSON"),
        pytest.param("APPLICATION/JSON", b'{"a":1}', "json", id="B-63 upper case"),
        pytest.param(" application/json ; charset=UTF-8", b'{"a":1}', "json", id="charset"),
        pytest.param('application/json;charset="utf-8"', b'{"a":1}', "json", id="quoted charset"),
        pytest.param("application/yaml", b"a: 1", "yaml", id="YAML"),
        pytest.param("application/yaml", b'{"a":1}', "yaml", id="B-62 JSON in YAML"),
        pytest.param("application/apply-patch+yaml", b'{"a":1}', "apply-patch", id="server-side apply"),
        pytest.param("application/apply-patch+yaml", b"a: 1", "apply-patch", id="server-side apply of YAML"),
        pytest.param("application/merge-patch+json", b'{"a":1}', "merge-patch", id="merge patch"),
        pytest.param("application/strategic-merge-patch+json", b'{"a":1}', "strategic-merge-patch", id="strategic"),
    ],
)
def test_read(content_type: str, raw: bytes, form: str) -> None:
    body = decode_body(raw, content_type)
    assert (body.format, body.object, body.mapping) == (form, {"a": 1}, {"a": 1})


def test_json_patch() -> None:
    body = decode_body(b'[{"op":"remove","path":"/a"}]', "application/json-patch+json")
    assert (body.object, body.mapping) == ([{"op": "remove", "path": "/a"}], None)


def test_protobuf_names_its_kind_and_is_not_decoded() -> None:
    body = decode_body(SENT, "application/vnd.kubernetes.protobuf")
    assert (body.format, body.object, body.mapping) == ("protobuf", None, None)
    assert (body.envelope_api_version, body.envelope_kind) == ("authentication.k8s.io/v1", "TokenRequest")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cbor",
        "application/apply-patch+cbor",
        "application/cbor-seq",
        "text/plain",
        "text/yaml",
        "application/json, application/yaml",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-16",
        "application/json; boundary=x",
        "application/json;",
        'application/json;charset="utf-8',
        "json",
        "/",
        "application/jſon",
    ],
)
def test_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedBody):
        decode_body(b'{"a":1}', content_type)


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        ("application/json", b"[]"),
        ("application/json", b"null"),
        ("application/json", b'{"a":1,"a":2}'),
        ("application/json", b"a: 1"),
        ("application/yaml", b"- a"),
        ("application/merge-patch+json", b"[]"),
        ("application/json-patch+json", b"{}"),
        ("application/json-patch+json", b"[1]"),
        ("application/vnd.kubernetes.protobuf", b'{"a":1}'),
    ],
)
def test_unreadable(content_type: str, raw: bytes) -> None:
    with pytest.raises(UnreadableBody):
        decode_body(raw, content_type)


JSON = ("Content-Type", "application/json")


def test_no_bytes_are_no_body_whatever_the_type() -> None:
    assert decode_body(b"", "application/cbor") is NO_BODY


def test_body_of_a_request() -> None:
    assert body_of("POST", [("Accept", "x"), JSON], b'{"a":1}').object == {"a": 1}
    assert body_of("POST", [], b'{"a":1}').object == {"a": 1}
    assert body_of("POST", [("content-type", "application/cbor")], b"") is NO_BODY
    assert body_of("GET", [JSON, ("x" * len("content-type"), "application/cbor")], b"") is NO_BODY


def test_an_opaque_body_is_not_read() -> None:
    assert body_of("POST", [("Content-Type", "text/plain")], b"anything", opaque=True) is NO_BODY


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity", ""])
@pytest.mark.parametrize("opaque", [True, False])
def test_b63_content_encoding(encoding: str, opaque: bool) -> None:
    with pytest.raises(UnsupportedBody):
        body_of("POST", [JSON, ("content-ENCODING", encoding)], b'{"a":1}', opaque=opaque)


def test_b63_two_content_types() -> None:
    with pytest.raises(UnreadableBody, match="more than one"):
        body_of("POST", [JSON, ("content-type", "application/yaml")], b'{"a":1}')


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_read_has_no_body(method: str) -> None:
    with pytest.raises(UnreadableBody, match="no body"):
        body_of(method, [JSON], b'{"a":1}')


@pytest.mark.parametrize(
    ("method", "target", "body", "dry"),
    [
        pytest.param("POST", f"{NS}/pods?dryRun=All", Body(format="json", object={}), True, id="create: the query"),
        pytest.param("POST", f"{NS}/pods", Body(format="json", object={"dryRun": ["All"]}), False, id="not the body"),
        pytest.param("DELETE", f"{NS}/pods/a?dryRun=All", NO_BODY, True, id="delete without a body: the query"),
        pytest.param("DELETE", f"{NS}/pods/a?dryRun=All", Body(format="json", object={}), False, id="B-67 the body"),
        pytest.param("DELETE", f"{NS}/pods?dryRun=All", Body(format="json", object={}), False, id="B-67 collection"),
        pytest.param(
            "DELETE", f"{NS}/pods/a", Body(format="json", object={"dryRun": ["All"]}), True, id="B-67 body alone"
        ),
        pytest.param("DELETE", f"{NS}/pods/a?dryRun=All", Body(format="protobuf"), False, id="protobuf is unknown"),
        pytest.param("DELETE", f"{NS}/pods/a", Body(format="json", object={"dryRun": "All"}), False, id="no list"),
    ],
)
def test_is_dry_run(method: str, target: str, body: Body, dry: bool) -> None:
    assert is_dry_run(request_info(method, *parse_target(target)), body) is dry
