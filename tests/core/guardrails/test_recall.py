from __future__ import annotations

from addons.core.documents import Document, parse_documents
from addons.core.guardrails import compile_guardrails
from addons.core.guardrails.catalogue import compile_catalogue, coverage
from addons.core.guardrails.recall import Recall, examples_of, recall
from tests.core.guardrails.support import rule

CATALOGUE = """apiVersion: chaperone/v1
kind: Catalogue
metadata: {name: c}
spec:
  description: d
  entries:
    - {id: ABC-01, title: one, default: [warn, deny]}
    - {id: ABC-02, title: two, default: [log]}
    - {id: ABC-03, title: three, default: [deny]}
"""
TESTS = """
  tests:
    - {expect: match, request: POST /api/v1/namespaces/a/pods, object: {metadata: {name: bad}}}
    - {expect: no-match, harmless: true, request: PUT /api/v1/namespaces/a/pods/p, object: {metadata: {name: good}}}
    - {expect: no-match, request: GET /version}
"""
WRITES = "apiGroups: [''], resources: [pods], verbs: [create, update, patch]"


def rows(*rules: str) -> dict[str, Recall]:
    documents, problems = parse_documents("\n---\n".join((CATALOGUE, *rules)), "c.yaml")
    assert problems == []
    guardrails: list[Document] = [document for document in documents if document.kind == "Guardrail"]
    compiled, mistakes = compile_guardrails(guardrails)
    assert mistakes == []
    covered = coverage(compile_catalogue(documents)[0], compiled.rules.values())
    return {row.coverage.entry.id: row for row in recall(compiled, covered, examples_of(documents))}


def named(risk: int, name: str = "bad", more: str = "") -> str:
    return f"covers: [ABC-01]\n  when: object.metadata.name == '{name}'\n  {more}risk: {risk}"


def shown(row: Recall) -> tuple[int, int, bool, int, int, int]:
    return row.dangers, row.caught, row.strict, row.harmless, row.stopped, row.warned


def test_what_is_caught_at_the_answer_it_asks_for() -> None:
    for risk, caught, strict in ((90, 1, True), (30, 1, False), (10, 0, False)):
        assert shown(rows(rule(match=WRITES, body=named(risk), tests=TESTS))["ABC-01"]) == (1, caught, strict, 1, 0, 0)


def test_only_what_rules_cover_has_a_row() -> None:
    found = rows(
        rule(match=WRITES, body="covers: [ABC-02]\n  when: object.metadata.name == 'bad'\n  risk: 0", tests=TESTS)
    )
    assert list(found) == ["ABC-02"]
    assert shown(found["ABC-02"]) == (1, 1, True, 1, 0, 0)


def test_another_rule_takes_ordinary_work_amiss() -> None:
    own = rule(match=WRITES, body=named(90), tests=TESTS)
    other = TESTS.replace("bad", "good").replace("PUT", "GET")
    for risk, stopped, warned in ((50, 1, 0), (30, 0, 1), (10, 0, 0)):
        eager = rule("eager", match=WRITES, body=named(risk, "good"), tests=other.replace("harmless: true, ", ""))
        row = rows(own, eager)["ABC-01"]
        assert (row.stopped, row.warned) == (stopped, warned)


def test_a_rule_on_trial_or_without_an_answer_catches_nothing() -> None:
    own = rule(match=WRITES, body="covers: [ABC-01]\n  when: object.metadata.name == 'bad'\n  risk: 90", tests=TESTS)
    example = "    - {expect: match, request: POST /api/v1/namespaces/a/pods, object: {metadata: {}, odd: true}}\n"
    tests = "  tests:\n" + example + "    - {expect: no-match, request: GET /version}\n"
    odd = rule(
        "odd", match=WRITES, body="covers: [ABC-01]\n  when: has(object.odd)\n  mode: shadow\n  risk: 90", tests=tests
    )
    assert shown(rows(own, odd)["ABC-01"])[:2] == (2, 1)
