"""What a DELETE asks beyond the object: how soon, and what becomes of the object's dependents.

With a body the body counts alone, without one the query (`DeleteResource` in
k8s.io/apiserver/pkg/endpoints/handlers/delete.go). Fields are those of `DeleteOptions` in
k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from addons.core.strict_json import UnreadableBody

_GRACE, _ORPHAN, _POLICY, _UNSAFE = 1, 3, 4, 6
_VARINT, _BYTES = 0, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The options rules read; a value the API server would refuse counts as left out."""

    grace_period_seconds: int | None = None
    propagation_policy: str = ""
    orphan_dependents: bool = False
    ignore_store_read_error: bool = False

    def named(self) -> dict[str, Any]:
        """The options that were given, under their names in the API."""
        given = {
            "gracePeriodSeconds": self.grace_period_seconds,
            "propagationPolicy": self.propagation_policy or None,
            "orphanDependents": self.orphan_dependents or None,
            "ignoreStoreReadErrorWithClusterBreakingPotential": self.ignore_store_read_error or None,
        }
        return {name: value for name, value in given.items() if value is not None}


NO_OPTIONS = DeleteOptions()


def options_of_object(content: Mapping[str, Any]) -> DeleteOptions:
    """The options of a body in JSON or YAML."""
    grace, policy = content.get("gracePeriodSeconds"), content.get("propagationPolicy")
    return DeleteOptions(
        grace_period_seconds=grace if type(grace) is int else None,
        propagation_policy=policy if isinstance(policy, str) else "",
        orphan_dependents=content.get("orphanDependents") is True,
        ignore_store_read_error=content.get("ignoreStoreReadErrorWithClusterBreakingPotential") is True,
    )


def options_of_protobuf(message: bytes) -> DeleteOptions:
    """The options of a body in protobuf, its envelope removed. Raises UnreadableBody."""
    fields = dict(_fields(message))  # of a field that occurs twice the last counts
    policy, grace = fields.get(_POLICY, b""), fields.get(_GRACE)
    return DeleteOptions(
        grace_period_seconds=grace if isinstance(grace, int) else None,
        propagation_policy=policy.decode("utf-8", "replace") if isinstance(policy, bytes) else "",
        orphan_dependents=bool(fields.get(_ORPHAN)),
        ignore_store_read_error=bool(fields.get(_UNSAFE)),
    )


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value, position = _varint(message, position)
        if key & 7 == _VARINT:
            yield key >> 3, value
        elif key & 7 == _BYTES and value <= len(message) - position:
            yield key >> 3, message[position : position + value]
            position += value
        else:
            raise UnreadableBody("the DeleteOptions in protobuf are cut off, or have a field of another type")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise UnreadableBody("the DeleteOptions in protobuf are cut off")
