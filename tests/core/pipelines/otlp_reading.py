"""Reads OTLP/JSON with the protocol's own messages: protobuf's JSON has bytes in base64, OTLP's ids in hexadecimal."""

from __future__ import annotations

import base64
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def with_base64_ids(content: Any) -> Any:
    """The same JSON as protobuf's own parser reads it."""
    if isinstance(content, list):
        return [with_base64_ids(item) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        key: base64.b64encode(bytes.fromhex(value)).decode() if key in _IDS else with_base64_ids(value)
        for key, value in content.items()
    }


def plain(value: AnyValue) -> Any:
    """What an AnyValue holds."""
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {each.key: plain(each.value) for each in value.kvlist_value.values}
        case name:
            return getattr(value, name)
