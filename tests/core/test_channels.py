"""Messages of exec, attach and port-forward, in every sub-protocol (B-34)."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.channels import (
    Channel,
    ExitStatus,
    MalformedMessage,
    UnknownProtocol,
    decode,
    exit_status,
    protocol,
    terminal_size,
)

BINARY = ["", "channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]
BASE64 = ["base64.channel.k8s.io", "v4.base64.channel.k8s.io"]


@pytest.mark.parametrize("name", BINARY + BASE64)
@pytest.mark.parametrize(("number", "channel"), [*enumerate(list(Channel)[:5])])
def test_channels(name: str, number: int, channel: Channel) -> None:
    message = b"%d" % number + base64.b64encode(b"\x00ls\n") if name in BASE64 else bytes([number]) + b"\x00ls\n"
    assert decode(protocol(name), message) == (channel, b"\x00ls\n")


@pytest.mark.parametrize("name", ["v6.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "binary.k8s.io"])
def test_other_protocols_cannot_be_recorded(name: str) -> None:
    with pytest.raises(UnknownProtocol, match="cannot be recorded"):
        protocol(name)


def test_an_empty_message_is_nothing() -> None:
    assert decode(protocol("v5.channel.k8s.io"), b"") is None


def test_close() -> None:
    assert decode(protocol("v5.channel.k8s.io"), b"\xff\x00") == (Channel.CLOSE, b"\x00")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("v5.channel.k8s.io", b"\xff", id="close-of-nothing"),
        pytest.param("v5.channel.k8s.io", b"\xff\x00\x01", id="close-of-two"),
        pytest.param("v4.channel.k8s.io", b"\xff\x00", id="close-before-version-5"),
        pytest.param("v5.channel.k8s.io", b"\x05x", id="channel-5"),
        pytest.param("base64.channel.k8s.io", b"1*", id="not-base64"),
        pytest.param("base64.channel.k8s.io", b"\x01YQ==", id="binary-number"),
        pytest.param("base64.channel.k8s.io", b"9YQ==", id="channel-9"),
    ],
)
def test_b34_malformed(name: str, message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode(protocol(name), message)


@given(st.sampled_from(BINARY + BASE64), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(name: str, message: bytes) -> None:
    try:
        decoded = decode(protocol(name), message)
    except MalformedMessage:
        return
    assert decoded is None or isinstance(decoded[0], Channel)


def test_terminal_size() -> None:
    assert terminal_size(b'{"Width":120,"Height":40}') == (120, 40)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b'{"Width":-1,"Height":1}', b'{"Width":1,"Height":70000}',
     b'{"Width":true,"Height":1}', b'{"Width":"1","Height":1}', b"\xff", b"[" * 20000],
    ids=lambda data: data[:24].decode("latin-1"),
)  # fmt: skip
def test_a_size_that_is_none(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        terminal_size(data)


def _failure(**fields: object) -> bytes:
    return json.dumps({"status": "Failure", **fields}).encode()


V4, V5, OLD = "v4.channel.k8s.io", "v5.channel.k8s.io", "channel.k8s.io"
NO_CAUSE = _failure(reason="NonZeroExitCode", details={"causes": []})
EXIT_7 = _failure(reason="NonZeroExitCode", details={"causes": [{"reason": "ExitCode", "message": "7"}]})


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        pytest.param(V4, b'{"status":"Success"}', ExitStatus(0), id="success"),
        pytest.param(V5, EXIT_7, ExitStatus(7), id="exit-code"),
        pytest.param(V5, _failure(message="no such file"), ExitStatus(None, "no such file"), id="error"),
        pytest.param(V5, b"oops", ExitStatus(None, "oops"), id="not-json"),
        pytest.param(V5, b"[1]", ExitStatus(None, "[1]"), id="not-a-status"),
        pytest.param(V5, NO_CAUSE, ExitStatus(None, NO_CAUSE.decode()), id="no-cause"),
        pytest.param(OLD, b'{"status":"Success"}', ExitStatus(None, '{"status":"Success"}'), id="old-text"),
    ],
)
def test_exit_status(name: str, data: bytes, status: ExitStatus) -> None:
    assert exit_status(protocol(name), data) == status
