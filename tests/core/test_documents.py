"""Mistakes in rule files are found where they are, all of them."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from addons.core.documents import Document, parse_documents, parse_mapping, validate
from addons.core.problem import InvalidConfiguration, Problem

GOOD = """\
apiVersion: chaperone/v1
kind: Guardrail
metadata: {name: a}
spec:
  risk: 10
  verbs:
    - get
    - list
"""


def one(text: str) -> Document:
    documents, problems = parse_documents(text, "a.yaml")
    assert not problems
    return documents[0]


def test_a_document_knows_the_line_of_everything() -> None:
    document = one(GOOD)
    assert (document.kind, document.name, document.line) == ("Guardrail", "a", 1)
    assert document.spec == {"risk": 10, "verbs": ["get", "list"]}
    assert document.lines[("spec", "risk")] == 5
    assert document.lines[("spec", "verbs", 1)] == 8
    assert document.problem(("spec", "verbs", 7, "x"), "m") == Problem("a.yaml", 6, "m")
    assert document.problem(("nothing",), "m") == Problem("a.yaml", 1, "m")


def test_several_documents_and_empty_ones() -> None:
    documents, problems = parse_documents(f"{GOOD}---\n---\n{GOOD}", "a.yaml")
    assert (len(documents), problems) == (2, [])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("a: [", 1, "not valid YAML", id="syntax"),
        pytest.param("a: \x00", 0, "not valid YAML", id="control byte"),
        pytest.param(GOOD.replace("risk: 10", "risk: 10\n  risk: 11"), 6, "duplicate key: risk", id="duplicate"),
        pytest.param(GOOD.replace("chaperone/v1", "v2"), 1, "apiVersion must be chaperone/v1", id="version"),
        pytest.param(GOOD + "extra: 1\n", 1, "unknown key: extra", id="extra"),
        pytest.param("kind: Guardrail\n", 1, "needs apiVersion", id="incomplete"),
        pytest.param("just text\n", 1, "needs apiVersion", id="scalar"),
        pytest.param("? [a]\n: b\n", 1, "keys must be plain words", id="complex key"),
        pytest.param(GOOD.replace("risk: 10", "<<: {a: b}"), 5, "keys must be plain words", id="merge key"),
        pytest.param(GOOD.replace("risk: 10", "risk: !!python/none x"), 5, "unreadable value", id="foreign tag"),
        pytest.param(GOOD.replace("risk: 10", "risk: !!int x"), 5, "unreadable value", id="wrong tag"),
    ],
)
def test_mistakes_have_a_line(text: str, line: int, words: str) -> None:
    documents, problems = parse_documents(text, "a.yaml")
    assert not documents
    assert [(problem.line, words in problem.message) for problem in problems] == [(line, True)]


def test_one_bad_document_does_not_hide_the_next() -> None:
    documents, problems = parse_documents(f"kind: x\n---\n{GOOD}---\nkind: y\n", "a.yaml")
    assert (len(documents), [problem.line for problem in problems]) == (1, [1, 12])


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    risk: int
    verbs: list[int]


def test_validation_reports_each_mistake_at_its_line() -> None:
    model, problems = validate(one(GOOD), Model)
    assert model is None
    assert [(problem.line, problem.message.split(":")[0]) for problem in problems] == [(7, "verbs.0"), (8, "verbs.1")]
    model, problems = validate(one(GOOD.replace("get", "1").replace("list", "2")), Model)
    assert (model, problems) == (Model(risk=10, verbs=[1, 2]), [])


def test_a_configuration_is_one_mapping() -> None:
    assert parse_mapping("", "c") == ({}, {}, [])
    content, lines, problems = parse_mapping("a: 1\nb: {c: 2}\n", "c")
    assert (content, lines[("b", "c")], problems) == ({"a": 1, "b": {"c": 2}}, 2, [])
    assert parse_mapping("- a", "c")[2] == [Problem("c", 1, "must be a mapping of keys to values")]
    assert parse_mapping("a: 1\na: 2", "c")[2] == [Problem("c", 2, "duplicate key: a")]


def test_problems_read_as_file_and_line() -> None:
    error = InvalidConfiguration([Problem("a", 3, "wrong"), Problem("b", 0, "missing")])
    assert str(error) == "a:3: wrong\nb: missing"
