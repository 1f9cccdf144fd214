"""The two patch forms whose result needs no schema: merge patch (RFC 7396) and JSON patch (RFC 6902).

For `explain`, which has no API server to ask. The gateway itself lets the API server apply every patch in a dry run.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any


class InapplicablePatch(ValueError):
    """The patch does not fit the object it is applied to."""


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` after a merge patch; null removes a key (RFC 7396, section 2). Inputs are not changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """`target` after the operations in order (RFC 6902, section 4); inputs stay. Raises InapplicablePatch."""
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _apply(result, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InapplicablePatch(f"operation {operation.get('op')} at {operation.get('path')}") from error
    return result


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            return _remove(document, path)
        case "replace":
            return _add(_remove(document, path), path, copy.deepcopy(operation["value"]))
        case "move":
            source = _pointer(operation["from"])
            value = _get(document, source)
            return _add(_remove(document, source), path, value)
        case "copy":
            return _add(document, path, copy.deepcopy(_get(document, _pointer(operation["from"]))))
        case "test" if _get(document, path) == operation["value"]:
            return document
    raise ValueError("unknown operation, or a test that fails")


def _pointer(text: str) -> list[str]:
    """RFC 6901, section 4."""
    if text and not text.startswith("/"):
        raise ValueError("a JSON pointer starts with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        parent.insert(len(parent) if path[-1] == "-" else int(path[-1]), value)
    else:
        parent[path[-1]] = value
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent = _get(document, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return document
