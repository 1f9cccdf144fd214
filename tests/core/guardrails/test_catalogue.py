from __future__ import annotations

import pytest

from addons.core.documents import Document, parse_documents
from addons.core.guardrails import compile_guardrails
from addons.core.guardrails.catalogue import compile_catalogue, coverage, uncatalogued
from tests.core.guardrails.support import rule

HEAD = "apiVersion: chaperone/v1\nkind: Catalogue\nmetadata: {name: c}\nspec:\n  description: t\n  entries:\n"
ENTRY = "    - {id: ABC-01, title: one, default: [deny]}\n"
OTHER = "    - {id: ABC-02, title: two, default: [mask, warn], elsewhere: {by: masking, evidence: [docs/masking.md]}}\n"


def documents(*texts: str) -> list[Document]:
    found, problems = parse_documents("\n---\n".join(texts), "c.yaml")
    assert problems == []
    return found


def test_entries_by_id() -> None:
    catalogue, problems = compile_catalogue(documents(HEAD + ENTRY + OTHER, rule()))
    assert (list(catalogue), problems) == (["ABC-01", "ABC-02"], [])
    assert catalogue["ABC-02"].default == ["mask", "warn"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + ENTRY + ENTRY, 8, "ABC-01 is in the catalogue already"),
        (HEAD + ENTRY.replace("ABC-01", "abc"), 7, "entries.0.id: "),
        (HEAD + ENTRY.replace("deny", "refuse"), 7, "entries.0.default.0: "),
        (HEAD + ENTRY.replace("[deny]", "[]"), 7, "entries.0.default: "),
        (HEAD + OTHER.replace("[docs/masking.md]", "[]"), 7, "entries.0.elsewhere.evidence: "),
        (HEAD.replace("entries:", "entries: []"), 6, "entries: "),
    ],
)
def test_mistakes_are_reported_where_they_are(text: str, line: int, message: str) -> None:
    _, problems = compile_catalogue(documents(text))
    assert [(found.line, found.message.startswith(message)) for found in problems] == [(line, True)], problems


def test_a_rule_covers_what_the_catalogue_has() -> None:
    guardrail = rule(body="covers: [ABC-01, ABC-09]\n  risk: 1")
    found = documents(HEAD + ENTRY, guardrail, rule("other", body="covers: ABC-08\n  risk: 1"))
    catalogue, _ = compile_catalogue(found)
    (problem,) = uncatalogued(found, catalogue)
    assert problem.message == "covers: no Catalogue document has ABC-09; add it there, or leave it out"
    assert problem.line == found[1].line + 6
    assert list(uncatalogued(found[:1], {})) == []


def test_coverage() -> None:
    shadow = rule("on-trial", body="covers: [ABC-01]\n  mode: shadow\n  risk: 1")
    for rules, covering, gap in (
        ([rule("one", body="covers: [ABC-01]\n  risk: 1")], ("one",), False),
        ([rule("one"), shadow], (), True),
    ):
        compiled, problems = compile_guardrails(documents(*rules))
        assert problems == []
        first, second = coverage(compile_catalogue(documents(HEAD + ENTRY + OTHER))[0], compiled.rules.values())
        assert (first.entry.id, first.rules, first.gap) == ("ABC-01", covering, gap)
        assert (second.rules, second.gap) == ((), False)
