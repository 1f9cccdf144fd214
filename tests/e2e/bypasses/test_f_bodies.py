"""Section F, bodies: what two decoders could read differently is refused; what is read is judged, and sent as it is."""

from __future__ import annotations

import json

import pytest

from tests.e2e.bypasses.caller import Caller
from tests.e2e.raw import Answer, ask, request, tunnel
from tests.support.kubernetes import Kubectl
from tests.support.proxy import everything

MAPS = "/api/v1/namespaces/NS/configmaps"
PODS = "/api/v1/namespaces/NS/pods"
JSON = "Content-Type: application/json"
YAML = "Content-Type: application/yaml"
PROTOBUF = "Content-Type: application/vnd.kubernetes.protobuf"
HOST_PID = b'"hostPID":true,"containers":[{"name":"a","image":"registry.test/a:1"}]'


def config_map(name: str, more: str = "") -> bytes:
    """A ConfigMap in JSON, with `more` fields."""
    return f'{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"{name}"}}{more}}}'.encode()


TWICE = {
    "root": b'{"kind":"ConfigMap","kind":"Secret","metadata":{"name":"a"}}',
    "spec": b'{"metadata":{"name":"a"},"spec":{"containers":[]},"spec":{' + HOST_PID + b"}}",
    "metadata": b'{"metadata":{"name":"a","name":"b"}}',
    "in a list": b'{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"x","image":"y"}]}}',
    "escaped": b'{"metadata":{"name":"a"},"spec":{"containers":[]},"sp\\u0065c":{' + HOST_PID + b"}}",
    "equal values": b'{"metadata":{"name":"a","name":"a"}}',
}


@pytest.mark.parametrize("body", TWICE.values(), ids=TWICE)
def test_b60_the_same_key_twice_is_refused(body: bytes, caller: Caller) -> None:
    caller.is_refused(400, "unreadable-body", PODS, JSON, method="POST", body=body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/merge-patch+json", b'{"data":{"a":"b"},"data":null}'),
        ("application/strategic-merge-patch+json", b'{"data":{"a":"b","a":"c"}}'),
        ("application/json-patch+json", b'[{"op":"add","path":"/data/a","value":"b","path":"/data/b"}]'),
        ("application/apply-patch+yaml", b"kind: ConfigMap\napiVersion: v1\ndata: {a: b}\ndata: {a: c}\n"),
    ],
)
def test_b60_in_patches_too(content_type: str, body: bytes, caller: Caller) -> None:
    patch = f"{MAPS}/c1?fieldManager=m"
    caller.is_refused(400, "unreadable-body", patch, f"Content-Type: {content_type}", method="PATCH", body=body)


def test_b60_and_in_the_options_of_a_deletion(caller: Caller) -> None:
    caller.is_refused(
        400, "unreadable-body", f"{MAPS}/c1", JSON, method="DELETE", body=b'{"dryRun":["All"],"dryRun":null}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":{"name":"p"},"spec":{' + HOST_PID + b"}}",
        b'{"metadata":{"name":"p"},"sp\\u0065c":{' + HOST_PID.replace(b"hostPID", b"host\\u0050ID") + b"}}",
        b'{"metadata":{"name":"p"},"Spec":{},"spec":{' + HOST_PID + b',"hostPid":false}}',
        b'\n\t {"metadata" : {"name":"p"} ,"spec" : {' + HOST_PID + b"}} \n",
    ],
    ids=["plain", "escaped keys", "keys in another case", "white space"],
)
def test_b61_no_spelling_of_a_key_hides_a_value(body: bytes, caller: Caller) -> None:
    caller.is_refused(403, "no-host-namespaces", PODS, JSON, method="POST", body=body)


