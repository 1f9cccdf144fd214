"""Releases of Helm: unpacked, masked inside and packed again; what is none is masked as a whole."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from addons.core.masking import helm
from addons.core.masking.manifests import mask_documents
from addons.core.masking.placeholder import contains_marker, contains_placeholder
from tests.core.masking.support import compact, delivered, request, secret

NS = "/api/v1/namespaces/team-a"
VALUE = "hunter2-hunter2"
MARK = "masked:v1:0123456789abcdef"
MANIFEST = f"""---
# Source: web/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata:
  name: db
stringData:
  password: {VALUE}
---
# Source: web/templates/service.yaml
apiVersion: v1
kind: Service
metadata:
  name: web
"""


def release(**more: Any) -> dict[str, Any]:
    """A release that holds VALUE in every place where Helm puts it."""
    return {
        "name": "web",
        "info": {"status": "deployed", "notes": f"postgres://web:{VALUE}@db"},
        "chart": {
            "metadata": {"name": "web"},
            "templates": [{"name": "t", "data": b64(f"url: amqp://a:{VALUE}@mq")}],
            "values": {"db": {"password": VALUE}},
        },
        "config": {"auth": {"rootPassword": VALUE}, "env": [{"name": "API_TOKEN", "value": VALUE}], "replicas": 2},
        "manifest": MANIFEST,
        "hooks": [{"name": "h", "manifest": MANIFEST}],
        "version": 1,
        "namespace": "team-a",
        **more,
    }


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def packed(value: Any, layers: int = 2) -> str:
    raw = gzip.compress(json.dumps(value).encode())
    for _ in range(layers):
        raw = base64.b64encode(raw)
    return raw.decode()


def stored(data: str) -> dict[str, Any]:
    metadata = {"name": "sh.helm.release.v1.web.v1", "namespace": "team-a", "uid": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "helm.sh/release.v1",
        "data": {"release": data},
    }


def masked(target: str, value: Any) -> Any:
    plan = delivered().plan(request(target))
    return json.loads(plan.mask_document(compact(value), "application/json"))


FORMS = [
    (f"GET {NS}/secrets/s", stored(packed(release())), 2),
    (f"GET {NS}/configmaps/s", {"kind": "ConfigMap", "apiVersion": "v1", "data": {"release": packed(release(), 1)}}, 1),
]


@pytest.mark.parametrize(("target", "value", "layers"), FORMS, ids=["Secret", "ConfigMap"])
def test_a_release_is_masked_inside_and_stays_one(target: str, value: Any, layers: int) -> None:
    shown = helm.unpack(masked(target, value)["data"]["release"])
    assert shown is not None
    assert shown.layers == layers
    text = json.dumps(shown.value)
    assert VALUE not in text
    assert b64(VALUE) not in text
    templates = base64.b64decode(shown.value["chart"]["templates"][0]["data"]).decode()
    assert templates.startswith("url: amqp://a:masked:v1:")
    assert shown.value["config"]["replicas"] == 2
    assert shown.value["config"]["auth"]["rootPassword"].startswith("masked:v1:")
    assert shown.value["manifest"].startswith("---\n# Source: web/templates/secret.yaml\n{")
    assert shown.value["manifest"].endswith(
        MANIFEST.partition("yaml\napiVersion: v1\nkind: Service")[1] + "\nmetadata:\n  name: web\n"
    )


def test_a_release_without_secrets_is_passed_on_as_it_is() -> None:
    plain = release(info={}, chart={}, config={"replicas": 2}, manifest="", hooks=[])
    for layers, target in ((2, "secrets"), (1, "configmaps")):
        value = stored(packed(plain, layers))
        assert masked(f"GET {NS}/{target}/s", value | {"kind": target[:-1]}) == value | {"kind": target[:-1]}


@pytest.mark.parametrize(
    "data",
    [
        b64(VALUE),
        packed([1]),
        packed({"name": "web"}),
        packed(release())[:-8],
        b64(b64(gzip.compress(b"{"))),
        b64(gzip.compress(json.dumps(release()).encode()) * 2),
        packed(release(), 3),
        7,
    ],
    ids=["no gzip", "a list", "no release", "cut off", "no JSON", "two members", "three layers", "a number"],
)
def test_what_is_no_release_is_masked_whole(data: Any) -> None:
    assert helm.unpack(data) is None
    shown = masked(f"GET {NS}/secrets/s", stored(data))["data"]["release"]
    assert base64.b64decode(shown).startswith(b"masked:v1:")


def test_a_release_that_is_too_large_is_masked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.core.masking.helm.MAX_BYTES", 100)
    assert helm.unpack(packed(release())) is None


def test_only_a_release_is_not_masked_whole() -> None:
    value = secret()
    value["data"]["release"] = packed(release())
    shown = masked(f"GET {NS}/secrets/s", value)["data"]
    assert base64.b64decode(shown["password"]).startswith(b"masked:v1:")
    assert helm.unpack(shown["release"]) is not None


def test_a_release_that_was_just_written_is_one_too() -> None:
    value = {"kind": "Secret", "apiVersion": "v1", "stringData": {"release": packed(release(), 1), "other": VALUE}}
    shown = masked(f"POST {NS}/secrets", value)["stringData"]
    assert helm.unpack(shown["release"]) is not None
    assert shown["other"].startswith("masked:v1:")


@pytest.mark.parametrize("layers", [1, 2])
def test_a_placeholder_is_found_in_what_is_packed(layers: int) -> None:
    marked = packed(release(manifest=MARK), layers)
    assert contains_marker(f'{{"release":"{marked}"}}'.encode())
    assert contains_placeholder({"data": {"release": marked}}) == "$.data.release"
    assert not contains_marker(packed(release(), layers).encode())
    assert not contains_marker(b"H4sIAAAAAAAAAAAAAAAAAAAA")


DOCUMENTS = [
    ("", ""),
    ("# only a comment\n", "# only a comment\n"),
    ("---\n---\n", "---\n---\n"),
    ("a: 1\n", "a: 1\n"),
    ("# kept\na: 1\nsecret: x\n---\nb: 2\n", '# kept\n{\n  "a": 1,\n  "secret": "*"\n}\n---\nb: 2\n'),
    ("--- {secret: x}\n---\nb: 2\n", '{\n  "secret": "*"\n}\n---\nb: 2\n'),
    ("a: &x 1\nb: *x\n---\nb: 2\n", "# hidden\n---\nb: 2\n"),
    ("- a list\n", "# hidden\n"),
    ("a: 1\n...\nsecret: x\n", "# hidden\n"),
    ("--- a: 1\n--- secret: x\n", "# hidden\n"),
    ("a: 1\r\n---\r\nsecret: x\r\n", 'a: 1\r\n---\r\n{\n  "secret": "*"\n}\n'),
]


@pytest.mark.parametrize(("text", "expected"), DOCUMENTS, ids=[repr(text) for text, _ in DOCUMENTS])
def test_documents_are_masked_one_by_one(text: str, expected: str) -> None:
    def mask(value: dict[str, Any]) -> bool:
        found = "secret" in value
        if found:
            value["secret"] = "*"
        return found

    assert mask_documents(text, mask, lambda piece: "hidden") == expected


def test_manifests_that_are_no_text_are_masked_whole() -> None:
    shown = helm.unpack(
        masked(f"GET {NS}/secrets/s", stored(packed(release(hooks=[{"manifest": 7}]))))["data"]["release"]
    )
    assert shown is not None
    assert shown.value["hooks"][0]["manifest"].startswith("masked:v1:")


def test_a_manifest_that_cannot_be_read_is_hidden() -> None:
    odd = release(manifest=f"kind: Secret\nstringData: &a {{p: {VALUE}}}\nmetadata: *a\n")
    shown = helm.unpack(masked(f"GET {NS}/secrets/s", stored(packed(odd)))["data"]["release"])
    assert shown is not None
    assert shown.value["manifest"].startswith("# masked:v1:")
