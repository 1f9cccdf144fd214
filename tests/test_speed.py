"""The replacements answer exactly as mitmproxy's own: compared with its code, in a process that has not replaced it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http, optmanager
from mitmproxy.connection import Client, Server
from mitmproxy.coretypes.multidict import _MultiDict
from mitmproxy.hooks import all_hooks
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer

from addons import speed
from addons.speed import (
    _IDS,
    _field_names,
    contains,
    expected_http_body_size,
    fork,
    get,
    get_all,
    same,
    set_all,
    uuid4,
)

NAMES = st.sampled_from(["Accept", "accept", "ACCEPT", "X-É", "content-type", ""])
VALUES = st.binary(max_size=8)
FIELDS = st.lists(st.tuples(NAMES.map(lambda name: name.encode()), VALUES), max_size=6)


@given(FIELDS, NAMES, st.booleans())
def test_headers(fields: list[tuple[bytes, bytes]], name: str, as_bytes: bool) -> None:
    headers = http.Headers(fields)
    key = name.encode() if as_bytes else name
    raw = _MultiDict.get_all(headers, name.encode())  # mitmproxy's own look-up, beneath what is replaced
    texts = [value.decode("utf-8", "surrogateescape") for value in raw]
    assert get_all(headers, key) == texts
    assert get(headers, key) == (", ".join(texts) if texts else None)
    assert get(headers, key, "default") == (", ".join(texts) if texts else "default")
    assert contains(headers, key) == bool(texts)


@given(FIELDS, NAMES, st.lists(VALUES, max_size=4), st.booleans())
def test_headers_that_are_set(
    fields: list[tuple[bytes, bytes]], name: str, values: list[bytes], as_bytes: bool
) -> None:
    headers, own = http.Headers(fields), http.Headers(fields)
    texts: list[str | bytes] = [*values] if as_bytes else [each.decode("utf-8", "surrogateescape") for each in values]
    set_all(headers, name.encode() if as_bytes else name, texts)
    _MultiDict.set_all(own, name.encode(), [*values])  # mitmproxy's own, beneath what is replaced
    assert headers.fields == own.fields


LENGTHS = st.sampled_from([b"0", b"7", b"12", b"007", b"", b" 7", b"-1", "٣".encode(), b"7, 7", b"9" * 5000])
CODINGS = st.sampled_from([b"chunked", b"gzip, chunked", b"gzip", b"identity", b"Chunked", b"new", b""])
FRAMING = st.lists(
    st.tuples(st.sampled_from([b"Content-Length", b"content-length"]), LENGTHS)
    | st.tuples(st.sampled_from([b"Transfer-Encoding", b"TRANSFER-ENCODING"]), CODINGS)
    | st.tuples(st.sampled_from([b"content-lengti", b"transfer-encodinh"]), LENGTHS),
    max_size=3,
)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"head", b"CONNECT", b"DELETE", b"OPTIONS"])
STATUSES = st.none() | st.sampled_from([100, 101, 199, 200, 204, 299, 304, 404, 503])


@given(FRAMING, METHODS, STATUSES)
def test_the_size_of_a_body(fields: list[tuple[bytes, bytes]], method: bytes, status: int | None) -> None:
    request, response = http.Request.make("GET", "https://a.test/"), None
    request.data.method, request.headers = method, http.Headers(fields)
    if status is not None:
        response = http.Response.make(status)
        request.headers, response.headers = http.Headers(), http.Headers(fields)
    assert _size(expected_http_body_size, request, response) == _size(speed._expected_http_body_size, request, response)


def _size(function: Callable[..., object], *arguments: object) -> object:
    try:
        return function(*arguments)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    "version", [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1\n", b"HTTP/11", b"http/1.1", b""]
)
def test_versions_of_http(version: bytes) -> None:
    both = speed._raise_if_http_version_unknown, speed.raise_if_http_version_unknown
    assert len({str(_size(function, version)) for function in both}) == 1


@given(CODINGS)
def test_codings_of_a_body(coding: bytes) -> None:
    own: Any = speed.parse_transfer_encoding.__wrapped__
    for value in (coding, coding, coding.decode()):
        assert _size(speed.parse_transfer_encoding, value) == _size(own, value)


@pytest.mark.parametrize("value", ["8m", None, True, 3, ["a"], optmanager.unset])
def test_options(value: object) -> None:
    option: Any = optmanager._Option("name", object, "default", "help", None)
    option.value = value
    assert speed.current(option) == speed._current(option)
    assert (speed.current(option) is value) == (value is not optmanager.unset and not isinstance(value, list))


async def test_tasks_have_their_names() -> None:
    named = asyncio.ensure_future(asyncio.sleep(0))
    speed.set_task_debug_info(named, name="hook request", client=("127.0.0.1", 1))
    assert named.get_name() == "hook request"
    await named


def test_ids_are_random_and_none_comes_twice_whoever_asks() -> None:
    with ThreadPoolExecutor(4) as threads:
        many = list(threads.map(lambda _: uuid4(), range(4 * _IDS)))
    assert len(set(many)) == 4 * _IDS
    assert {(each.version, each.variant) for each in many} == {(4, uuid.RFC_4122)}
    bits = [sum(each.int >> bit & 1 for each in many) for bit in range(128)]
    free = [count for bit, count in enumerate(bits) if bit not in (62, 63, 76, 77, 78, 79)]
    assert all(416 < count < 608 for count in free), "six standard deviations"


def test_a_forked_process_has_ids_of_its_own() -> None:
    script = """
