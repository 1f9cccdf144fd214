"""rules/schema and docs/rules.md are what the models say, and every rule file names its schema and keeps to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from scripts import rules_reference
from tests.core.test_rule_schema import as_json

ROOT = Path(__file__).parents[1]
FILES = sorted(path for path in (ROOT / "rules").rglob("*") if path.name.endswith((".yaml", ".example")))
FIRST_LINE = "# yaml-language-server: $schema=../schema/rules.json"


def test_the_generated_files_are_fresh() -> None:
    outputs = rules_reference.outputs()
    stale = [path.name for path, text in outputs.items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run: python -m scripts.rules_reference"
    assert set((ROOT / "rules" / "schema").iterdir()) == outputs.keys() - {ROOT / "docs" / "rules.md"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_rule_file_names_its_schema_and_keeps_to_it(file: Path) -> None:
    text = file.read_text()
    assert text.splitlines()[0] == FIRST_LINE
    schema = json.loads((file.parent / "../schema/rules.json").read_text())
    Draft7Validator.check_schema(schema)
    documents = [as_json(document) for document in yaml.safe_load_all(text)]
    assert documents
    for document in documents:
        Draft7Validator(schema).validate(document)
        one = json.loads((ROOT / "rules" / "schema" / f"{document['kind'].lower()}.json").read_text())
        Draft7Validator(one).validate(document)


def test_a_table_of_nothing_is_no_table() -> None:
    with pytest.raises(KeyError):
        rules_reference.page("{{fields Nonsense}}")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "array", "items": {"type": "string"}}, "list of strings"),
        ({"anyOf": [{"type": "string"}, {"const": "x"}]}, "string or `x`"),
        ({"type": "integer", "minimum": 0, "maximum": 9}, "integer, 0 to 9"),
        ({"type": "integer", "minimum": 1}, "integer"),
        ({"type": "string", "format": "date-time"}, "string (date-time)"),
    ],
)
def test_types_in_words(field: dict[str, Any], words: str) -> None:
    assert rules_reference._type(field) == words
