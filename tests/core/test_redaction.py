"""No bearer token or credential gets into a record (B-24, B-27, B-83)."""

from __future__ import annotations

import pytest

from addons.core.redaction import (
    SCRUBBED,
    holds_token,
    scrub_headers,
    scrub_pairs,
    scrub_target,
    scrub_text,
    scrub_values,
)

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
EKS = "k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbS8"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "PROXY-AUTHORIZATION", "Cookie", "set-cookie", "X-Amz-Security-Token", "x-api-key"],
)
def test_credential_headers(name: str) -> None:
    plain = (b"Accept", b"application/json")
    assert scrub_headers([plain, (name.encode(), b"Bearer s3cret")]) == (plain, (name.encode(), b"[scrubbed]"))


@pytest.mark.parametrize("name", [b"Proxy-Authorization ", b"X-Folded"])
def test_basic_credentials_in_a_header_of_another_name(name: bytes) -> None:
    folded = b"a\r\n Proxy-Authorization: basic eDpleUpoYkdjaU9pSlNVek"
    assert scrub_headers([(name, folded)]) == ((name, b"a\r\n Proxy-Authorization: basic [scrubbed]"),)
    assert scrub_headers([(b"User-Agent", b"basic client/1.0")]) == ((b"User-Agent", b"basic [scrubbed]"),)


def test_a_header_without_a_token_stays_as_it_is() -> None:
    assert scrub_headers([(b"X-Note", b"nothing to hide")]) == ((b"X-Note", b"nothing to hide"),)


def test_b24_bearer_subprotocol_keeps_the_other_protocols() -> None:
    value = b"base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io"
    [(_, kept)] = scrub_headers([(b"Sec-WebSocket-Protocol", value)])
    assert kept == b"base64url.bearer.authorization.k8s.io.[scrubbed], v5.channel.k8s.io"


def test_a_token_in_any_other_header() -> None:
    assert scrub_headers([(b"X-Debug", f"a\xe9 {JWT}!".encode("latin-1"))]) == ((b"X-Debug", b"a\xe9 [scrubbed]!"),)


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        pytest.param("/api/v1/pods", "/api/v1/pods", id="plain"),
        pytest.param("/api/v1/pods?limit=5&watch", "/api/v1/pods?limit=5&watch", id="query"),
        pytest.param("/x?access_token=abc&a=b", "/x?access_token=[scrubbed]&a=b", id="parameter"),
        pytest.param("/x?Access%5FToken=abc", "/x?Access%5FToken=[scrubbed]", id="encoded-name"),
        pytest.param("/x?X-Amz-Signature=ab", "/x?X-Amz-Signature=[scrubbed]", id="presigned"),
        pytest.param(f"/x/{JWT}/y", "/x/[scrubbed]/y", id="jwt-in-path"),
        pytest.param(f"/exec?command=curl&command={EKS}", "/exec?command=curl&command=[scrubbed]", id="eks-in-argv"),
        pytest.param("/exec?command=a?b&token=", "/exec?command=a?b&token=[scrubbed]", id="question-mark-in-query"),
    ],
)
def test_targets(target: str, kept: str) -> None:
    assert scrub_target(target) == kept


@pytest.mark.parametrize("text", ["", "eyJ is how JSON starts in base64", "k8s-aws-v1", "plain"])
def test_other_text_is_left_alone(text: str) -> None:
    assert scrub_text(text) == text
    assert SCRUBBED not in scrub_text(text)


def test_values_of_credential_parameters_and_tokens_anywhere_in_json_are_replaced() -> None:
    query = (("a", "1"), ("Token", "secret"))
    assert scrub_pairs(query) == (("a", "1"), ("Token", SCRUBBED))
    assert scrub_pairs(query[:1]) == query[:1]
    assert scrub_values({JWT: [JWT, 1, None, {"a": f"x {JWT}"}]}) == {
        SCRUBBED: [SCRUBBED, 1, None, {"a": f"x {SCRUBBED}"}]
    }
    assert holds_token(JWT.encode())
    assert not holds_token(b"plain")
