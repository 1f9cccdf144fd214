"""Each test of each rule has its outcome; what cannot be tested says why."""

from __future__ import annotations

import pytest

from addons.core.documents import parse_documents
from addons.core.rule_tests import Tried, run_tests

KEY = b"k" * 16
HEAD = "apiVersion: chaperone/v1\nkind: {}\nmetadata: {{name: r}}\nspec:\n  description: d\n"
GUARDRAIL = (
    HEAD.format("Guardrail") + "  match: {apiGroups: ['*'], resources: [pods], verbs: [get]}\n"
    "  risk: 1\n  reason: r\n  hint: h\n  tests:\n"
    "    - {expect: match, request: GET /api/v1/namespaces/a/pods/p}\n"
    "    - {expect: no-match, request: GET /api/v1/namespaces/a/pods/p}\n"
)
DETECTOR = (
    HEAD.format("Detector") + "  start: '\\bacme_'\n  secret: '[a-z]{8}'\n  tests:\n"
    "    - {given: acme_abcdefgh, expect: acme_MASKED}\n"
    "    - {given: acme_abcdefgh, expect: acme_abcdefgh}\n"
)
MASKING = (
    HEAD.format("Masking") + "  match: {apiGroups: [''], resources: [pods]}\n  detect: [$.note]\n  tests:\n"
    "    - {given: {kind: Pod, note: acme_abcdefgh}, expect: {kind: Pod, note: acme_MASKED}}\n"
    "    - {given: {note: acme_abcdefgh}, expect: unchanged}\n"
)


def tried(*texts: str) -> list[Tried]:
    documents, problems = parse_documents("---\n".join(texts), "f.yaml")
    assert problems == []
    return run_tests(documents, KEY)


@pytest.mark.parametrize(
    ("text", "about", "line", "failure"),
    [
        pytest.param(
            GUARDRAIL,
            ["match GET /api/v1/namespaces/a/pods/p", "no-match GET /api/v1/namespaces/a/pods/p"],
            12,
            "expected no-match for GET /api/v1/namespaces/a/pods/p",
            id="guardrail",
        ),
        pytest.param(
            DETECTOR, ["masks 'acme_abcdefgh'", "unchanged 'acme_abcdefgh'"], 10, "gives 'acme_MASKED'", id="detector"
        ),
        pytest.param(MASKING, ["masks Pod", "unchanged object"], 10, "gives {'note': 'acme_MASKED'}", id="masking"),
    ],
)
def test_one_passes_and_one_fails(text: str, about: list[str], line: int, failure: str) -> None:
    detectors = () if text is DETECTOR else (DETECTOR,)
    rule = tried(text, *detectors)[0]
    assert [outcome.about for outcome in rule.outcomes] == about
    assert (rule.outcomes[0].failure, rule.failed, rule.problems) == ("", 1, ())
    assert (rule.outcomes[1].number, rule.outcomes[1].line, rule.outcomes[1].failure) == (2, line, failure)


@pytest.mark.parametrize("text", [GUARDRAIL, DETECTOR, MASKING])
def test_a_rule_that_does_not_load_has_problems_and_no_outcomes(text: str) -> None:
    (rule,) = tried(text.replace("description: d", "nonsense: d"))
    assert (rule.outcomes, rule.failed) == ((), 0)
    assert "f.yaml:5: nonsense" in {str(problem).rpartition(":")[0] for problem in rule.problems}


def test_other_kinds_carry_no_tests() -> None:
    assert tried(HEAD.format("Access")) == []
