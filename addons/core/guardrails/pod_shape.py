"""What of a value is a PodSpec, a container or an ObjectMeta: fields of another name or another type are left out.

Operators put PodSpecs into custom resources under fields of their own, next to fields that only share a name with one
of a PodSpec. A rule that reads what is found there must be able to trust the types, as it can for a pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addons.core.guardrails.pod_schema import TYPES

_MISFIT = object()
_SCALARS: Mapping[str, type] = {"str": str, "int": int, "bool": bool}


def _parsed(text: str) -> Mapping[str, Mapping[str, str]]:
    lines = [line.split(" ") for line in text.strip().replace("\n  ", " ").splitlines()]
    return {name: dict(field.split(":", 1) for field in fields) for name, *fields in lines}


_TYPES = _parsed(TYPES)


def shape(value: Any, kind: str) -> dict[str, Any]:
    """What of `value` is of this type, as deep as it goes; empty for what is no mapping at all."""
    if not isinstance(value, dict):
        return {}
    types = _TYPES[kind]
    return _dropped({key: _fit(value[key], types[key]) for key in value.keys() & types.keys()})


def _fit(value: Any, kind: str) -> Any:
    """The value as `kind`, _MISFIT when it is none. Items of lists and maps that do not fit are left out."""
    if kind == "any":
        return value
    if kind in _SCALARS:
        return _scalar(value, kind)
    if kind[0] == "[":
        return _items(value, kind[1:-1]) if isinstance(value, list) else _MISFIT
    if not isinstance(value, dict):
        return _MISFIT
    if kind[0] == "{":
        return _dropped({key: _fit(item, kind[1:-1]) for key, item in value.items()})
    return shape(value, kind)


def _items(value: list[Any], kind: str) -> list[Any]:
    return [item for item in (_fit(item, kind) for item in value) if item is not _MISFIT]


def _scalar(value: Any, kind: str) -> Any:
    """80.0 is the integer 80, as for the API server; true is no integer."""
    if kind == "int" and isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is _SCALARS[kind] else _MISFIT


def _dropped(fitted: dict[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in fitted.items() if item is not _MISFIT}


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a mapping, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings among the items of a list; none for what is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
