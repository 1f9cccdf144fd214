"""Every form a reply can take: the planted value occurs in none of them, and what is not secret stays."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.core.masking import Unmaskable, mask_reply
from addons.core.masking.codec import decode_json, decode_yaml
from addons.core.masking.objects import hide_quoted
from tests.core.masking.support import AWS, JWT, PEM, b64, compact, compiled, delivered, request, secret

VALUE = "hunter2-hunter2"
NS = "/api/v1/namespaces/team-a"
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
COLUMNS = [{"name": name, "type": "string"} for name in ("Name", "Type", "Data", "Age")]


def masked(target: str, body: bytes, content_type: str = "application/json", status: int = 200) -> bytes:
    return b"".join(mask_reply(delivered(), request(target), content_type, [body], status))


def table(*objects: Any, columns: Any = COLUMNS) -> dict[str, Any]:
    rows = [{"cells": ["db", "Opaque", 1, "3d"], "object": item} for item in objects]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": columns, "rows": rows}


def partial() -> dict[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": secret()["metadata"]}


def items() -> list[dict[str, Any]]:
    return [
        {key: value for key, value in secret(f"s{n}").items() if key not in ("kind", "apiVersion")} for n in range(3)
    ]


def events(*inner: dict[str, Any]) -> bytes:
    return b"".join(compact({"type": "ADDED", "object": item}) for item in inner)


STATUS = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "code": 422,
    "reason": "Invalid",
    "message": 'Secret "db" is invalid: patch: '
    f'Invalid value: "{{\\"data\\":{{\\"password\\":\\"{b64(VALUE)}\\"}}}}": bad',
    "details": {
        "name": "db",
        "kind": "Secret",
        "causes": [{"message": f'Invalid value: "{VALUE}": no', "field": "x"}, None],
    },
}

FORMS = [
    pytest.param(f"GET {NS}/secrets/db", compact(secret()), "application/json", 200, id="get"),
    pytest.param(f"GET {NS}/secrets/db", json.dumps(secret(), indent=2).encode(), "application/json", 200, id="pretty"),
    pytest.param(
        "GET /api/v1/secrets",
        compact({"kind": "SecretList", "apiVersion": "v1", "items": items()}),
        "application/json",
        200,
        id="list",
    ),
    pytest.param(
        "GET /api/v1/secrets",
        compact({"kind": "List", "apiVersion": "v1", "items": [secret(), secret()]}),
        "application/json;charset=utf-8",
        200,
        id="list of mixed kinds",
    ),
    pytest.param("GET /api/v1/secrets", compact(table(secret(), partial(), None)), "application/json", 200, id="Table"),
    pytest.param(f"GET {NS}/secrets/db", compact(partial()), "application/json", 200, id="PartialObjectMetadata"),
    pytest.param(
        "GET /api/v1/secrets",
        compact(
            {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "items": [partial(), {"metadata": secret()["metadata"]}],
            }
        ),
        "application/json",
        200,
        id="PartialObjectMetadataList",
    ),
    pytest.param(
        "GET /api/v1/secrets?watch=true",
        events(secret(), partial(), table(secret())),
        "application/json",
        200,
        id="watch",
    ),
    pytest.param(
        "GET /api/v1/watch/secrets", events(secret()), "application/json;stream=watch", 200, id="watch by path"
    ),
    pytest.param("GET /api/v1/secrets?watch=true", compact(STATUS), "application/json", 422, id="watch refused"),
    pytest.param("GET /api/v1/secrets?watch=true", events(STATUS), "application/json", 200, id="ERROR event"),
    pytest.param(f"GET {NS}/secrets/db", json.dumps(secret()).encode(), "application/yaml", 200, id="YAML"),
    pytest.param(f"POST {NS}/secrets", compact(secret()), "application/json", 201, id="create"),
    pytest.param(f"PATCH {NS}/secrets/db?dryRun=All", compact(secret()), "application/json", 200, id="dry run"),
    pytest.param(f"DELETE {NS}/secrets/db", compact(secret()), "application/json", 200, id="delete"),
    pytest.param(
        f"DELETE {NS}/secrets",
        compact({"kind": "SecretList", "apiVersion": "v1", "items": items()}),
        "application/json",
        200,
        id="deletecollection",
    ),
    pytest.param(f"PATCH {NS}/secrets/db", compact(STATUS), "application/json", 422, id="Status"),
    pytest.param(
        f"PATCH {NS}/secrets/db", f'cannot decode "{VALUE}'.encode(), "text/plain; charset=utf-8", 500, id="text"
    ),
    pytest.param(
        f"GET {NS}/secrets/db", compact(secret(kind="secret", apiVersion="v9")), "application/json", 200, id="odd kind"
    ),
    pytest.param(
        f"POST {NS}/serviceaccounts/a/token?dryRun=All",
        compact({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "status": {"token": VALUE}}),
        "application/json",
        201,
        id="TokenRequest",
    ),
    pytest.param(
        f"GET {NS}/pods/p/status",
        compact({"kind": "Pod", "spec": {"containers": [{"env": [{"name": "DB_PASSWORD", "value": VALUE}]}]}}),
        "application/json",
        200,
        id="env",
    ),
    pytest.param(f"POST {NS}/serviceaccounts/a/token", compact(secret()), "application/json", 200, id="by kind"),
]


@pytest.mark.parametrize(("target", "body", "content_type", "status"), FORMS)
def test_the_value_occurs_in_no_form(target: str, body: bytes, content_type: str, status: int) -> None:
    assert VALUE.encode() in body or b64(VALUE).encode() in body
    out = masked(target, body.replace(b'"spec":', b'"e":[{"name":"token","value":""}],"spec":'), content_type, status)
    assert VALUE.encode() not in out
    assert b64(VALUE).encode() not in out
    again = masked(target, out, content_type, status)
    assert again == out


def test_a_masked_secret_keeps_its_shape() -> None:
    out = decode_json(masked(f"GET {NS}/secrets/db", compact(secret())))
    placeholder = base64.b64decode(out["data"]["password"]).decode()
    assert placeholder.startswith("masked:v1:")
    assert out["metadata"]["managedFields"] == secret()["metadata"]["managedFields"]
    assert out["type"] == "Opaque"
    applied = out["metadata"]["annotations"][APPLIED]
    assert applied.endswith("\n")
    assert json.loads(applied)["stringData"]["password"].startswith("masked:v1:")


def test_fingerprints_show_a_change_and_hide_equality() -> None:
    one, same, changed = (
        decode_json(masked(f"GET {NS}/secrets/db", compact(secret(value=value))))["data"] for value in ("a", "a", "b")
    )
    assert one == same != changed
    other = decode_json(masked(f"GET {NS}/secrets/x", compact(secret("x", "a"))))["data"]
    assert other != one


def test_dry_runs_carry_no_fingerprint() -> None:
    target = f"PATCH {NS}/secrets/db?dryRun=All"
    one, two = (masked(target, compact(secret(value=value))) for value in ("a guess", "another"))
    assert one == two


@pytest.mark.parametrize(
    ("target", "body"),
    [
        pytest.param(
            f"GET {NS}/secrets/db",
            {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "e"}, "data": None},
            id="no data",
        ),
        pytest.param("GET /api/v1/secrets", {"kind": "SecretList", "apiVersion": "v1", "items": []}, id="empty list"),
        pytest.param("GET /api/v1/secrets", table(), id="empty Table"),
        pytest.param(
            "GET /api/v1/secrets", {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": None}, id="no rows"
        ),
        pytest.param(
            f"GET {NS}/secrets/db",
            {"kind": "Status", "apiVersion": "v1", "status": "Success", "details": None},
            id="Status",
        ),
        pytest.param(
            f"GET {NS}/secrets/x",
            {"kind": "Status", "apiVersion": "v1", "message": 'secrets "x" not found', "details": {"name": "x"}},
            id="not found",
        ),
        pytest.param(
            f"GET {NS}/pods/p",
            {"kind": "Pod", "status": {"containerStatuses": [{"containerID": "containerd://ab"}]}},
            id="pod",
        ),
        pytest.param(
            f"GET {NS}/configmaps/c", {"kind": "ConfigMap", "data": {"a": "b\n", "url": "http://x:80/"}}, id="config"
        ),
    ],
)
def test_what_holds_no_secret_stays_byte_for_byte(target: str, body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    assert masked(target, raw) == raw


def test_a_table_of_secrets_shows_known_columns_only() -> None:
    columns = [{"name": name} for name in ("Name", "Type", "Leak", "Age")]
    first, second = (
        decode_json(line)["object"]
        for line in masked(
            "GET /api/v1/secrets?watch=true", events(table(None, columns=columns), table(None, columns=[]))
        ).splitlines()
    )
    for found in (first, second):
        name, kind, leak, age = found["rows"][0]["cells"]
        assert (name, kind, age) == ("db", "Opaque", "3d")
        assert leak.startswith("masked:v1:")


@pytest.mark.parametrize(
    ("head", "masks"),
    [
        ({"kind": "SecretList", "apiVersion": "v1", "items": []}, True),
        ({"apiVersion": "v1", "items": []}, True),
        ({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "rows": []}, True),
        ({"kind": "Secret", "apiVersion": "v1", "items": []}, False),
        ({"kind": "Status", "apiVersion": "v1"}, False),
    ],
)
def test_items_are_masked_one_by_one_in_lists_and_tables_only(head: dict[str, Any], masks: bool) -> None:
    masker = delivered().plan(request("GET /api/v1/secrets")).objects()
    assert (masker.items(head) is not None) is masks


def test_cells_beyond_the_known_columns_are_masked() -> None:
    out = decode_json(masked("GET /api/v1/secrets", compact(table(None, columns=[]))))
    assert all(str(cell).startswith("masked:v1:") for cell in out["rows"][0]["cells"])


def test_cells_of_other_tables_are_searched() -> None:
    rows = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": [{"name": "Message"}],
        "rows": [{"cells": [f"pull https://u:{VALUE}@r/x failed", 3]}],
    }
    out = decode_json(masked("GET /api/v1/events", compact(rows)))
    assert out["rows"][0]["cells"][0].startswith("pull https://u:masked:v1:")
    assert out["rows"][0]["cells"][1] == 3


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (AWS, "IOSFODNN7EXAMPLE"),
        (JWT, "eyJzdWIi"),
        (PEM, "MIIEow"),
        (f"a: {JWT}\nb: 1", "eyJzdWIi"),
        (f'{{"k": "{JWT}"}}', "eyJzdWIi"),
    ],
)
def test_config_values_are_searched(text: str, hidden: str) -> None:
    body = {"kind": "ConfigMap", "metadata": {"annotations": {"note": text}}, "data": {"a": text, "n\n": 5}}
    for content_type in ("application/json", "application/yaml"):
        out = masked(f"GET {NS}/configmaps/c", json.dumps(body, ensure_ascii=False).encode(), content_type)
        assert hidden.encode() not in out
        assert decode_yaml(out)["data"]["n\n"] == 5


@settings(max_examples=200)
@given(
    st.text(alphabet=st.sampled_from('ab\n\t"\\<>&/é\u2028 '), max_size=6),
    st.sampled_from([AWS, JWT, PEM]),
    st.sampled_from(["\n", "\t", '"', "<", " ", "&", "\\"]),
)
def test_json_escapes_hide_nothing_from_the_search(before: str, value: str, edge: str) -> None:
    """The bytes are searched before they are decoded: whatever the escapes, that finds what decoding would."""
    from addons.core.masking.detectors import as_kubernetes_json

    body = {"kind": "ConfigMap", "data": {"a": before + edge + value + edge}}
    for raw in (
        as_kubernetes_json(body),
        json.dumps(body).encode(),
        json.dumps(body).replace("y", "\\u0079").replace("K", "\\u004B").encode(),
    ):
        out = masked(f"GET {NS}/configmaps/c", raw)
        for hidden in ("IOSFODNN7", "hbGciOiJSUzI1NiJ9", "MIIEow"):
            assert hidden not in json.loads(out)["data"]["a"]


def test_copies_that_could_be_read_two_ways_are_masked_whole() -> None:
    body = secret()
    body["metadata"]["annotations"][APPLIED] = f'{{"data":{{"p":"{VALUE}"}},"data":{{}}}}'
    out = decode_json(masked(f"GET {NS}/secrets/db", compact(body)))
    assert out["metadata"]["annotations"][APPLIED].startswith("masked:v1:")
    body["metadata"]["annotations"] = {APPLIED: 5}
    assert decode_json(masked(f"GET {NS}/secrets/db", compact(body)))["metadata"]["annotations"][APPLIED].startswith(
        "masked"
    )
    body["metadata"]["annotations"] = {APPLIED: "{}"}
    assert decode_json(masked(f"GET {NS}/secrets/db", compact(body)))["metadata"]["annotations"] == {APPLIED: "{}"}


@pytest.mark.parametrize(
    ("target", "body", "content_type", "status"),
    [
        pytest.param(f"GET {NS}/secrets/db", b"k8s\x00", "application/vnd.kubernetes.protobuf", 200, id="protobuf"),
        pytest.param(f"GET {NS}/secrets/db", b"x", "", 200, id="no content type"),
        pytest.param(f"GET {NS}/secrets/db", b"x", "text/plain", 200, id="text where an object is due"),
        pytest.param(f"GET {NS}/secrets/db", b"\xff", "text/plain", 500, id="binary error"),
        pytest.param(f"GET {NS}/secrets/db", b"[]", "application/json", 200, id="no object"),
        pytest.param(f"GET {NS}/secrets/db", b"null", "application/json", 200, id="null"),
        pytest.param(f"GET {NS}/secrets/db", b"{", "application/json", 200, id="cut"),
        pytest.param(
            "GET /api/v1/secrets", b'{"kind":"SecretList","items":[1]}', "application/json", 200, id="odd item"
        ),
        pytest.param("GET /api/v1/secrets", compact(table() | {"rows": [{}]}), "application/json", 200, id="odd row"),
        pytest.param("GET /api/v1/secrets?watch=1", b'{"type":"ADDED"}\n', "application/json", 200, id="odd event"),
        pytest.param("GET /api/v1/secrets?watch=1", compact(secret()), "application/yaml", 200, id="YAML watch"),
        pytest.param("GET /api/v1/secrets?watch=1", b'{"type":"ADDED","obj', "application/json", 200, id="cut event"),
    ],
)
def test_what_cannot_be_masked_is_withheld(target: str, body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(Unmaskable):
        masked(target, body, content_type, status)


@pytest.mark.parametrize(
    ("message", "name", "shown"),
    [
        ('secrets "db" not found', "db", 'secrets "db" not found'),
        (
            'User "a" cannot get resource "secrets" in API group "" in the namespace "t"',
            "",
            'User "a" cannot get resource "secrets" in API group "" in the namespace "t"',
        ),
        ('Invalid value: "x\\"y": no', "db", 'Invalid value: "(masked)": no'),
        ('cut off: "abc', "", 'cut off: "(masked)"'),
        ("yaml: cannot unmarshal !!str `abc` into map", "", 'yaml: cannot unmarshal !!str "(masked)" into map'),
        ('unknown field "data.x"', "", 'unknown field "data.x"'),
        ("isn't 'abc' allowed, isn't it", "", "isn't \"(masked)\" allowed, isn't it"),
        ('bad: map[a:b] {"x"', "", 'bad: "(masked)"'),
        ('bad: {"data":1}', "", 'bad: "(masked)"'),
    ],
)
def test_quoted_parts_of_messages_are_hidden(message: str, name: str, shown: str) -> None:
    assert hide_quoted(message, name) == shown
    assert hide_quoted(shown, name) == shown


def test_messages_about_searched_resources_keep_their_quotes() -> None:
    body = {"kind": "Status", "apiVersion": "v1", "message": f'Invalid value: "{AWS} x"'}
    out = decode_json(masked(f"PATCH {NS}/pods/p", compact(body), status=422))
    assert out["message"].startswith('Invalid value: "AKIAmasked:v1:')


def test_hiding_is_linear() -> None:
    hide_quoted("a" * 300_000 + '{"' * 100_000)
    hide_quoted('"' + "\\" * 300_001)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("apps/deployments", True),
        ("apps/deployments/scale", True),
        ("batch/jobs", False),
        ("apps/replicasets/scale", True),
    ],
)
def test_custom_rules_name_resources_as_rbac_does(place: str, expected: bool) -> None:
    masker, problems = compiled("""
