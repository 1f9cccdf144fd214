"""Section D and H, replies: what a hostile cluster, or a backend behind it, answers does not get past either."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import pytest

from scripts.devenv import bench_machine
from scripts.devenv.cluster import Cluster
from scripts.devenv.gateway_env import GatewayEnv
from tests.e2e.bypasses.pretender import before_a_pretender
from tests.e2e.bypasses.sessions import WEBSOCKET
from tests.e2e.raw import Answer, ask, request

PATH = "/api/v1/namespaces/default/configmaps"
LEAK = b"what-nobody-masked"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + LEAK
MEGABYTES = 400
ROOM_MEGABYTES = 150
"""What a gateway may need for a reply that it does not pass on; the bomb is several times as large."""


@pytest.mark.parametrize("path", [PATH, f"{PATH}?watch=true", "/api/v1/namespaces/default/pods/p/log?follow=true"])
def test_b40_a_switch_that_nobody_may_make_ends_the_connection(
    path: str, cluster: Cluster, token: str, tmp_path: Path
) -> None:
    with before_a_pretender(cluster, tmp_path, SWITCH) as gateway:
        answer = ask(gateway, request(gateway, path, token=token), seconds=5)
    assert answer.status != 101, answer
    assert LEAK not in answer.raw


def test_b40_what_comes_in_no_frame_after_a_switch_is_not_passed_on(
    cluster: Cluster, token: str, tmp_path: Path
) -> None:
    path = "/api/v1/namespaces/default/pods/p/exec?command=id&stdout=true"
    with before_a_pretender(cluster, tmp_path, SWITCH) as gateway:
        answer = ask(gateway, request(gateway, path, "Connection: Upgrade", *WEBSOCKET, token=token), seconds=5)
    assert LEAK not in answer.raw
    assert b"chaperone ended this session" in answer.raw


@cache
def bomb(encoding: str) -> bytes:
    """A reply that is small until it is decoded."""
    content = gzip.compress(b'{"kind":"ConfigMap","data":{"a":"' + b"0" * MEGABYTES * 1_000_000 + b'"}}', 1)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


@pytest.mark.parametrize("path", [f"{PATH}/a", f"{PATH}?watch=true"], ids=["whole", "streamed"])
def test_b82_a_reply_that_grows_when_it_is_decoded_is_not(
    path: str, cluster: Cluster, token: str, tmp_path: Path
) -> None:
    """Compression is never asked for: a reply that is compressed all the same could not be searched."""
    with before_a_pretender(cluster, tmp_path, bomb("gzip")) as gateway:
        before = peak(gateway)
        answer: Answer = ask(gateway, request(gateway, path, token=token), seconds=30)
        grown = peak(gateway) - before
    assert b"0" * 1000 not in answer.raw
    assert answer.status in (0, 502, 503), answer.head
    assert grown < ROOM_MEGABYTES


def peak(gateway: GatewayEnv) -> float:
    """The most memory that the gateway has had, in MB."""
    usage = bench_machine.usage(gateway.child.pid)
    return usage.peak_mb if usage else 0.0
