"""Writes rules/schema/*.json and docs/rules.md from the models that load rule files.

    python -m scripts.rules_reference

The prose of the page is in scripts/rules_reference.md, whose `{{fields KIND}}` and `{{variables}}` become tables.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from addons.core.guardrails.cel import VARIABLES
from addons.core.guardrails.vocabulary import DESCRIPTIONS
from addons.core.kinds import KINDS
from addons.core.rule_schema import document_schema, rules_schema, spec_schema

ROOT = Path(__file__).parent.parent
SCHEMAS = ROOT / "rules" / "schema"
TEMPLATE = Path(__file__).with_suffix(".md")
PAGE = ROOT / "docs" / "rules.md"
_NOTE = f"<!-- Generated: python -m scripts.rules_reference, from {TEMPLATE.relative_to(ROOT)} and the models. -->\n"


def outputs() -> dict[Path, str]:
    """Every generated file with its content."""
    schemas = {kind.lower(): document_schema(kind, model) for kind, model in KINDS.items()}
    schemas["rules"] = rules_schema(KINDS)
    files = {SCHEMAS / f"{name}.json": json.dumps(schema, indent=1) + "\n" for name, schema in schemas.items()}
    return {**files, PAGE: _NOTE + page(TEMPLATE.read_text())}


def page(template: str) -> str:
    """The template with its tables. Raises LookupError for a table of something that is not there."""
    return re.sub(r"\{\{(\w+) ?(\w*)\}\}", lambda match: _TABLES[match[1]](match[2]), template)


def field_table(kind: str) -> str:
    """Every field of a kind's `spec`, nested ones by their path."""
    return _table("Field | Type | Default | Meaning", _fields(spec_schema(KINDS[kind])))


def variable_table(_: str = "") -> str:
    """Every variable of a condition."""
    return _table("Variable | Content", ((f"`{name}`", DESCRIPTIONS[name]) for name in VARIABLES))


_TABLES: Mapping[str, Callable[[str], str]] = {"fields": field_table, "variables": variable_table}


def _fields(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, ...]]:
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(field)
        yield f"`{prefix}{name}`", _type(field), default, field["description"]
        nested, suffix = _nested(field)
        if "properties" in nested:
            yield from _fields(nested, f"{prefix}{name}{suffix}")


def _nested(field: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What a field holds, and how its path goes on."""
    if field.get("type") == "array":
        return field["items"], "[]."
    values = field.get("additionalProperties")
    return (values, ".*.") if isinstance(values, dict) else (field, ".")


def _default(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return ""
    value = field["default"]
    return f"`{', '.join(map(str, value)) if isinstance(value, list) else json.dumps(value).strip(chr(34))}`"


def _type(field: Mapping[str, Any]) -> str:
    """The type in words. An enumeration is its values."""
    match field:
        case {"enum": values}:
            return " ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"anyOf": choices}:
            return " or ".join(_type(choice) for choice in choices)
        case {"type": "array", "items": items}:
            return f"list of {_plural(_type(items))}"
        case {"minimum": low, "maximum": high}:
            return f"integer, {low} to {high}"
        case {"type": "object", "properties": _}:
            return "object"
        case {"type": "object"}:
            return "mapping"
        case {"type": kind, "format": form}:
            return f"{kind} ({form})"
    return str(field["type"])


def _plural(word: str) -> str:
    return word if word.startswith("`") or " " in word else f"{word}s"


def _table(heading: str, rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {heading} |", "|" + "---|" * (heading.count("|") + 1)]
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', r'\|') for cell in row)} |" for row in rows)])


def main() -> None:
    """Write what has changed, and say so."""
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in outputs().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