apiVersion: chaperone/v1
kind: Masking
metadata: {name: m}
spec:
  description: d
  match: {apiGroups: [apps], resources: [deployments, "*/scale"]}
  paths: ["$.spec.password"]
  tests:
    - {given: {spec: {password: {deep: [1, null, true]}}}, expect: {spec: {password: {deep: [MASKED, null, MASKED]}}}}
    - {given: {spec: {}}, expect: unchanged}
""")
    assert problems == []
    group, resource, *rest = place.split("/")
    plan = masker.plan(request(f"GET /apis/{group}/v1/namespaces/a/{resource}/n/{'/'.join(rest)}"))
    assert plan.passes is not expected


NAMED = """
apiVersion: chaperone/v1
kind: Masking
metadata: {name: m}
spec:
  description: d
  match: {apiGroups: ["*"], resources: ["*"]}
  named: ["$.a", "$.list"]
  detectBase64: ["$.b"]
  guard: false
  tests: [{given: {a: {token: x}}, expect: {a: {token: MASKED}}}, {given: {}, expect: unchanged}]
"""


@pytest.mark.parametrize(
    ("value", "masks"),
    [
        ({"a": {"Token": {"deep": [1, "x"]}}}, 2),
        ({"a": {"deep": [{"password": "x", "other": "y"}]}}, 1),
        ({"a": {"token": True, "password": "", "secret": None}}, 0),
        ({"list": [["x"], {"n": 1}]}, 0),
        ({"a": "token"}, 0),
        ({"b": "no base64"}, 0),
        ({"b": 7}, 0),
        ({"b": b64("nothing")}, 0),
    ],
)
def test_values_that_are_named_secret(value: dict[str, Any], masks: int) -> None:
    masker, problems = compiled(NAMED)
    assert problems == []
    out = masker.plan(request("GET /api/v1/namespaces/a/things/t")).mask_document(compact(value), "application/json")
    assert out.count(b"masked:v1:") == masks
    assert masks or json.loads(out) == value


def test_what_is_in_base64_stays_so() -> None:
    key = b64(PEM)
    shown = json.loads(
        masked("GET /apis/x.io/v1/things", compact({"kind": "Thing", "spec": {"key": key, "text": f"{key} "}}))
    )
    assert base64.b64decode(shown["spec"]["key"], validate=True).startswith(b"masked:v1:")
    assert shown["spec"]["text"].startswith("LS0tLS1CRUdJTiBSU0Eg")


def managed(key: str) -> dict[str, Any]:
    fields = {"f:spec": {"f:tokens": {".": {}, key: {}, 'v:"other"': {}}}, "f:odd": "x"}
    return {"managedFields": [{"fieldsV1": fields}, {"fieldsV1": None}, 7]}


@pytest.mark.parametrize(
    ("target", "key", "shown"),
    [
        ("things", f'v:"{AWS}"', ['v:"AKIAmasked:v1:0000000000000000"', 'v:"other"']),
        ("things", 'v:"plain"', ['v:"plain"', 'v:"other"']),
        ("things", f'k:{{"name":"{AWS}"}}', ['k:{"name":"AKIAmasked:v1:0000000000000000"}', 'v:"other"']),
        ("secrets", 'v:"plain"', ['v:"masked:v1:0000000000000000"']),
        ("secrets", "f:plain", ["f:plain", 'v:"masked:v1:0000000000000000"']),
    ],
)
def test_values_that_managed_fields_hold_are_masked(target: str, key: str, shown: list[str]) -> None:
    value = {"apiVersion": "v1", "kind": "Thing", "metadata": managed(key)}
    out = json.loads(masked(f"GET {NS}/{target}/x", compact(value)))
    assert list(out["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:tokens"]) == [".", *shown]
    assert out["metadata"]["managedFields"][0]["fieldsV1"]["f:odd"] == "x"
    if target == "things" and "plain" in key:
        assert out == value


def test_a_number_that_json_libraries_do_not_write_hides_nothing() -> None:
    value = {"kind": "Thing", "spec": {"huge": 2**70, "url": f"amqp://a:{VALUE}@mq"}}
    out = masked("GET /apis/x.io/v1/things", compact(value))
    assert VALUE.encode() not in out
    assert json.loads(out)["spec"]["huge"] == 2**70
