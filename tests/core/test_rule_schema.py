"""The published schemas say what the models that load rule files do."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import Field, ValidationError

from addons.core.documents import Document, SpecModel, parse_documents, validate
from addons.core.kinds import KINDS
from addons.core.rule_schema import document_schema, rules_schema, spec_schema

RULES = Path(__file__).parents[2] / "rules"
FILES = sorted(path for path in RULES.rglob("*") if path.name.endswith((".yaml", ".example")))
BY_SENTENCE = {"value_error", "date_type"}
"""Mistakes that need a sentence, and a time in quotes: YAML's own time looks the same to a schema."""


def documents() -> list[Document]:
    return [document for file in FILES for document in parse_documents(file.read_text(), str(file))[0]]


def as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def mutations(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed: each key left out, misspelt, of another type, each list emptied."""
    if isinstance(value, dict):
        yield {**value, "unheardOf": 1}
        for key, item in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for changed in (*mutations(item), 7, "no such word", [], {}, True):
                yield {**value, key: changed}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for changed in mutations(item):
                yield [*value[:index], changed, *value[index + 1 :]]


@pytest.mark.parametrize("kind", KINDS)
def test_schema_and_model_find_the_same_mistakes(kind: str) -> None:
    model = KINDS[kind]
    validator = Draft7Validator(spec_schema(model))
    example = next(document for document in documents() if document.kind == kind)
    found = 0
    for spec in mutations(copy.deepcopy(dict(example.spec))):
        _, problems = validate(Document(kind, "n", spec, "f", 1, {}), model)
        if model_refuses := mistakes(model, spec):
            found += 1
        assert bool(problems) == bool(model_refuses)
        schema_refuses = not validator.is_valid(as_json(spec))
        if model_refuses - BY_SENTENCE or not model_refuses:
            assert schema_refuses == bool(model_refuses), (spec, model_refuses)
    assert found > 4 * len(example.spec)


def mistakes(model: type[SpecModel], spec: Any) -> set[str]:
    try:
        model.model_validate(spec)
    except ValidationError as error:
        return {item["type"] for item in error.errors()}
    return set()


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_says_what_it_means(kind: str) -> None:
    def silent(schema: Any, path: str) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            if not field.get("description"):
                yield f"{path}.{name}"
            yield from silent(field, f"{path}.{name}")
            yield from silent(field.get("items", {}), f"{path}.{name}[]")

    assert list(silent(spec_schema(KINDS[kind]), kind)) == []


class Inner(SpecModel):
    """The docstring."""

    title: str = Field(default="", description="a field of this name stays")


class Outer(SpecModel):
    """Outer."""

    plain: Inner
    told: Inner = Field(description="told")
    maybe: int | None = None
    many: list[Inner] = Field(default=[Inner()])
    word: str = "w"


def test_a_schema_has_no_references_no_nulls_and_no_empty_defaults() -> None:
    schema = spec_schema(Outer)
    inner = {
        "type": "object",
        "additionalProperties": False,
        "description": "The docstring.",
        "properties": {"title": {"type": "string", "description": "a field of this name stays"}},
    }
    assert schema["properties"] == {
        "plain": inner,
        "told": {**inner, "description": "told"},
        "maybe": {"type": "integer"},
        "many": {"type": "array", "items": inner, "default": [{"title": ""}]},
        "word": {"type": "string", "default": "w"},
    }
    assert schema["required"] == ["plain", "told"]


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        pytest.param({}, True, id="good"),
        pytest.param({"apiVersion": "v1"}, False, id="version"),
        pytest.param({"kind": "Nonsense"}, False, id="kind"),
        pytest.param({"metadata": {}}, False, id="no name"),
        pytest.param({"metadata": {"name": "a", "labels": {}}}, True, id="more metadata"),
        pytest.param({"extra": 1}, False, id="unknown key"),
        pytest.param({"spec": {"word": "w"}}, False, id="spec"),
        pytest.param({"kind": "Other", "spec": {"word": "w"}}, False, id="spec of another kind"),
        pytest.param({"kind": "Inner", "spec": {}}, True, id="another kind"),
    ],
)
def test_the_envelope_and_the_choice_by_kind(change: dict[str, Any], valid: bool) -> None:
    good = {"apiVersion": "chaperone/v1", "kind": "Outer", "metadata": {"name": "a"}}
    good["spec"] = {"plain": {}, "told": {}}
    document = good | change
    assert Draft7Validator(rules_schema({"Outer": Outer, "Inner": Inner})).is_valid(document) == valid
    of_its_kind = valid and document["kind"] == "Outer"
    assert Draft7Validator(document_schema("Outer", Outer)).is_valid(document) == of_its_kind
