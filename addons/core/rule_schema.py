"""JSON Schemas of rule documents, from the models that load them: editors complete and check what the gateway will.

Draft 7 without references, so that every editor's YAML support reads them. What takes a sentence to explain (a CEL
type error, a dangling reference) no schema can say; `chaperone rules check` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from addons.core.documents import API_VERSION

_DRAFT = "http://json-schema.org/draft-07/schema#"
_METADATA = {
    "type": "object",
    "description": "`name` tells documents of one kind apart",
    "properties": {"name": {"type": "string", "description": "unique among documents of this kind"}},
    "required": ["name"],
}


def document_schema(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a whole document of one kind."""
    return {"$schema": _DRAFT, "title": kind, **_envelope([kind], spec_schema(model))}


def rules_schema(kinds: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The schema of the documents of a rule file, whatever kinds it holds."""
    return {
        "$schema": _DRAFT,
        "title": "Rules",
        **_envelope(list(kinds), {"type": "object"}),
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"properties": {"spec": spec_schema(model)}},
            }
            for kind, model in kinds.items()
        ],
    }


def spec_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a `spec`, its descriptions those of the model's fields and, of a nested model, its docstring."""
    schema = model.model_json_schema(schema_generator=_Plain)
    definitions = schema.pop("$defs", {})
    plain: dict[str, Any] = _inlined(schema, definitions)
    return plain


def _envelope(kinds: list[str], spec: Mapping[str, Any]) -> dict[str, Any]:
    """What every document has around its `spec`: `documents.parse_documents` reads nothing else."""
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": kinds},
            "metadata": _METADATA,
            "spec": spec,
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
    }


class _Plain(GenerateJsonSchema):
    """Without titles that repeat a name, nulls nobody writes, and defaults that mean "not given"."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        plain = super().model_schema(schema)
        plain.pop("title", None)
        return plain

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        default = schema.get("default")
        if default is None or default in ("", [], {}) or isinstance(default, BaseModel):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with every reference replaced by what it refers to; what stands beside a reference wins."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        schema = {**definitions[reference.rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    return {key: _inlined(value, definitions) for key, value in schema.items()}
