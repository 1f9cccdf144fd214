"""B-05, B-20, B-21, B-24, B-25: what a caller may not say about itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.headers import ForbiddenHeader, authority, host_matches, intent_of, scrub_request_headers

STRIPPED = [
    (b"Impersonate-User", b"admin"),
    (b"impersonate-group", b"system:masters"),
    (b"IMPERSONATE-EXTRA-FOO%2fbar", b"x"),
    (b"X-Remote-User", b"admin"),
    (b"X-Forwarded-For", b"1.2.3.4"),
    (b"Forwarded", b"for=1.2.3.4"),
    (b"X-Real-IP", b"1.2.3.4"),
    (b"Proxy-Authorization", b"Basic eA=="),
    (b"Audit-ID", b"chosen"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"TE", b"trailers"),
    (b"Trailer", b"Impersonate-User"),
    (b"Cookie", b"a=b"),
    (b"Connection", b"keep-alive"),
    (b"Sec-WebSocket-Protocol", b"base64url.bearer.authorization.k8s.io.dG9rZW4"),
]


@pytest.mark.parametrize("field", STRIPPED, ids=lambda field: field[0].decode())
def test_asserted_identity_and_hops_are_removed(field: tuple[bytes, bytes]) -> None:
    plain = (b"Accept", b"application/json")
    assert scrub_request_headers([field, plain, field]) == (plain,)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        pytest.param(
            [(b"Connection", b"Upgrade, Impersonate-User, X-Mine"), (b"Upgrade", b"websocket"), (b"X-Mine", b"1")],
            ((b"Connection", b"upgrade"), (b"Upgrade", b"websocket")),
            id="only Upgrade survives Connection",
        ),
        pytest.param(
            [(b"Connection", b"Authorization, Content-Type, Host"), (b"Authorization", b"x"), (b"Content-Type", b"y")],
            ((b"Authorization", b"x"), (b"Content-Type", b"y")),
            id="what the gateway reads cannot be named hop-by-hop",
        ),
        pytest.param(
            [(b"Sec-WebSocket-Protocol", b"base64url.bearer.authorization.k8s.io.eA, v5.channel.k8s.io")],
            ((b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io"),),
            id="bearer sub-protocol leaves the others",
        ),
        pytest.param([(b"Sec-WebSocket-Protocol", b", ,")], (), id="empty sub-protocols"),
        pytest.param([(b"X-Text", b"a\tb c~")], ((b"X-Text", b"a\tb c~"),), id="tab and space are text"),
    ],
)
def test_what_remains(fields: list[tuple[bytes, bytes]], kept: tuple[tuple[bytes, bytes], ...]) -> None:
    assert scrub_request_headers(fields) == kept


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(b"Host", b"a"), (b"host", b"b")], id="two hosts"),
        pytest.param([(b"Authorization", b"a"), (b"AUTHORIZATION", b"b")], id="two authorizations"),
        pytest.param([(b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Version", b"13")], id="B-30 two versions"),
        pytest.param([(b"Transfer-Encoding", b"gzip, chunked")], id="B-07 not chunked alone"),
        pytest.param([(b"X Y", b"a")], id="name with a space"),
        pytest.param([(b"X-\xe9", b"a")], id="name not ASCII"),
        pytest.param([(b"X-A", b"a\rImpersonate-User: b")], id="carriage return"),
        pytest.param([(b"X-A", b"a\x00")], id="NUL"),
        pytest.param([(b"X-A", b"ag\xe9nt")], id="value not ASCII"),
    ],
)
def test_ambiguous_headers_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ForbiddenHeader):
        scrub_request_headers(fields)


_NAMES = st.sampled_from(
    [b"Connection", b"Impersonate-User", b"impersonate-Uid", b"X-Remote-Group", b"Accept", b"X-Odd", b"Via"]
)


@given(st.lists(st.tuples(_NAMES, st.sampled_from([b"x", b"Upgrade", b"accept, x-odd", b"Impersonate-User"]))))
def test_no_identity_header_ever_survives(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        kept = scrub_request_headers(fields)
    except ForbiddenHeader:
        return
    assert not [name for name, _ in kept if name.lower().startswith((b"impersonate", b"x-remote"))]
    assert scrub_request_headers(kept) == kept


def test_intent_is_read_and_made_printable() -> None:
    assert intent_of([(b"Accept", b"x"), (b"Impersonate-Extra-Reason", b"INC-42\x1b[2J")]) == "INC-42\ufffd[2J"
    assert intent_of([(b"impersonate-extra-reason", b"x" * 900)]) == "x" * 500
    assert intent_of([]) == ""


@pytest.mark.parametrize(
    ("header", "host", "port", "matches"),
    [
        ("api.example:6443", "api.example", 6443, True),
        ("API.example:6443", "api.example", 6443, True),
        ("api.example", "api.example", 443, True),
        ("api.example:443", "api.example", 443, True),
        ("api.example", "api.example", 6443, False),
        ("other.example:6443", "api.example", 6443, False),
        ("[::1]:6443", "::1", 6443, True),
        ("", "api.example", 443, False),
        ("api.example:443 ", "api.example", 443, False),
    ],
)
def test_host_is_the_connect_target(header: str, host: str, port: int, matches: bool) -> None:
    assert host_matches(header, host, port) is matches


@pytest.mark.parametrize(
    ("host", "port", "name", "whole"),
    [
        ("api.example", 443, "api.example", "api.example:443"),
        ("api.example", 6443, "api.example:6443", "api.example:6443"),
        ("::1", 443, "[::1]", "[::1]:443"),
    ],
)
def test_a_server_as_clients_name_it(host: str, port: int, name: str, whole: str) -> None:
    assert (authority(host, port), authority(host, port, always=True)) == (name, whole)
    assert host_matches(name, host, port) and host_matches(whole, host, port)
