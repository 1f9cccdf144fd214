"""The channel protocols: names, sizes and exit statuses. Messages in pieces are in `wires`."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.core.channels import (
    PROTOCOLS,
    ExitStatus,
    MalformedMessage,
    Protocol,
    SizeReader,
    UnknownProtocol,
    exit_status,
    protocol,
)


def test_protocols() -> None:
    assert protocol("v4.base64.channel.k8s.io") == Protocol(4, base64=True)
    assert {protocol(name).version for name in PROTOCOLS} == {1, 4, 5}


@pytest.mark.parametrize("name", ["v6.channel.k8s.io", "SPDY/3.1+portforward.k8s.io", "binary.k8s.io"])
def test_other_protocols_cannot_be_recorded(name: str) -> None:
    with pytest.raises(UnknownProtocol, match="cannot be recorded"):
        protocol(name)


SIZES = b'{"Width":120,"Height":40}\n{"Width":80,"Height":24}\n'


@given(st.lists(st.integers(0, len(SIZES)), max_size=6))
def test_sizes_whatever_the_split(cuts: list[int]) -> None:
    at, reader = sorted({0, *cuts, len(SIZES)}), SizeReader()
    found = [size for begin, end in itertools.pairwise(at) for size in reader.feed(SIZES[begin:end])]
    assert found == [(120, 40), (80, 24)]


@pytest.mark.parametrize(
    "data",
    [b"}", b"{}", b"[]}", b"null}", b'{"Width":-1,"Height":1}', b'{"Width":1,"Height":70000}',
     b'{"Width":true,"Height":1}', b'{"Width":"1","Height":1}', b"\xff}", b"[" * 20000, b'{"a":{"Width":1}}'],
    ids=lambda data: data[:24].decode("latin-1"),
)  # fmt: skip
def test_a_size_that_is_none(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        SizeReader().feed(data)


def _failure(**fields: object) -> bytes:
    return json.dumps({"status": "Failure", **fields}).encode()


NO_CAUSE = _failure(reason="NonZeroExitCode", details={"causes": []})
EXIT_7 = _failure(reason="NonZeroExitCode", details={"causes": [{"reason": "ExitCode", "message": "7"}]})


@pytest.mark.parametrize(
    ("json_status", "data", "status"),
    [
        pytest.param(True, b'{"status":"Success"}', ExitStatus(0), id="success"),
        pytest.param(True, EXIT_7, ExitStatus(7), id="exit-code"),
        pytest.param(True, _failure(message="no such file"), ExitStatus(None, "no such file"), id="error"),
        pytest.param(True, b"oops", ExitStatus(None, "oops"), id="not-json"),
        pytest.param(True, b"[1]", ExitStatus(None, "[1]"), id="not-a-status"),
        pytest.param(True, NO_CAUSE, ExitStatus(None, NO_CAUSE.decode()), id="no-cause"),
        pytest.param(False, b'{"status":"Success"}', ExitStatus(None, '{"status":"Success"}'), id="old-text"),
    ],
)
def test_exit_status(json_status: bool, data: bytes, status: ExitStatus) -> None:
    assert exit_status(json_status, data) == status
