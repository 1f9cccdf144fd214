"""The envelope of Kubernetes' protobuf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.protobuf_envelope import MAGIC, read_envelope
from addons.core.strict_json import UnreadableBody


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


META = field(1, b"authentication.k8s.io/v1") + field(2, b"TokenRequest")
SENT = MAGIC + field(1, META) + field(2, b"\x0a\x00" * 200) + field(3, b"") + field(4, b"")
"""The four fields, as client-go writes them."""


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        pytest.param(SENT, ("authentication.k8s.io/v1", "TokenRequest"), id="as client-go writes it"),
        pytest.param(MAGIC + field(2, b"x") + field(1, META), ("authentication.k8s.io/v1", "TokenRequest"), id="order"),
        pytest.param(MAGIC + field(1, b"") + field(2, b"x"), ("", ""), id="kind from the URL"),
        pytest.param(MAGIC, ("", ""), id="nothing inside"),
        pytest.param(
            MAGIC + field(1, META) + field(4, b"application/vnd.kubernetes.protobuf"),
            ("authentication.k8s.io/v1", "TokenRequest"),
            id="a content type that is ours",
        ),
    ],
)
def test_named(raw: bytes, named: tuple[str, str]) -> None:
    assert read_envelope(raw) == named


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"kind":"Pod"}', id="not protobuf"),
        pytest.param(MAGIC + field(1, META) + field(1, META), id="the meta data twice"),
        pytest.param(MAGIC + field(1, META + field(2, b"Pod")), id="the kind twice"),
        pytest.param(MAGIC + field(5, b""), id="unknown field"),
        pytest.param(MAGIC + b"\x08\x01", id="wrong wire type"),
        pytest.param(MAGIC + field(1, META)[:-1], id="cut off in a field"),
        pytest.param(MAGIC + b"\x0a", id="cut off before a length"),
        pytest.param(MAGIC + b"\x0a\xff\xff\xff\xff\xff\xff", id="a length without end"),
        pytest.param(MAGIC + field(1, META) + field(3, b"gzip"), id="content encoding"),
        pytest.param(MAGIC + field(1, META) + field(4, b"application/json"), id="content type"),
        pytest.param(MAGIC + field(1, field(2, b"Po\nd")), id="control character in the kind"),
        pytest.param(MAGIC + field(1, field(2, "Pöd".encode())), id="non-ASCII kind"),
        pytest.param(MAGIC + field(1, field(2, b"P" * 254)), id="long kind"),
    ],
)
def test_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableBody):
        read_envelope(raw)


@given(st.binary())
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        read_envelope(MAGIC + raw)
    except UnreadableBody as error:
        assert "protobuf" in str(error)
