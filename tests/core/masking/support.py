"""Masking rules for tests: the ones that are delivered, and small ones."""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import Any

from addons.core.documents import parse_documents
from addons.core.kube_request import KubeRequest
from addons.core.masking import Masker, compile_masking
from addons.core.problem import Problem
from addons.core.request_info import request_info

KEY = b"a key for tests only: 32 bytes.."
RULES = Path(__file__).parents[3] / "rules" / "masking"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJ" + "hbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZ2VudCJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nabcdefghijkl\n-----END RSA PRIVATE KEY-----"


def compiled(text: str) -> tuple[Masker, list[Problem]]:
    documents, problems = parse_documents(text, "m.yaml")
    masker, found = compile_masking(documents, KEY)
    return masker, problems + found


@functools.cache
def delivered() -> Masker:
    """The masker of rules/masking, which must be free of problems."""
    masker, problems = compiled("\n---\n".join(path.read_text() for path in sorted(RULES.glob("*.yaml"))))
    assert problems == []
    return masker


def request(text: str) -> KubeRequest:
    """`GET /path?a=b` as a KubeRequest."""
    method, _, target = text.partition(" ")
    path, _, query = target.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    return request_info(method, path, tuple((key, value) for key, _, value in pairs))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def secret(name: str = "db", value: str = "hunter2-hunter2", **more: Any) -> dict[str, Any]:
    """A Secret that holds `value` in every place kubectl and the API server put it."""
    applied = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"password": value}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(applied) + "\n"},
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:data": {"f:password": {}}}}],
        },
        "data": {"password": b64(value)},
        "type": "Opaque",
        **more,
    }