import os, uuid
from addons.speed import speed_up
speed_up()
uuid.uuid4()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, str(uuid.uuid4()).encode())
    os._exit(0)
os.wait()
print(os.read(read, 100).decode() != str(uuid.uuid4()))
"""
    root = Path(__file__).parents[1]
    assert subprocess.check_output([sys.executable, "-c", script], cwd=root, timeout=60) == b"True\n"


def test_an_id_is_like_any_other() -> None:
    made = uuid4()
    assert made == uuid.UUID(str(made)) and hash(made) == hash(uuid.UUID(str(made)))
    assert vars_of(made) == vars_of(uuid.UUID(str(made)))


def vars_of(each: uuid.UUID) -> dict[str, object]:
    return {name: getattr(each, name) for name in uuid.UUID.__slots__ if name != "__weakref__"}


def test_a_forked_context_shares_all_but_its_list_of_layers() -> None:
    client = Client(peername=("127.0.0.1", 1), sockname=("127.0.0.1", 2))
    context = Context(client, Options())
    context.layers = [cast(Layer, "a layer")]
    made = fork(context)
    assert type(made) is Context
    assert vars(made) == vars(context)
    assert made.server is context.server
    assert made.layers is not context.layers


def test_connections_are_the_same_by_their_id() -> None:
    one, other = (Server(address=("a.test", port)) for port in (1, 2))
    assert same(one, one) and not same(one, other) and not same(one, "a text")
    other.id = one.id
    assert same(one, other)


def test_what_is_no_name_is_not_contained() -> None:
    assert not contains(http.Headers(((b"1", b""),)), 1)


def test_in_a_process_without_the_replacements_the_answers_are_the_same() -> None:
    script = """
import json, sys
from mitmproxy import http
if sys.argv[1] == "fast":
    from addons.speed import speed_up
    speed_up()
h = http.Headers(((b"Accept", b"a"), (b"accept", b"b"), (b"X-\\xe9", b"\\xff")))
flow = http.Request.make("GET", "https://a.test/b?c=d", b"x", {"Content-Type": "text/plain"})
print(json.dumps([h.get("accept"), h.get_all(b"ACCEPT"), "accept" in h, b"x" in h, h["accept"], h.get("x", "y"),
  ascii(h.get_all(b"x-\\xe9")), flow.pretty_url, flow.headers.get("content-type"), flow.text]))
"""
    root = Path(__file__).parents[1]
    answers = [
        json.loads(subprocess.check_output([sys.executable, "-c", script, mode], cwd=root, timeout=60))
        for mode in ("own", "fast")
    ]
    assert answers[0] == answers[1]


def test_every_event_has_its_arguments() -> None:
    events: list[Any] = list(all_hooks.values())
    for event in events:
        assert list(_field_names(event)) == [field.name for field in dataclasses.fields(event)]
