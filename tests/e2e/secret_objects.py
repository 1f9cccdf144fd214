"""Secrets as tests write them, and how a masked one looks."""

from __future__ import annotations

import base64
import json

MASKED = base64.b64encode(b"masked:v1:").decode()[:12]
"""How each masked value of `data` begins."""


def secret(name: str, **values: str) -> str:
    metadata = {"name": name, "labels": {"app": "shop"}}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