@pytest.mark.parametrize(
    ("name", "more", "data"),
    [
        ("escaped", ',"d\\u0061ta":{"a":"b"}', {"a": "b"}),
        ("other-case", ',"Data":{"a":"b"}', None),
        ("unknown-field", ',"colour":"blue","data":{"a":"b"}', {"a": "b"}),
    ],
)
def test_b61_keys_mean_what_they_mean_to_the_server(
    name: str, more: str, data: dict[str, str] | None, caller: Caller, admin: Kubectl
) -> None:
    caller.is_read(f"create configmaps NS {name}", MAPS, JSON, method="POST", body=config_map(name, more))
    assert admin.get("configmap", name).get("data") == data


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("block", "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: block\ndata:\n  a: b\n"),
        ("begun", "---\nkind: ConfigMap\nmetadata: {name: begun}\ndata: {a: b}\n"),
        ("ended", "kind: ConfigMap\nmetadata: {name: ended}\ndata: {a: b}\n...\n"),
        ("json-inside", '{"kind":"ConfigMap","metadata":{"name":"json-inside"},"data":{"a":"b"}}'),
        ("comment", "# no: {data: x}\nmetadata: {name: comment} # end\ndata: {a: b}\n"),
    ],
)
def test_b62_yaml_is_read_as_the_server_reads_it(name: str, body: str, caller: Caller, admin: Kubectl) -> None:
    caller.is_read(f"create configmaps NS {name}", MAPS, YAML, method="POST", body=body.encode())
    assert admin.get("configmap", name)["data"] == {"a": "b"}


@pytest.mark.parametrize(
    "body",
    [
        "metadata: {name: a}\n---\nmetadata: {name: b}\n",
        "metadata: {name: a}\n---\n",
        "base: &b {hostPID: true}\nmetadata: {name: a}\nspec: *b\n",
        "metadata: {name: a}\nspec: {<<: {hostPID: true}}\n",
        "metadata: {name: a}\nmetadata: {name: b}\n",
        "metadata: {name: a}\ndata: {a: !!binary aGk=}\n",
        "metadata: {name: a}\ndata: {a: !!python/object/apply:os.system [id]}\n",
        "metadata: {name: a}\ndata: {a: !!str 1}\n",
        "metadata: {name: a}\ndata: {on: yes}\n",
        "metadata: {name: a}\ndata: {1: b}\n",
        "metadata: [unclosed\n",
        "%YAML 1.1\n---\nmetadata: {name: a}\n",
    ],
)
def test_b62_yaml_that_parsers_read_differently_is_refused(body: str, caller: Caller) -> None:
    caller.is_refused(400, "unreadable-body", MAPS, YAML, method="POST", body=body.encode())


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("upper", ["Content-Type: APPLICATION/JSON"]),
        ("charset", ["Content-Type: application/json; charset=utf-8"]),
        ("no-type", []),
        ("empty-type", ["Content-Type:"]),
    ],
)
def test_b63_json_by_any_other_name(name: str, headers: list[str], caller: Caller) -> None:
    caller.is_read(f"create configmaps NS {name}", MAPS, *headers, method="POST", body=config_map(name))


@pytest.mark.parametrize(
    ("code", "rule", "headers"),
    [
        (415, "unsupported-body", ["Content-Type: application/json; charset=utf-16"]),
        (415, "unsupported-body", ["Content-Type: application/json; profile=x"]),
        (415, "unsupported-body", ["Content-Type: application/cbor"]),
        (415, "unsupported-body", ["Content-Type: application/cbor-seq"]),
        (415, "unsupported-body", ["Content-Type: application/apply-patch+cbor"]),
        (415, "unsupported-body", ["Content-Type: text/plain"]),
        (415, "unsupported-body", ["Content-Type: application/json, application/yaml"]),
        (415, "unsupported-body", ["Content-Type: nonsense"]),
        (415, "unsupported-body", [JSON, "Content-Encoding: gzip"]),
        (415, "unsupported-body", [JSON, "Content-Encoding: br"]),
        (415, "unsupported-body", [JSON, "Content-Encoding: deflate"]),
        (415, "unsupported-body", [JSON, "Content-Encoding: identity"]),
        (400, "ambiguous-header", [JSON, "Content-Type: application/yaml"]),
        (400, "unreadable-body", [PROTOBUF]),
    ],
)
def test_b63_a_form_that_cannot_be_read_is_refused(code: int, rule: str, headers: list[str], caller: Caller) -> None:
    caller.is_refused(code, rule, MAPS, *headers, method="POST", body=config_map("a"))


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "identity"])
def test_b63_nor_is_a_body_in_a_transfer_coding(coding: str, caller: Caller) -> None:
    whole = request(caller.gateway, MAPS, JSON, f"Transfer-Encoding: {coding}", token=caller.token, method="POST")
    assert ask(caller.gateway, whole + b"2\r\n{}\r\n0\r\n\r\n").status in (0, 400, 501)
    assert caller.oracle.arrived() == []


DEEP = 9000
ODD = {
    "deep": b'{"metadata":{"name":"a"},"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep mappings": b'{"metadata":{"name":"a"},"x":' + b'{"x":' * 500 + b"1" + b"}" * 501,
    "infinite": b'{"metadata":{"name":"a"},"x":1e999}',
    "400 digits": b'{"metadata":{"name":"a"},"x":' + b"9" * 400 + b"}",
    "not UTF-8": b'{"metadata":{"name":"a"},"data":{"a":"\xff"}}',
    "lone surrogate": b'{"metadata":{"name":"a"},"data":{"a":"\\ud800"}}',
    "NaN": b'{"metadata":{"name":"a"},"x":NaN}',
    "trailing data": b'{"metadata":{"name":"a"}}{"metadata":{"name":"b"}}',
    "comment": b'{"metadata":{"name":"a"}} // that is all',
    "byte order mark": b'\xef\xbb\xbf{"metadata":{"name":"a"}}',
    "UTF-16": '{"metadata":{"name":"a"}}'.encode("utf-16"),
    "a list": b'[{"metadata":{"name":"a"}}]',
    "a text": b'"a"',
    "cut off": b'{"metadata":{"name":"a"',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_b64_a_body_that_cannot_be_read_is_never_passed_unread(body: bytes, caller: Caller) -> None:
    caller.is_refused(400, "unreadable-body", MAPS, JSON, method="POST", body=body)


def test_b64_white_space_behind_it_is_nothing(caller: Caller) -> None:
    body = config_map("spaced") + b" \n" * 1000
    caller.is_read("create configmaps NS spaced", MAPS, JSON, method="POST", body=body)
    assert body in caller.oracle.sent()


def test_b64_a_huge_key_is_read(caller: Caller) -> None:
    body = config_map("huge", f',"{"k" * 1_000_000}":1')
    caller.is_read("create configmaps NS huge", MAPS, JSON, method="POST", body=body)


LIMIT = 3 * 1024 * 1024


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["plain", "expecting"])
def test_b65_a_body_over_the_limit_is_refused(expect: tuple[str, ...], caller: Caller) -> None:
    named = MAPS.replace("NS", caller.admin.namespace)
    body = config_map("large").ljust(LIMIT + 1)
    whole = request(caller.gateway, named, JSON, *expect, token=caller.token, method="POST", body=body)
    answer = ask(caller.gateway, whole)
    answer = Answer(answer.raw.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n"))
    assert answer.status == 413, answer
    assert "3" in answer.message
    assert caller.oracle.arrived() == []


def test_b65_also_when_it_does_not_say_how_long_it_is(caller: Caller) -> None:
    named = MAPS.replace("NS", caller.admin.namespace)
    whole = request(caller.gateway, named, JSON, "Transfer-Encoding: chunked", token=caller.token, method="POST")
    with tunnel(caller.gateway) as tls:
        tls.sendall(whole)
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(LIMIT // 0x10000 + 2):
                tls.sendall(chunk)
        except OSError:  # it was answered and closed while we still sent
            pass
        assert b" 413 " in everything(tls, 5)[:20]
    assert caller.oracle.arrived() == []


def test_b65_a_slow_body_is_judged_when_it_is_whole(caller: Caller) -> None:
    body = b'{"metadata":{"name":"p"},"spec":{' + HOST_PID + b"}}"
    named = PODS.replace("NS", caller.admin.namespace)
    head = request(caller.gateway, named, JSON, f"Content-Length: {len(body)}", token=caller.token, method="POST")
    answer = ask(caller.gateway, head + body[:10], body[10:40], body[40:])
    assert answer.status == 403
    assert "no-host-namespaces" in json.dumps(answer.json())
    assert caller.oracle.arrived() == []
